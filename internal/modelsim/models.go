// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"net/http"
	"slices"
)

// modelObject is one model as the API describes it.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// modelCreated is when all models claim to have been made.
const modelCreated = 1735689600

func describe(model string) modelObject {
	return modelObject{ID: model, Object: fieldModel, Created: modelCreated, OwnedBy: "modelsim"}
}

func (s *Sim) listModels() []byte {
	list := struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{Object: "list", Data: make([]modelObject, len(s.config.Models))}
	for i, model := range s.config.Models {
		list.Data[i] = describe(model)
	}
	return marshal(list, "  ")
}

func (x *exchange) oneModel(model string) error {
	if !slices.Contains(x.sim.config.Models, model) {
		return x.refuse(errUnknownModel(model))
	}
	return x.whole(http.StatusOK, contentJSON, marshal(describe(model), "  "))
}
