// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

const modelsPath = "/v1/models"

// modelList writes the answer to GET /v1/models: every name that a caller in the namespace may ask for.
func modelList(t *routing.Table, namespace string) []byte {
	b := []byte(`{"object":"list","data":[`)
	comma := false
	for _, name := range t.Names(namespace) {
		route, err := t.Resolve(namespace, name)
		if err != nil { // several policies on one capability: callers get a 400 that lists them
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = appendModel(b, name, route.Policy)
	}
	return append(b, "]}"...)
}

func appendModel(b []byte, name string, policy *routing.Policy) []byte {
	b = append(b, `{"id":`...)
	b = wire.AppendString(b, name)
	b = append(b, `,"object":"model","created":`...)
	b = strconv.AppendInt(b, max(0, policy.Created.Unix()), 10)
	b = append(b, `,"owned_by":`...)
	b = wire.AppendString(b, policy.Key.Namespace)
	return append(b, '}')
}

// serveModels answers GET /v1/models, and GET /v1/models/{name} when name is not empty.
func (p *Proxy) serveModels(ctx *fasthttp.RequestCtx, name string) {
	s := p.current.Load()
	if s == nil {
		_, why := p.Ready()
		refuse(ctx, http.StatusServiceUnavailable, wire.ErrorBody{Message: why, Type: serverError, Code: "not_ready"})
		return
	}
	ctx.SetContentType("application/json")
	if name == "" {
		ctx.SetBody(s.models)
		return
	}
	route, err := s.table.Resolve(p.opts.DefaultNamespace, name)
	if err != nil {
		refuse(ctx, http.StatusNotFound, wire.ErrorBody{
			Message: err.Error(), Type: invalidRequest, Param: fieldModel, Code: "model_not_found",
		})
		return
	}
	ctx.SetBody(appendModel(nil, name, route.Policy))
}

// serveHealth answers the probes of load balancers that can only reach the serving port.
func (p *Proxy) serveHealth(ctx *fasthttp.RequestCtx, path string) {
	ctx.SetContentType("text/plain; charset=utf-8")
	if ready, why := p.Ready(); path == "/readyz" && !ready {
		ctx.SetStatusCode(http.StatusServiceUnavailable)
		ctx.SetBodyString(why + "\n")
		return
	}
	ctx.SetBodyString("ok\n")
}
