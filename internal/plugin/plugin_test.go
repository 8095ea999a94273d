// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/explain"
	"github.com/turnout-ai/turnout/internal/kubetest"
)

var (
	plane  *kubetest.ControlPlane
	update = flag.Bool("update", false, "write the golden files")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(kubetest.Main(m, &plane))
}

// objects are applied once; every test reads them.
func objects(t *testing.T) {
	t.Helper()
	err := plane.Client.List(t.Context(), &v1alpha1.ModelEndpointList{}, client.InNamespace("team-a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plane.Clientset.CoreV1().Namespaces().Get(t.Context(), "team-a", metav1.GetOptions{}); err == nil {
		return
	}
	for _, name := range []string{"team-a", "team-b"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := plane.Clientset.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for document := range strings.SplitSeq(string(file(t, "objects.yaml")), "\n---\n") {
		apply(t, document)
	}
	// The operator's word on two of the endpoints that refer to Secrets; it has said nothing of the third.
	word(t, "primary", metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs, "all references resolve")
	word(t, "keyless", metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound, `spec.auth.secretRef: namespace "team-a" has no Secret "lost"; create it, or name another`)
	verdict(t, "failing", v1alpha1.DeactivationErrorThreshold, "3 failures in a row, the last of them 503 from vllm-3.models.svc")
	change(t, "primary", func(status *v1alpha1.ModelEndpointStatus) {
		status.Limits = []v1alpha1.LimitStatus{{
			Limit: v1alpha1.LimitRequests, Amount: "1000", Used: "420", Leased: "130", Left: "450",
			ResetTime: metav1.Date(2126, 1, 2, 0, 0, 0, 0, time.UTC),
		}}
	})
	verdict(t, "spent", v1alpha1.DeactivationQuotaExhausted, "the provider says that its quota is spent")
}

// verdict sets why the operator has an endpoint on Standby.
func verdict(t *testing.T, name string, reason v1alpha1.DeactivationReason, message string) {
	t.Helper()
	change(t, name, func(status *v1alpha1.ModelEndpointStatus) {
		until := metav1.Date(2126, 1, 2, 3, 4, 5, 0, time.UTC)
		status.ModelState = &v1alpha1.ModelState{
			Status: v1alpha1.StatusStandby, DeactivationReason: reason, Message: message, Epoch: 2, CooldownUntil: &until,
			Reasons: []v1alpha1.StandbyReason{{Reason: reason, Message: message, Until: &until}},
		}
	})
}

func apply(t *testing.T, document string) {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		t.Fatal(err)
	}
	var object client.Object = &v1alpha1.ModelEndpoint{}
	if kind.Kind == "RoutingPolicy" {
		object = &v1alpha1.RoutingPolicy{}
	}
	if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
		t.Fatal(err)
	}
	if err := plane.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// word sets what the operator says of an endpoint's references.
func word(t *testing.T, name string, conditionStatus metav1.ConditionStatus, reason, message string) {
	t.Helper()
	change(t, name, func(status *v1alpha1.ModelEndpointStatus) {
		apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionResolvedRefs, Status: conditionStatus, Reason: reason, Message: message, ObservedGeneration: 1,
		})
	})
}

// change writes an endpoint's status.
func change(t *testing.T, name string, write func(*v1alpha1.ModelEndpointStatus)) {
	t.Helper()
	var endpoint v1alpha1.ModelEndpoint
	if err := plane.Client.Get(t.Context(), client.ObjectKey{Namespace: "team-a", Name: name}, &endpoint); err != nil {
		t.Fatal(err)
	}
	write(&endpoint.Status)
	if err := plane.Client.Status().Update(t.Context(), &endpoint); err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// run runs the plugin as kubectl would.
func run(t *testing.T, arguments ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), arguments, &out, &errs)
	return out.String(), errs.String(), code
}

func TestOutputs(t *testing.T) {
	objects(t)
	kubeconfig := plane.Kubeconfig(t)
	tests := []struct {
		name      string
		golden    string
		arguments string
		wantCode  int
	}{
		{name: "a model name is explained", golden: "chat", arguments: "explain chat -n team-a"},
		{name: "a request is weighed", golden: "chat-vision", arguments: "explain chat -n team-a --operation chat --stream --features vision,ToolCalling --input-tokens 9000 --max-tokens 600"},
		{name: "a request that refers to state has one endpoint", golden: "pinned", arguments: "explain chat -n team-a --pinned"},
		{name: "a capability is explained, and its nearest policy is found", golden: "capability", arguments: "explain code-generation -n team-a"},
		{name: "another namespace is reached by name", golden: "elsewhere", arguments: "explain team-b/chat -n team-a"},
		{name: "a bare name does not reach another namespace", golden: "not-elsewhere", arguments: "explain only-b -n team-a", wantCode: ExitNothing},
		{name: "a name that resolves to nothing says what would", golden: "unknown", arguments: "explain chta -n team-a", wantCode: ExitNothing},
		{name: "a policy of which nothing can be tried says why", golden: "nothing", arguments: "explain embed -n team-a --operation chat", wantCode: ExitNothing},
		{name: "an answer in JSON", golden: "json", arguments: "explain chat -n team-a -o json"},
		{name: "a failure in JSON", golden: "json-unknown", arguments: "explain chta -n team-a -o json", wantCode: ExitNothing},
		{name: "the tree with counts", golden: "tree", arguments: "capabilities -n team-a"},
		{name: "a part of the tree with the counts of all namespaces", golden: "tree-part", arguments: "capabilities text-generation -A"},
		{name: "a node under a domain", golden: "tree-custom", arguments: "capabilities acme.com/compliance -n team-a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, code := run(t, append(strings.Fields(test.arguments), "--kubeconfig", kubeconfig)...)
			if code != test.wantCode || stderr != "" {
				t.Errorf("exit status %d, stderr %q; want %d and nothing", code, stderr, test.wantCode)
			}
			expectGolden(t, test.golden, stdout)
		})
	}
}

// countdown is how long it still is until the year 2126, when what the operator said in objects is over.
var countdown = regexp.MustCompile(`\b\d{6}h\d+m\d+s\b`)

func expectGolden(t *testing.T, name, got string) {
	t.Helper()
	got = countdown.ReplaceAllString(got, "A-CENTURY")
	name += ".golden"
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(file(t, name)), got); diff != "" {
		t.Errorf("%s (-want +got); go test -update writes it anew:\n%s", name, diff)
	}
}

func TestJSONIsWhatTheTypesSay(t *testing.T) {
	objects(t)
	stdout, _, _ := run(t, "explain", "chat", "-n", "team-a", "-o", "json", "--kubeconfig", plane.Kubeconfig(t))
	var answer explain.Answer
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Policy != "team-a/chat" || len(answer.Order) == 0 || len(answer.Excluded) == 0 {
		t.Errorf("answer %+v, want the policy, an order and exclusions", answer)
	}
}

func TestTheTreeNeedsNoCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	stdout, stderr, code := run(t, "capabilities", "--offline")
	if code != ExitOK || stderr != "" {
		t.Errorf("exit status %d, stderr %q; want 0 and nothing", code, stderr)
	}
	expectGolden(t, "tree-offline", stdout)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	objects(t)
	kubeconfig := plane.Kubeconfig(t)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	tests := []struct {
		name      string
		arguments string
		want      string
	}{
		{name: "no name", arguments: "explain", want: "kubectl turnout explain takes one argument: NAME"},
		{name: "two names", arguments: "explain a b", want: "takes one argument"},
		{name: "an unknown operation", arguments: "explain chat --operation chats", want: `--operation "chats" is not known: use chat, completions or embeddings`},
		{name: "an unknown feature", arguments: "explain chat --features Sight", want: `--features "Sight" is not known: use ToolCalling, StructuredOutput, JSONMode, Vision`},
		{name: "a negative size", arguments: "explain chat --input-tokens=-1", want: "--input-tokens must not be negative"},
		{name: "a negative answer", arguments: "explain chat --max-tokens=-1", want: "--max-tokens must not be negative"},
		{name: "an unknown output", arguments: "explain chat -o yaml", want: `--output "yaml" is not known: use json`},
		{name: "no cluster", arguments: "explain chat", want: "no cluster is configured: set KUBECONFIG or pass --kubeconfig"},
		{name: "no cluster for the tree", arguments: "capabilities", want: "the tree alone needs no cluster: add --offline"},
		{name: "a misspelt capability", arguments: "capabilities chat-completoin --offline", want: `"chat-completoin" is not a capability; did you mean chat-completion`},
		{name: "an unknown command", arguments: "explian chat", want: `unknown command "explian"`},
		{name: "no permission", arguments: "explain chat -n team-a --as nobody --kubeconfig " + kubeconfig, want: `you may not list ModelEndpoints in namespace "team-a": ask for the verb list on modelendpoints.turnout.dev there`},
		{name: "a context that does not exist", arguments: "explain chat --context prod --kubeconfig " + kubeconfig, want: `context "prod" does not exist`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, code := run(t, strings.Fields(test.arguments)...)
			if code != ExitError || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("exit status %d, stdout %q, stderr %q; want %d, nothing, and %q", code, stdout, stderr, ExitError, test.want)
			}
		})
	}
}

func TestSecretsAreNeverAskedFor(t *testing.T) {
	objects(t)
	// A user who may read the two kinds and nothing else.
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "asker"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"turnout.dev"}, Resources: []string{"modelendpoints", "routingpolicies"}, Verbs: []string{"list"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "asker"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "asker"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "asker"},
	}
	if _, err := plane.Clientset.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := plane.Clientset.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	kubeconfig := plane.Kubeconfig(t)
	for _, command := range []string{"explain chat", "capabilities"} {
		arguments := append(strings.Fields(command), "-n", "team-a", "--as", "asker", "--kubeconfig", kubeconfig)
		if _, stderr, code := run(t, arguments...); code != ExitOK {
			t.Errorf("%s: exit status %d, stderr %q; want 0", command, code, stderr)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, command := range []string{"explain", "capabilities"} {
		stdout, _, code := run(t, command, "--help")
		if code != ExitOK || !strings.Contains(stdout, "kubectl turnout "+command+" ") || !strings.Contains(stdout, "Examples:") {
			t.Errorf("%s --help: exit status %d, output\n%s", command, code, stdout)
		}
	}
}

func TestAnInterruptEndsAQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := Main(ctx, []string{"explain", "chat", "--kubeconfig", plane.Kubeconfig(t)}, &out, &errs)
	if code != ExitError || !strings.Contains(errs.String(), context.Canceled.Error()) {
		t.Errorf("exit status %d, stderr %q; want %d and the reason", code, errs.String(), ExitError)
	}
}
