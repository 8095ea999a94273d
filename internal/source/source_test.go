// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kubetest"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

var plane *kubetest.ControlPlane

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, &plane)) }

// soon bounds the waits for something that must happen.
const soon = 60 * time.Second

// bench is a source under test with what it published and said.
type bench struct {
	*Source
	tables chan *routing.Table
	states chan State
	// fleet are the states of endpoints that were published; served are the UIDs in the newest table.
	fleet  chan map[string]modelstate.State
	served map[string]bool
	// assembled counts how often a table's input was made; sabotage makes the next ones panic.
	assembled atomic.Int64
	sabotage  atomic.Bool
}

// Publish implements Publisher.
func (b *bench) Publish(table *routing.Table) {
	b.served = map[string]bool{}
	for _, e := range table.Endpoints {
		b.served[e.UID] = true
	}
	b.tables <- table
}

// PublishStates implements Publisher. Like Publish it is called from the loop's goroutine.
func (b *bench) PublishStates(states map[string]modelstate.State) {
	for uid := range states {
		if !b.served[uid] {
			panic("a state was published before the table that has its endpoint")
		}
	}
	b.fleet <- states
}

func startSource(t testing.TB, config *rest.Config, namespaces ...string) *bench {
	t.Helper()
	b := &bench{tables: make(chan *routing.Table, 10000), states: make(chan State, 10000), fleet: make(chan map[string]modelstate.State, 10000)}
	s, err := New(Options{
		Config: config, Namespaces: namespaces, Publisher: b,
		OnState: func(state State) { b.states <- state },
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Source = s
	assemble := s.assemble
	s.assemble = func(e []*v1alpha1.ModelEndpoint, p []*v1alpha1.RoutingPolicy, r secrets.Reader) routing.Input {
		b.assembled.Add(1)
		if b.sabotage.Load() {
			panic("sabotage with a canary")
		}
		return assemble(e, p, r)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v after its context ended, want nil", err)
		}
	})
	return b
}

// next waits for the next table.
func (b *bench) next(t testing.TB) *routing.Table {
	t.Helper()
	select {
	case table := <-b.tables:
		return table
	case <-time.After(soon):
		t.Fatalf("no table was published; state %+v", b.State())
		return nil
	}
}

// until waits for a table with the given models (name=model of each endpoint, sorted), and returns it.
func (b *bench) until(t testing.TB, want ...string) *routing.Table {
	t.Helper()
	for {
		table := b.next(t)
		if cmp.Diff(want, models(table)) == "" {
			return table
		}
	}
}

func models(table *routing.Table) []string {
	var out []string
	for _, e := range table.Endpoints {
		out = append(out, e.Key.Name+"="+e.Model)
	}
	return out
}

// awaitState waits for a state with the reason.
func (b *bench) awaitState(t testing.TB, reason string) State {
	t.Helper()
	for {
		select {
		case state := <-b.states:
			if state.Reason == reason {
				return state
			}
		case <-time.After(soon):
			t.Fatalf("the state never had reason %s; it is %+v", reason, b.State())
		}
	}
}

func endpoint(namespace, name, model string) *v1alpha1.ModelEndpoint {
	return &v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "sim", Format: v1alpha1.FormatOpenAI, URL: "http://127.0.0.1:9/v1", Model: model,
			Capabilities: []string{"chat-completion"},
		},
	}
}

func withAuth(e *v1alpha1.ModelEndpoint, secret string) *v1alpha1.ModelEndpoint {
	e.Spec.Auth = &v1alpha1.EndpointAuth{
		Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: secret, Key: "api-key"},
	}
	return e
}

func create[T client.Object](t testing.TB, object T) T {
	t.Helper()
	if err := plane.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	return object
}

func setModel(t testing.TB, e *v1alpha1.ModelEndpoint, model string) {
	t.Helper()
	base := e.DeepCopy()
	e.Spec.Model = model
	if err := plane.Client.Patch(t.Context(), e, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
}

func setSecret(t testing.TB, namespace, name, value string) {
	t.Helper()
	api := plane.Clientset.CoreV1().Secrets(namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"api-key": []byte(value)}}
	if _, err := api.Update(t.Context(), secret, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := api.Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// proxyUser may do in the cluster what a proxy may, but read Secrets only in the namespaces given.
func proxyUser(t testing.TB, secretNamespaces ...string) *rest.Config {
	t.Helper()
	name := fmt.Sprintf("%s-%x", strings.ToLower(t.Name()), rand.Uint32()) // one for each run of -count
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}
	read := []string{"get", "list", "watch"}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"modelendpoints", "routingpolicies"}, Verbs: read}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	}
	rbac := plane.Clientset.RbacV1()
	if _, err := rbac.ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range secretNamespaces {
		role := &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: read}},
		}
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		}
		if _, err := rbac.Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := rbac.RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return plane.User(t, name)
}

func TestTheFirstTableHasEverythingIncludingSecrets(t *testing.T) {
	namespace, other := plane.Namespace(t), plane.Namespace(t)
	setSecret(t, namespace, "key", "one")
	create(t, withAuth(endpoint(namespace, "alpha", "a"), "key"))
	create(t, endpoint(namespace, "beta", "b"))
	create(t, endpoint(other, "elsewhere", "e"))
	create(t, &v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat"},
		Spec:       v1alpha1.RoutingPolicySpec{Models: []string{"chat"}, Capability: "chat-completion"},
	})

	b := startSource(t, plane.Config, namespace)
	table := b.next(t)
	if diff := cmp.Diff([]string{"alpha=a", "beta=b"}, models(table)); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	alpha := table.Endpoint(routing.Key{Namespace: namespace, Name: "alpha"})
	if got := alpha.Credential.Value.Reveal(); got != "Bearer one" || alpha.Unresolved.Reason != "" {
		t.Errorf("the first table has credential %q and refusal %+v, want the Secret's", got, alpha.Unresolved)
	}
	if len(table.Policies) != 1 || table.Policies[0].Total != 2 {
		t.Errorf("got %d policies, want one with both endpoints", len(table.Policies))
	}
	state := b.awaitState(t, v1alpha1.ReasonCurrent)
	if !state.Synced || !state.Current || state.Generation != 1 || state.PublishedAt.IsZero() || state.Since.IsZero() {
		t.Errorf("state %+v, want synced, current, generation 1 and both times", state)
	}

	setSecret(t, namespace, "key", "two")
	alpha = b.next(t).Endpoint(routing.Key{Namespace: namespace, Name: "alpha"})
	if got := alpha.Credential.Value.Reveal(); got != "Bearer two" {
		t.Errorf("after the Secret changed the credential is %q, want the new one", got)
	}
}

func TestSeveralNamespacesAreServedAndNoOthers(t *testing.T) {
	one, two, three := plane.Namespace(t), plane.Namespace(t), plane.Namespace(t)
	for i, namespace := range []string{one, two, three} {
		create(t, endpoint(namespace, fmt.Sprintf("e%d", i), "m"))
	}
	b := startSource(t, plane.Config, one, two, one)
	got := models(b.next(t))
	slices.Sort(got)
	if diff := cmp.Diff([]string{"e0=m", "e1=m"}, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func TestStatusUpdatesAndStrangeSecretsPublishNothing(t *testing.T) {
	namespace := plane.Namespace(t)
	setSecret(t, namespace, "key", "one")
	alpha := create(t, withAuth(endpoint(namespace, "alpha", "a"), "key"))
	beta := create(t, endpoint(namespace, "beta", "b"))
	b := startSource(t, plane.Config, namespace)
	b.until(t, "alpha=a", "beta=b")
	before := b.assembled.Load()

	for i := range 10 {
		alpha.Status.ObservedGeneration = int64(i + 1)
		if err := plane.Client.Status().Update(t.Context(), alpha); err != nil {
			t.Fatal(err)
		}
	}
	// The same watch brings this change after those: when it is published, they have been seen.
	setModel(t, beta, "b2")
	b.until(t, "alpha=a", "beta=b2")
	if got := b.assembled.Load() - before; got != 1 {
		t.Errorf("ten status updates and one change of spec made %d tables, want 1", got)
	}

	// A Secret that nobody refers to is looked at, and found to change nothing.
	seen := b.assembled.Load()
	setSecret(t, namespace, "unrelated", "x")
	gomega.NewWithT(t).Eventually(b.assembled.Load, soon).Should(gomega.BeNumerically(">", seen))
	setModel(t, beta, "b3")
	if diff := cmp.Diff([]string{"alpha=a", "beta=b3"}, models(b.next(t))); diff != "" {
		t.Errorf("the next table must be that of the change (-want +got):\n%s", diff)
	}
	// A table is counted just after it was published.
	gomega.NewWithT(t).Eventually(func() uint64 { return b.State().Generation }, soon).Should(gomega.BeEquivalentTo(3))
}

func TestLabelsAndDeletionArePublished(t *testing.T) {
	namespace := plane.Namespace(t)
	alpha := create(t, endpoint(namespace, "alpha", "a"))
	create(t, endpoint(namespace, "beta", "b"))
	b := startSource(t, plane.Config, namespace)
	b.until(t, "alpha=a", "beta=b")

	base := alpha.DeepCopy()
	alpha.Labels = map[string]string{"tier": "gold"}
	if err := plane.Client.Patch(t.Context(), alpha, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	if got := b.next(t).Endpoints[0].Labels; got["tier"] != "gold" {
		t.Errorf("labels %v, want the new one", got)
	}
	if err := plane.Client.Delete(t.Context(), alpha); err != nil {
		t.Fatal(err)
	}
	b.until(t, "beta=b")
}

func TestAForbiddenNamespaceDoesNotHoldUpTheOthers(t *testing.T) {
	allowed, forbidden := plane.Namespace(t), plane.Namespace(t)
	for _, namespace := range []string{allowed, forbidden} {
		setSecret(t, namespace, "key", "one")
		create(t, withAuth(endpoint(namespace, "alpha", "a"), "key"))
	}
	b := startSource(t, proxyUser(t, allowed), allowed, forbidden)
	table := b.next(t)
	got := map[string]string{}
	for _, e := range table.Endpoints {
		got[e.Key.Namespace] = e.Unresolved.Reason
	}
	if diff := cmp.Diff(map[string]string{allowed: "", forbidden: v1alpha1.ReasonSecretAccessDenied}, got); diff != "" {
		t.Errorf("refusals by namespace (-want +got):\n%s", diff)
	}
	if state := b.awaitState(t, v1alpha1.ReasonCurrent); !state.Current {
		t.Errorf("state %+v, want it current: a missing permission is the endpoint's trouble", state)
	}
}

func TestSecretsThatDoNotArriveAreWaitedForOnlySoLong(t *testing.T) {
	s := &Source{secrets: secrets.NewWatcher(nil, nil)} // It is never started, so nothing ever settles.
	needed := []string{"silent"}
	steps := []struct {
		name     string
		now      time.Duration
		needed   []string
		wantWait bool
	}{
		{name: "the first look waits", now: 0, needed: needed, wantWait: true},
		{name: "just before the end of the patience it still waits", now: secretsPatience - 1, needed: needed, wantWait: true},
		{name: "at its end it goes on without", now: secretsPatience, needed: needed},
		{name: "later changes do not wait again", now: secretsPatience + time.Hour, needed: needed},
		{name: "once nothing is out", now: secretsPatience + 2*time.Hour},
		{name: "another namespace is waited for again", now: secretsPatience + 3*time.Hour, needed: needed, wantWait: true},
	}
	for _, step := range steps {
		if _, wait := s.awaitSecrets(step.needed, at(step.now)); wait != step.wantWait {
			t.Errorf("%s: wait = %v, want %v", step.name, wait, step.wantWait)
		}
	}
}

func TestTheLastGoodTableStaysWhenTheNextCannotBeBuilt(t *testing.T) {
	namespace := plane.Namespace(t)
	alpha := create(t, endpoint(namespace, "alpha", "a"))
	b := startSource(t, plane.Config, namespace)
	b.until(t, "alpha=a")
	good := b.awaitState(t, v1alpha1.ReasonCurrent)

	b.sabotage.Store(true)
	setModel(t, alpha, "poison")
	state := b.awaitState(t, v1alpha1.ReasonBuildFailed)
	if state.Current || !state.Synced || state.Generation != good.Generation {
		t.Errorf("state %+v, want synced, not current, still generation %d", state, good.Generation)
	}
	if strings.Contains(state.Message, "canary") {
		t.Errorf("message %q repeats the words of a panic, which may be anything", state.Message)
	}

	b.sabotage.Store(false)
	setModel(t, alpha, "a2")
	if diff := cmp.Diff([]string{"alpha=a2"}, models(b.next(t))); diff != "" {
		t.Errorf("the table after the repair (-want +got):\n%s", diff)
	}
	if state := b.awaitState(t, v1alpha1.ReasonCurrent); !state.Current || state.Generation != good.Generation+1 {
		t.Errorf("state %+v, want current with the next generation", state)
	}
}
