// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Schema fills in and judges objects of one kind as the API server does, without one.
type Schema struct {
	structural *schema.Structural
	types      validation.SchemaValidator
	rules      *cel.Validator
}

// NewSchema reads the schema of a kind, named by its plural, as it is installed.
func NewSchema(t testing.TB, plural string) *Schema {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "config", "crd", "bases", "turnout.dev_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil,
	); err != nil {
		t.Fatal(err)
	}
	s := &Schema{}
	if s.structural, err = schema.NewStructural(&props); err != nil {
		t.Fatal(err)
	}
	if s.types, _, err = validation.NewSchemaValidator(&props); err != nil {
		t.Fatal(err)
	}
	s.rules = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	return s
}

// Default fills in what an object leaves out.
func (s *Schema) Default(object map[string]any) { defaulting.Default(object, s.structural) }

// Admit fills in what an object leaves out, and is why the API server would not take it; empty when it would.
func (s *Schema) Admit(ctx context.Context, object map[string]any) field.ErrorList {
	s.Default(object)
	problems := validation.ValidateCustomResource(nil, object, s.types)
	problems = append(problems, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	broken, _ := s.rules.Validate(ctx, nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(problems, broken...)
}
