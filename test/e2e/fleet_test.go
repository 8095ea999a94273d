// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the product as its users do: real processes, a real Kubernetes API, official clients. What
// goes wrong goes wrong for real: processes are killed with SIGKILL, the API server is stopped.
//
// TURNOUT_SOAK=30m makes the load of a test last that long instead of some seconds.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/test/harness"
	"github.com/turnout-ai/turnout/test/soak"
)

// fleet is everything a test runs against: one cluster, one operator, proxies and providers.
type fleet struct {
	t         *testing.T
	dir       string
	binaries  harness.Binaries
	cluster   *harness.ControlPlane
	client    client.Client
	operator  *harness.Process
	proxies   []*server
	providers map[string]*server
}

// server is a process with an address, and one for its administration where it has one.
type server struct {
	*harness.Process
	address, admin string
	ledger         string
}

// newFleet starts a cluster with the CRDs, an operator, so many proxies, and providers of these names. All
// of them end with the test.
func newFleet(t *testing.T, proxies int, providers ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), providers: map[string]*server{}}
	ctx := t.Context()
	var err error
	f.binaries, err = harness.FindBinaries(ctx, nil)
	f.must(err)
	f.cluster, err = harness.StartControlPlane(ctx, harness.ControlPlaneOptions{Dir: filepath.Join(f.dir, "cluster"), LogDir: f.logDir()})
	f.must(err)
	f.atEnd(func(ctx context.Context) error { return f.cluster.Close(ctx) })
	f.client, err = f.cluster.Client()
	f.must(err)
	root, err := harness.Root()
	f.must(err)
	f.must(harness.InstallCRDs(ctx, f.client, filepath.Join(root, "config", "crd", "bases")))
	for _, name := range providers {
		f.addProvider(name)
	}
	f.operator = f.start("operator", f.binaries.Operator, nil, nil,
		"--kubeconfig", f.cluster.Kubeconfig, "--leader-election-namespace", "default",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0")
	for i := range proxies {
		f.proxies = append(f.proxies, f.addProxy(fmt.Sprintf("proxy-%d", i)))
	}
	return f
}

// logDir keeps the logs of a failed test where TURNOUT_E2E_LOGS says; else they go with the test's folder.
func (f *fleet) logDir() string {
	if dir := os.Getenv("TURNOUT_E2E_LOGS"); dir != "" {
		return filepath.Join(dir, f.t.Name())
	}
	return filepath.Join(f.dir, "logs")
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) atEnd(do func(context.Context) error) {
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := do(ctx); err != nil {
			f.t.Error(err)
		}
	})
}

// start runs a program until the test ends.
func (f *fleet) start(name, path string, ready func(context.Context) error, env []string, args ...string) *harness.Process {
	f.t.Helper()
	p, err := harness.StartProcess(f.t.Context(), harness.Command{
		Name: name, Path: path, Args: args, Env: env, Ready: ready, LogFile: filepath.Join(f.logDir(), name+".log"),
	})
	f.must(err)
	f.t.Cleanup(func() {
		p.Kill()
		if f.t.Failed() {
			f.t.Logf("the end of %s's log:\n%s", name, p.LogTail(15))
		}
	})
	return p
}

func (f *fleet) port() string {
	f.t.Helper()
	port, err := harness.FreePort()
	f.must(err)
	return harness.LoopbackAddress(port)
}

// addProvider starts a simulated provider that asks for a key of its own. Arguments replace those it has.
func (f *fleet) addProvider(name string, args ...string) {
	f.t.Helper()
	s := &server{address: f.port(), ledger: filepath.Join(f.dir, name+".ledger")}
	s.Process = f.start(name, f.binaries.ModelSim, harness.HTTPReady("http://"+s.address+"/_sim/state", nil), nil, append([]string{
		"--listen", s.address, "--api-key", "sk-" + name, "--ledger", s.ledger,
		"--time-to-first-token", "20ms", "--tokens-per-second", "400", "--tokens", "40",
	}, args...)...)
	f.providers[name] = s
}

// addProxy starts a proxy that is ready when it has a table.
func (f *fleet) addProxy(name string, args ...string) *server {
	f.t.Helper()
	s := &server{address: f.port(), admin: f.port()}
	s.Process = f.start(name, f.binaries.Proxy, harness.HTTPReady("http://"+s.admin+"/readyz", nil), nil, f.proxyArgs(s, args...)...)
	return s
}

func (f *fleet) proxyArgs(s *server, args ...string) []string {
	return append([]string{
		"--kubeconfig", f.cluster.Kubeconfig, "--listen", s.address, "--admin-listen", s.admin,
		"--allow-anonymous", "--send-attempt-id", "--drain-notice", "0s",
		"--access-log", filepath.Join(f.logDir(), s.address+".access.log"),
	}, args...)
}

// apply applies YAML; %[1]s and so on stand for the addresses of the providers named.
func (f *fleet) apply(text string, providers ...string) {
	f.t.Helper()
	f.must(f.tryApply(f.t.Context(), text, providers...))
}

func (f *fleet) tryApply(ctx context.Context, text string, providers ...string) error {
	addresses := make([]any, len(providers))
	for i, name := range providers {
		addresses[i] = f.providers[name].address
	}
	objects, err := harness.ParseObjects(fmt.Appendf(nil, text, addresses...))
	if err != nil {
		return err
	}
	return harness.Apply(ctx, f.client, "default", objects...)
}

// endpoints is the YAML of a Secret and a ModelEndpoint for each provider.
func (f *fleet) endpoints(names ...string) string {
	var all strings.Builder
	for _, name := range names {
		fmt.Fprintf(&all, `
apiVersion: v1
kind: Secret
metadata: {name: %[1]s}
stringData: {key: sk-%[1]s}
---
apiVersion: turnout.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: %[1]s}
spec:
  provider: %[1]s
  format: OpenAI
  url: http://%[2]s/v1
  model: sim-large
  auth: {type: Bearer, secretRef: {name: %[1]s, key: key}}
  capabilities: [chat-completion]
---
`, name, f.providers[name].address)
	}
	return all.String()
}

// kubectl runs kubectl as the administrator and returns what it prints.
func (f *fleet) kubectl(ctx context.Context, args ...string) string {
	f.t.Helper()
	return f.output(ctx, f.cluster.Kubectl, append([]string{"--kubeconfig", f.cluster.Kubeconfig}, args...)...)
}

// get fetches a page; a status other than 200 comes back as the error's text.
func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return string(text), err
}

// await waits for something that must happen soon.
func (f *fleet) await(what string, check func(context.Context) error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 60*time.Second)
	defer cancel()
	if err := harness.Poll(ctx, 20*time.Millisecond, check); err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
}

// served waits until every proxy resolves the model name.
func (f *fleet) served(model string) {
	f.t.Helper()
	for _, p := range f.proxies {
		f.await("waiting for "+p.Name()+" to serve "+model, func(ctx context.Context) error {
			_, err := get(ctx, "http://"+p.address+"/v1/models/"+model)
			return err
		})
	}
}

// chanceSeed decides what is killed when: another one in every run.
func chanceSeed(t *testing.T) uint64 {
	t.Helper()
	seed, given := soak.Seed(t)
	if !given {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("what is killed when: TURNOUT_SEED=%d", seed)
	return seed
}
