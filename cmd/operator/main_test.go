// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

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

	"github.com/go-logr/logr/testr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/harness"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// apiServer starts an API server without Turnout's definitions and returns it with a kubeconfig of its
// administrator.
func apiServer(t *testing.T) (env *envtest.Environment, kubeconfig string) {
	t.Helper()
	env = &envtest.Environment{}
	if _, err := env.Start(); err != nil {
		t.Fatalf("this test needs etcd and kube-apiserver in KUBEBUILDER_ASSETS (make control-plane builds them): %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := admin.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return env, kubeconfig
}

// waitFor polls until check is content.
func waitFor(t *testing.T, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := harness.Poll(ctx, 50*time.Millisecond, check); err != nil {
		t.Fatal(err)
	}
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", url, response.Status, body)
	}
	return string(body), err
}

func address(t *testing.T) string {
	t.Helper()
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// runWith is start without the loggers of the process, which cannot be set twice while anything runs.
func runWith(ctx context.Context, t *testing.T, arguments []string) error {
	o, err := parse(arguments)
	if err != nil {
		return err
	}
	cfg, err := o.restConfig()
	if err != nil {
		return err
	}
	return run(ctx, testr.New(t), cfg, o)
}

func TestOperator(t *testing.T) {
	env, kubeconfig := apiServer(t)
	probes, metricsAt := address(t), address(t)
	arguments := []string{
		"--kubeconfig=" + kubeconfig, "--leader-election-namespace=default",
		"--health-probe-bind-address=" + probes, "--metrics-bind-address=" + metricsAt,
	}

	err := runWith(t.Context(), t, arguments)
	want := "has no ModelEndpoint, RoutingPolicy, ProxyInstance, ProxyReport in turnout.dev/v1alpha1; install the definitions with: kubectl apply -k config/crd"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("without the definitions: got %v, want a sentence with %q", err, want)
	}

	definitions := envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfPathMissing: true}
	if _, err := envtest.InstallCRDs(env.Config, definitions); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runWith(ctx, t, arguments) }()
	defer stop()

	for _, path := range []string{"/healthz", "/readyz"} {
		waitFor(t, func(ctx context.Context) error { _, err := get(ctx, "http://"+probes+path); return err })
	}
	works(t, env)
	// The counters of controller-runtime tell that the other controller is wired too.
	for _, line := range []string{
		`turnout_endpoints{namespace="default",reason="",status="Active"} 1`,
		`turnout_status_writes_total{kind="ModelEndpoint"} 1`,
		`turnout_build_seconds_count`,
		`controller_runtime_reconcile_total{controller="proxyinstance",result="requeue_after"} 1`,
	} {
		waitFor(t, func(ctx context.Context) error {
			text, err := get(ctx, "http://"+metricsAt+"/metrics")
			if err == nil && !strings.Contains(text, line) {
				err = fmt.Errorf("the metrics lack %s", line)
			}
			return err
		})
	}

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("being asked to stop ended in %v", err)
		}
	case <-time.After(patience):
		t.Error("the operator does not stop")
	}
}

// works creates an endpoint, whose status the operator must write, and a ProxyInstance.
func works(t *testing.T, env *envtest.Environment) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(env.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gpt"},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "openai", Format: v1alpha1.FormatOpenAI, URL: "https://api.example.com/v1", Model: "gpt-5",
			Capabilities: []string{"chat-completion"},
		},
	}
	instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "proxy-0"}}
	for _, object := range []client.Object{endpoint, instance} {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(endpoint), endpoint); err != nil {
			return err
		}
		if state := endpoint.Status.ModelState; state == nil || state.Status != v1alpha1.StatusActive {
			return fmt.Errorf("the endpoint's state is %+v", state)
		}
		return nil
	})
}

func TestStoppingWhileTheAPIServerIsAwayIsNoFailure(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"clusters":[{"name":"a","cluster":{"server":"http://` + address(t) + `"}}],` +
		`"contexts":[{"name":"a","context":{"cluster":"a"}}],"current-context":"a"}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := runWith(ctx, t, []string{"--kubeconfig=" + kubeconfig, "--leader-elect=false"}); err != nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tc := range map[string]struct {
		arguments []string
		want      string
	}{
		"a flag nobody knows":        {[]string{"--wrong"}, "unknown flag: --wrong"},
		"an argument":                {[]string{"start"}, `unexpected argument "start"; operator takes flags only, see --help`},
		"a level nobody knows":       {[]string{"--log-level=loud"}, `--log-level "loud" is not a level; use debug, info, warn or error`},
		"a format nobody knows":      {[]string{"--log-format=xml"}, `--log-format "xml" is not a format; use json or console`},
		"no requests":                {[]string{"--kube-api-qps=0"}, "--kube-api-qps and --kube-api-burst must be above 0"},
		"an empty namespace":         {[]string{"--namespaces=a,"}, "--namespaces has an empty name; leave the flag out to look after all namespaces"},
		"a kubeconfig that is not":   {[]string{"--kubeconfig=" + missing}, "reading --kubeconfig: stat " + missing + ": no such file or directory"},
		"no API server is named":     {nil, "this is not a pod of a cluster; name the API server with --kubeconfig=FILE"},
		"the version needs no flags": {[]string{"--version"}, ""},
		"help is no failure":         {[]string{"--help"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			t.Setenv("KUBECONFIG", missing) // It must not be read.
			got := ""
			if err := start(t.Context(), tc.arguments); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheLeasesNamespace(t *testing.T) {
	for name, tc := range map[string]struct {
		arguments []string
		want      string
		wantErr   bool
	}{
		"the flag says where":                       {arguments: []string{"--leader-election-namespace=turnout-system"}, want: "turnout-system"},
		"without an election there is no Lease":     {arguments: []string{"--leader-elect=false"}},
		"outside a cluster it must be said by flag": {wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parse(tc.arguments)
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.leaseNamespace()
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}
