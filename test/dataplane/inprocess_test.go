// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kubetest"
	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
	"github.com/turnout-ai/turnout/internal/translate"
)

func TestMain(m *testing.M) {
	if err := SideBySide(); err != nil {
		fmt.Fprintln(os.Stderr, "dataplane:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestTheDataPlane runs the suite against a proxy in this process, without a cluster: objects are filled in and judged by
// the schemas that are installed, and translated as a proxy translates them.
func TestTheDataPlane(t *testing.T) { Run(t, newInProcess(t)) }

// inProcess is a proxy on real sockets in this process.
type inProcess struct {
	proxy             *proxy.Proxy
	at                Proxy
	endpoint, routing *kubetest.Schema
}

func newInProcess(t *testing.T) *inProcess {
	t.Helper()
	registry := prometheus.NewRegistry()
	p := &inProcess{
		proxy:    proxy.New(proxy.Options{DefaultNamespace: namespace, Metrics: registry}),
		endpoint: kubetest.NewSchema(t, "modelendpoints"), routing: kubetest.NewSchema(t, "routingpolicies"),
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.proxy.Serve(listener) }()
	admin := httptest.NewServer(p.proxy.AdminHandler(registry))
	p.at = Proxy{URL: "http://" + listener.Addr().String(), AdminURL: admin.URL}
	t.Cleanup(func() {
		admin.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(p.proxy.Drain(ctx, 0), <-served); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Proxies implements Target.
func (p *inProcess) Proxies() []Proxy { return []Proxy{p.at} }

// Apply implements Target.
func (p *inProcess) Apply(ctx context.Context, endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy) error {
	var problems []error
	for i, e := range endpoints {
		admitted, err := admit(ctx, p.endpoint, e)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", e.Name, err))
			continue
		}
		admitted.UID, admitted.Generation = types.UID("uid-"+e.Name), 1
		endpoints[i] = admitted
	}
	for i, policy := range policies {
		admitted, err := admit(ctx, p.routing, policy)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", policy.Name, err))
			continue
		}
		admitted.UID, admitted.Generation = types.UID("uid-"+policy.Name), 1
		policies[i] = admitted
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	p.proxy.Publish(routing.Build(translate.Input(endpoints, policies, noSecrets{})))
	return nil
}

// noSecrets is what endpoints without credentials need.
type noSecrets struct{}

func (noSecrets) Secret(string, string) (map[string][]byte, secrets.State) {
	return nil, secrets.NotFound
}
func (noSecrets) Version(string, string) string { return "" }

// admit is the object as the API server would store it, or why it would not.
func admit[T any](ctx context.Context, s *kubetest.Schema, object *T) (*T, error) {
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(raw, "status")
	if err := s.Admit(ctx, raw).ToAggregate(); err != nil {
		return nil, err
	}
	out := new(T)
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(raw, out)
}
