// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/test/harness"
)

// startControlPlane starts one that is closed, and proven to leave nothing, at the end of the test.
func startControlPlane(t *testing.T) (*harness.ControlPlane, client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "control-plane")
	plane, err := harness.StartControlPlane(ctx, harness.ControlPlaneOptions{Dir: dir, LogDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	etcd, apiServer := plane.Etcd.PID(), plane.APIServer.PID()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the API server's log ends:\n%s", plane.APIServer.LogTail(20))
		}
		if err := plane.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if running(etcd) || running(apiServer) {
			t.Errorf("etcd %d or kube-apiserver %d is left", etcd, apiServer)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left (%v)", dir, err)
		}
	})
	cluster, err := plane.Client()
	if err != nil {
		t.Fatal(err)
	}
	return plane, cluster
}

// apply writes the objects of a YAML text that is known to be good.
func apply(t *testing.T, cluster client.Client, text string) error {
	t.Helper()
	objects, err := harness.ParseObjects([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return harness.Apply(t.Context(), cluster, "default", objects...)
}

func TestControlPlane(t *testing.T) {
	plane, cluster := startControlPlane(t)
	t.Run("objects outlive a stop of the API server", func(t *testing.T) {
		testOutlives(t, plane, cluster, func() error { return plane.APIServer.Stop(t.Context()) })
	})
	t.Run("objects outlive a kill of the API server", func(t *testing.T) {
		testOutlives(t, plane, cluster, func() error { plane.APIServer.Kill(); return nil })
	})
	t.Run("a user without a role is refused and one with a role is not", func(t *testing.T) { testRBAC(t, plane, cluster) })
	t.Run("a ServiceAccount's token speaks for it", func(t *testing.T) { testToken(t, cluster) })
	t.Run("kinds are installed, strict and waited for", func(t *testing.T) { testKinds(t, cluster) })
}

func testOutlives(t *testing.T, plane *harness.ControlPlane, cluster client.Client, end func() error) {
	if err := apply(t, cluster, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: b}}"); err != nil {
		t.Fatal(err)
	}
	before := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: "default", Name: "kept"}
	if err := cluster.Get(t.Context(), key, before); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(plane.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(server.Port())
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.PortFree(port); err != nil {
		t.Errorf("the API server's port is still in use: %v", err)
	}
	if err := cluster.Get(t.Context(), key, &corev1.ConfigMap{}); err == nil {
		t.Error("an API server that is not there answered")
	}
	if err := plane.APIServer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The same client, so the same address and certificates.
	after := &corev1.ConfigMap{}
	if err := cluster.Get(t.Context(), key, after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the object changed (-before +after):\n%s", diff)
	}
}

func testRBAC(t *testing.T, plane *harness.ControlPlane, cluster client.Client) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := plane.WriteKubeconfig(path, "system:serviceaccount:default:reader", "system:serviceaccounts"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := harness.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	list := func(ctx context.Context) error {
		return reader.List(ctx, &corev1.SecretList{}, client.InNamespace("default"))
	}
	if err := list(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: %v, want Forbidden", err)
	}
	err = apply(t, cluster, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]
---
# a document of comments only
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, namespace: default, name: reader}]
`)
	if err != nil {
		t.Fatal(err)
	}
	// The authorizer reads roles through a watch, so a role acts a moment after it is written.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := harness.Poll(ctx, 20*time.Millisecond, list); err != nil {
		t.Errorf("with a role: %v", err)
	}
}

func testToken(t *testing.T, cluster client.Client) {
	if err := apply(t, cluster, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: caller}}"); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "caller"}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"turnout.dev"}}}
	if err := cluster.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
		Token: request.Status.Token, Audiences: []string{"turnout.dev"},
	}}
	if err := cluster.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	if !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:default:caller" {
		t.Errorf("the token was reviewed as %+v", review.Status)
	}
}

func testKinds(t *testing.T, cluster client.Client) {
	if err := harness.InstallCRDs(t.Context(), cluster, "testdata"); err != nil {
		t.Fatal(err)
	}
	widget := func(spec string) string {
		return "{apiVersion: harness.turnout.dev/v1, kind: Widget, metadata: {name: w}, spec: " + spec + "}"
	}
	if err := apply(t, cluster, widget("{siez: 3}")); err == nil || !strings.Contains(err.Error(), "siez") {
		t.Errorf("an unknown field: %v, want an error that names it", err)
	}
	if err := apply(t, cluster, widget("{size: 3}")); err != nil {
		t.Fatal(err)
	}
	objects, err := harness.ParseObjects([]byte(widget("{}")))
	if err != nil {
		t.Fatal(err)
	}
	await := func(bound time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		return harness.AwaitCondition(ctx, cluster, objects[0], "Ready")
	}
	setStatus := func(status string) {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":`+status+`}`))
		if err := cluster.Status().Patch(t.Context(), objects[0].DeepCopy(), patch); err != nil {
			t.Fatal(err)
		}
	}
	objects[0].SetNamespace("default")
	steps := []struct{ status, want string }{
		{`{}`, "it is not set yet"},
		{`{"conditions":[{"type":"Ready","status":"False","reason":"SecretNotFound","message":"make it"}]}`, "it is False, reason SecretNotFound: make it"},
		{`{"observedGeneration":9,"conditions":[{"type":"Ready","status":"True"}]}`, "status speaks of generation 9, the object is at 1"},
		{`{"observedGeneration":1}`, ""},
	}
	for _, step := range steps {
		setStatus(step.status)
		if step.want == "" {
			if err := await(time.Minute); err != nil {
				t.Errorf("with status %s: %v", step.status, err)
			}
			continue
		}
		// What must not hold gets a moment to show that it does. A machine with other work may need several such
		// moments before the API server has answered once.
		err := await(300 * time.Millisecond)
		for tries := 0; tries < 50 && err != nil && !strings.Contains(err.Error(), step.want); tries++ {
			err = await(300 * time.Millisecond)
		}
		if err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("with status %s: %v, want %q", step.status, err, step.want)
		}
	}
	if err := cluster.Delete(t.Context(), objects[0]); err != nil {
		t.Fatal(err)
	}
	if err := harness.AwaitGone(t.Context(), cluster, objects[0]); err != nil {
		t.Error(err)
	}
}

func TestAssetsSaysHowToGetThem(t *testing.T) {
	t.Setenv(harness.AssetsVariable, t.TempDir())
	if _, err := harness.Assets(); err == nil || !strings.Contains(err.Error(), "there is no etcd in") || !strings.Contains(err.Error(), harness.AssetsVariable) {
		t.Errorf("Assets() = %v, want what is missing and what to set", err)
	}
}

func TestParseObjectsRefuses(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"text that is not YAML":              {"a: [", "document 1 is not YAML"},
		"an object without a name":           {"kind: Secret", "document 1 has no kind or no metadata.name"},
		"a second document that has no kind": {"{kind: A, metadata: {name: b}}\n---\n{metadata: {name: c}}", "document 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := harness.ParseObjects([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ParseObjects() = %v, want %q", err, test.want)
			}
		})
	}
}
