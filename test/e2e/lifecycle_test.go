// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/harness"
)

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// output runs a program to its end.
func (f *fleet) output(ctx context.Context, path string, args ...string) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// What people see with kubectl and the plugin is what the proxies do.
func TestWhatPeopleSee(t *testing.T) {
	f := newFleet(t, 1, "alpha", "beta")
	f.apply(f.endpoints("alpha", "beta") + strings.Replace(chatPolicy, ", {name: gamma}", "", 1))
	f.served("chat")
	for _, name := range []string{"alpha", "beta"} {
		e := &v1alpha1.ModelEndpoint{}
		e.Namespace, e.Name = "default", name
		f.must(harness.AwaitCondition(t.Context(), f.client, e, v1alpha1.ConditionReady))
	}
	policy := &v1alpha1.RoutingPolicy{}
	policy.Namespace, policy.Name = "default", "chat"
	f.must(harness.AwaitCondition(t.Context(), f.client, policy, v1alpha1.ConditionReady))

	columns(t, f.kubectl(t.Context(), "get", "mep"), "NAME PROVIDER MODEL STATUS REASON ERRORS P50 REQUESTS TOKENS COST AGE")
	columns(t, f.kubectl(t.Context(), "get", "mep", "-o", "wide"),
		"NAME PROVIDER MODEL STATUS REASON ERRORS P50 REQUESTS TOKENS COST CAPABILITY LEASED UNTIL LAST FAILURE URL READY MESSAGE AGE")
	columns(t, f.kubectl(t.Context(), "get", "rp"), "NAME MODELS STRATEGY CURRENT ACTIVE STANDBY AGE")
	has(t, f.kubectl(t.Context(), "get", "mep"), "alpha", "Active")
	has(t, f.kubectl(t.Context(), "get", "rp"), "chat", "Priority", "alpha", "2")
	has(t, f.output(t.Context(), f.binaries.KubectlTurnout, "explain", "chat", "--kubeconfig", f.cluster.Kubeconfig), "alpha", "beta")

	f.kubectl(t.Context(), "patch", "mep", "alpha", "--type=merge", "-p", `{"spec":{"suspend":true}}`)
	f.await("waiting for the operator to say that alpha is suspended", func(ctx context.Context) error {
		if out := f.kubectl(ctx, "get", "mep", "alpha"); !strings.Contains(out, "Standby") || !strings.Contains(out, "Manual") {
			return errors.New(out)
		}
		return nil
	})
	f.await("waiting for the proxy to leave alpha out", func(ctx context.Context) error {
		out, err := get(ctx, "http://"+f.proxies[0].admin+"/debug/explain?model=chat")
		if err == nil && !strings.Contains(out, `"reason": "Standby"`) {
			err = errors.New(out)
		}
		return err
	})
	c := openai.NewClient(option.WithBaseURL("http://"+f.proxies[0].address+"/v1"), option.WithAPIKey("x"), option.WithMaxRetries(0))
	if r := ask(t.Context(), &c, false); r.err != nil {
		t.Error(r.err)
	}
	if out := f.kubectl(t.Context(), "get", "events.events.k8s.io", "-A", "-o", "yaml"); !strings.Contains(out, "EndpointDeactivated") || !strings.Contains(out, "CurrentRotated") {
		t.Errorf("no events say that alpha was suspended, and that beta is asked first now:\n%s", out)
	}
	for _, admin := range []string{"/metrics", "/debug/table", "/debug/explain?model=chat"} {
		page, err := get(t.Context(), "http://"+f.proxies[0].admin+admin)
		if err != nil || strings.Contains(page, "sk-alpha") {
			t.Errorf("%s: %v, or it shows a credential", admin, err)
		}
	}
}

// columns holds the head of a table against the names its columns should have.
func columns(t *testing.T, table, want string) {
	t.Helper()
	head, _, _ := strings.Cut(table, "\n")
	if got := strings.Join(strings.Fields(head), " "); got != want {
		t.Errorf("the columns are\n%s, want\n%s", got, want)
	}
}

func has(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

// A proxy that is asked to stop takes no further requests, finishes those it has, and says goodbye.
func TestAProxyDrains(t *testing.T) {
	f := newFleet(t, 1, "alpha")
	f.apply(f.endpoints("alpha") + strings.Replace(chatPolicy, ", {name: beta}, {name: gamma}", "", 1))
	f.served("chat")
	p := f.proxies[0]
	f.await("waiting for the proxy to register itself", func(ctx context.Context) error { return f.instances(ctx, 1) })
	c := openai.NewClient(option.WithBaseURL("http://"+p.address+"/v1"), option.WithAPIKey("x"), option.WithMaxRetries(0))
	stream := c.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{
		Model: "chat", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("x")},
	})
	defer stream.Close()
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	f.await("waiting for the proxy to refuse new connections", func(ctx context.Context) error {
		if _, err := get(ctx, "http://"+p.address+"/v1/models"); err == nil {
			return errors.New("it still takes them")
		}
		return nil
	})
	chunks := 1
	for stream.Next() {
		chunks++
	}
	if stream.Err() != nil || chunks < 40 {
		t.Errorf("the stream under way got %d chunks, then %v", chunks, stream.Err())
	}
	if err := <-stopped; err != nil {
		t.Errorf("the proxy did not end by itself: %v", err)
	}
	f.await("waiting for the proxy's object to go", func(ctx context.Context) error { return f.instances(ctx, 0) })
}

// instances is nil when there are n ProxyInstances.
func (f *fleet) instances(ctx context.Context, n int) error {
	var list v1alpha1.ProxyInstanceList
	if err := f.client.List(ctx, &list, client.InNamespace("default")); err != nil {
		return err
	}
	if len(list.Items) != n {
		return fmt.Errorf("%d instances, want %d", len(list.Items), n)
	}
	return nil
}

// A proxy that starts while the API server is away has nothing to serve, says so, and begins by itself.
func TestAProxyThatStartsWithoutTheAPIServerSaysSo(t *testing.T) {
	f := newFleet(t, 0, "alpha")
	f.apply(f.endpoints("alpha") + strings.Replace(chatPolicy, ", {name: beta}, {name: gamma}", "", 1))
	f.cluster.APIServer.Kill()
	s := &server{address: f.port(), admin: f.port()}
	s.Process = f.start("proxy-early", f.binaries.Proxy, harness.HTTPReady("http://"+s.admin+"/livez", nil), nil, f.proxyArgs(s)...)
	f.proxies = append(f.proxies, s)
	if _, err := get(t.Context(), "http://"+s.admin+"/readyz"); err == nil || !strings.Contains(err.Error(), "no routing table yet") {
		t.Errorf("/readyz: %v, want a 503 that says why", err)
	}
	c := openai.NewClient(option.WithBaseURL("http://"+s.address+"/v1"), option.WithAPIKey("x"), option.WithMaxRetries(0))
	if r := ask(t.Context(), &c, false); r.err == nil || !strings.Contains(r.err.Error(), "503") {
		t.Errorf("a request: %v, want 503", r.err)
	}
	f.must(f.cluster.APIServer.Start(t.Context()))
	f.served("chat")
	if r := ask(t.Context(), &c, true); r.err != nil {
		t.Error(r.err)
	}
}
