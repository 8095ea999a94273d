// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/turnout-ai/turnout/internal/kubetest"
)

var plane *kubetest.ControlPlane

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, &plane)) }

const (
	soon      = 20 * time.Second
	reader    = "secret-reader"
	ownSecret = "provider-key"
)

// bench is a watcher under test, run as a user whose permissions the test decides.
type bench struct {
	*Watcher
	namespace string
	clock     *clocktesting.FakePassiveClock
	// changes are the namespaces that onChange was called with.
	changes chan string
}

func startWatcher(t *testing.T, client kubernetes.Interface) *bench {
	t.Helper()
	b := &bench{
		namespace: plane.Namespace(t),
		clock:     clocktesting.NewFakePassiveClock(time.Now()),
		changes:   make(chan string, 1000),
	}
	b.Watcher = NewWatcher(client, func(namespace string) { b.changes <- namespace })
	b.Watcher.clock = b.clock
	// The server ends a watch after this time, and authorizes the next one anew.
	b.watchTimeout = 2 * time.Second
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Start returned %v after its context ended, want nil", err)
		}
	})
	return b
}

// user returns a client of a user without permissions, and how to let that user read Secrets of a namespace.
func user(t *testing.T) (client kubernetes.Interface, grant func(namespace string)) {
	t.Helper()
	name := strings.ToLower(t.Name())
	client, err := kubernetes.NewForConfig(plane.User(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return client, func(namespace string) {
		t.Helper()
		role := &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: reader},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "watch"}}},
		}
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: reader},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: reader},
		}
		if _, err := plane.Clientset.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := plane.Clientset.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func createSecret(t *testing.T, namespace, name, key, value string) *corev1.Secret {
	t.Helper()
	secret, err := plane.Clientset.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "a"}},
		Data:       map[string][]byte{key: []byte(value)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// answer is what Secret says, in a form to compare.
type answer struct {
	Data  map[string]string
	State State
}

func (b *bench) answer(name string) answer {
	data, state := b.Secret(b.namespace, name)
	a := answer{State: state}
	for key, value := range data {
		if a.Data == nil {
			a.Data = map[string]string{}
		}
		a.Data[key] = string(value)
	}
	return a
}

// expect waits for an answer. It looks again only when onChange says so: that is what callers rely on.
func (b *bench) expect(t *testing.T, name string, want answer) {
	t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	for {
		diff := cmp.Diff(want, b.answer(name))
		if diff == "" {
			return
		}
		select {
		case namespace := <-b.changes:
			if namespace != b.namespace {
				t.Fatalf("onChange(%q), want only %q", namespace, b.namespace)
			}
		case <-deadline.C:
			t.Fatalf("Secret(%q) (-want +got):\n%s", name, diff)
		}
	}
}

func TestSecretsOfAWatchedNamespaceAreFollowed(t *testing.T) {
	b := startWatcher(t, plane.Clientset)
	api := plane.Clientset.CoreV1().Secrets(b.namespace)
	secret := createSecret(t, b.namespace, ownSecret, "api-key", "one")
	if diff := cmp.Diff(answer{State: Pending}, b.answer(ownSecret)); diff != "" {
		t.Fatalf("before Watch (-want +got):\n%s", diff)
	}

	b.Watch([]string{b.namespace})
	b.expect(t, ownSecret, answer{State: Found, Data: map[string]string{"api-key": "one"}})
	b.expect(t, "another", answer{State: NotFound})
	if !b.Settled(b.namespace) {
		t.Error("Settled() = false after the first list, want true")
	}

	secret.Data["api-key"] = []byte("two")
	if _, err := api.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.expect(t, ownSecret, answer{State: Found, Data: map[string]string{"api-key": "two"}})

	if err := api.Delete(t.Context(), ownSecret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.expect(t, ownSecret, answer{State: NotFound})

	createSecret(t, b.namespace, ownSecret, "api-key", "three")
	b.expect(t, ownSecret, answer{State: Found, Data: map[string]string{"api-key": "three"}})
	b.Watch(nil)
	g := gomega.NewWithT(t)
	g.Eventually(func() State { return b.answer(ownSecret).State }, soon).Should(gomega.Equal(Pending), "a namespace that is no longer watched is forgotten")
}

func TestOnlyNameVersionAndDataAreKept(t *testing.T) {
	b := startWatcher(t, plane.Clientset)
	secret := createSecret(t, b.namespace, ownSecret, "api-key", "one")
	b.Watch([]string{b.namespace})
	b.expect(t, ownSecret, answer{State: Found, Data: map[string]string{"api-key": "one"}})
	got, _ := b.vaults[b.namespace].mirror.Get(b.namespace, ownSecret)
	want := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: ownSecret, UID: secret.UID, ResourceVersion: secret.ResourceVersion},
		Data:       map[string][]byte{"api-key": []byte("one")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func TestEachStateOfASecretHasAVersionOfItsOwn(t *testing.T) {
	b := startWatcher(t, plane.Clientset)
	api := plane.Clientset.CoreV1().Secrets(b.namespace)
	version := func() string { return b.Version(b.namespace, ownSecret) }
	if got := version(); got != "" {
		t.Errorf("before Watch the version is %q, want none", got)
	}
	b.Watch([]string{b.namespace})
	b.expect(t, ownSecret, answer{State: NotFound})
	if got := version(); got != "" {
		t.Errorf("a Secret that does not exist has version %q, want none", got)
	}

	seen := map[string]bool{}
	wantNew := func(after string) {
		t.Helper()
		gomega.NewWithT(t).Eventually(func() bool { got := version(); return got != "" && !seen[got] }, soon).
			Should(gomega.BeTrue(), "the version is new after %s", after)
		seen[version()] = true
	}
	secret := createSecret(t, b.namespace, ownSecret, "api-key", "one")
	wantNew("it was created")
	secret.Data["api-key"] = []byte("two")
	secret, err := api.Update(t.Context(), secret, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantNew("its data changed")
	for len(b.changes) > 0 {
		<-b.changes
	}
	secret.Labels["team"] = "b"
	if _, err := api.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	wantNew("its labels changed")
	gomega.NewWithT(t).Eventually(b.changes, soon).Should(gomega.Receive(), "whoever asked for the version hears of it")
	if err := api.Delete(t.Context(), ownSecret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	createSecret(t, b.namespace, ownSecret, "api-key", "two")
	wantNew("another took its name")
}

func TestTypesThatHoldNoCredentialsAreNotRead(t *testing.T) {
	b := startWatcher(t, plane.Clientset)
	for name, kind := range map[string]corev1.SecretType{"release": "helm.sh/release.v1", "token": corev1.SecretTypeServiceAccountToken} {
		_, err := plane.Clientset.CoreV1().Secrets(b.namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
			Type:       kind,
			Data:       map[string][]byte{"release": []byte("large")},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	createSecret(t, b.namespace, ownSecret, "api-key", "one")
	b.Watch([]string{b.namespace})
	b.expect(t, ownSecret, answer{State: Found, Data: map[string]string{"api-key": "one"}})
	for _, name := range []string{"release", "token"} {
		if diff := cmp.Diff(answer{State: NotFound}, b.answer(name)); diff != "" {
			t.Errorf("Secret(%q) (-want +got):\n%s", name, diff)
		}
	}
}

func TestAccessIsRefusedThenGrantedThenWithdrawn(t *testing.T) {
	client, grant := user(t)
	b := startWatcher(t, client)
	createSecret(t, b.namespace, ownSecret, "api-key", "one")
	found := answer{State: Found, Data: map[string]string{"api-key": "one"}}

	b.Watch([]string{b.namespace})
	b.expect(t, ownSecret, answer{State: AccessDenied})
	if !b.Settled(b.namespace) {
		t.Error("Settled() = false after a refusal, want true")
	}

	grant(b.namespace)
	b.expect(t, ownSecret, found)

	if err := plane.Clientset.RbacV1().RoleBindings(b.namespace).Delete(t.Context(), reader, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	v := b.vaults[b.namespace]
	gomega.NewWithT(t).Eventually(func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return !v.refusedSince.IsZero()
	}, soon).Should(gomega.BeTrue(), "the refusal is noticed when the watch is renewed")
	if diff := cmp.Diff(found, b.answer(ownSecret)); diff != "" {
		t.Errorf("a refusal is not believed at once while data is at hand (-want +got):\n%s", diff)
	}
	b.clock.SetTime(b.clock.Now().Add(patience))
	b.expect(t, ownSecret, answer{State: AccessDenied})
	if kept := v.mirror.List(); len(kept) != 0 {
		t.Errorf("%d Secrets are still held after the access was withdrawn, want none", len(kept))
	}
}

func TestOneForbiddenNamespaceDoesNotKeepAnotherFromBeingRead(t *testing.T) {
	client, grant := user(t)
	b := startWatcher(t, client)
	grant(b.namespace)
	createSecret(t, b.namespace, ownSecret, "api-key", "one")
	forbidden := plane.Namespace(t)
	b.Watch([]string{b.namespace, forbidden})
	g := gomega.NewWithT(t)
	g.Eventually(func() State { _, state := b.Secret(forbidden, ownSecret); return state }, soon).Should(gomega.Equal(AccessDenied))
	g.Eventually(func() answer { return b.answer(ownSecret) }, soon).Should(gomega.Equal(answer{State: Found, Data: map[string]string{"api-key": "one"}}))
}

func TestVaultJudgesAnswers(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no"))
	away := errors.New("connection refused")
	type step struct {
		after time.Duration
		err   error
	}
	tests := []struct {
		name       string
		steps      []step
		wantDenied bool
		wantForgot bool
	}{
		{name: "refusals for less than the patience are not believed", steps: []step{{0, forbidden}, {patience - 1, forbidden}}},
		{name: "refusals for the whole patience are believed and the data goes", steps: []step{{0, forbidden}, {patience, forbidden}}, wantDenied: true, wantForgot: true},
		{name: "a good answer ends a row of refusals", steps: []step{{0, forbidden}, {patience - 1, nil}, {1, forbidden}}},
		{name: "an API server that went away ends a row of refusals", steps: []step{{0, forbidden}, {patience - 1, away}, {1, forbidden}}},
		{name: "an API server that is away denies nothing", steps: []step{{0, away}, {patience, away}}},
		{name: "a good answer mends a denial", steps: []step{{0, forbidden}, {patience, forbidden}, {time.Second, nil}}, wantForgot: true},
		{name: "an API server that goes away does not mend a denial", steps: []step{{0, forbidden}, {patience, forbidden}, {time.Second, away}}, wantDenied: true, wantForgot: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := startWatcher(t, plane.Clientset)
			v := b.newVault(b.namespace, func() {})
			store := v.mirror
			// The vault is judged without a reflector: the test is its only source of answers.
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); store.Run(ctx) }()
			gomega.NewWithT(t).Eventually(store.Synced, soon).Should(gomega.BeTrue())
			cancel()
			<-done
			for _, s := range test.steps {
				b.clock.SetTime(b.clock.Now().Add(s.after))
				v.answered(s.err)
			}
			if v.denied != test.wantDenied {
				t.Errorf("denied = %v, want %v", v.denied, test.wantDenied)
			}
			if forgot := !store.Synced(); forgot != test.wantForgot {
				t.Errorf("forgot = %v, want %v", forgot, test.wantForgot)
			}
		})
	}
}
