// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
)

// shippedRole is the Role of a proxy in its own namespace, as config/rbac has it.
func shippedRole(t *testing.T) *rbacv1.Role {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "config", "rbac", "proxy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		role := &rbacv1.Role{}
		err := decoder.Decode(role)
		if errors.Is(err, io.EOF) {
			t.Fatal("config/rbac/proxy.yaml has no Role")
		}
		if err != nil {
			t.Fatal(err)
		}
		if role.Kind == "Role" {
			return role
		}
	}
}

// proxyClient is a client with the rights of a proxy in the namespace, and no others.
func proxyClient(t *testing.T, namespace string) client.WithWatch {
	t.Helper()
	role := shippedRole(t)
	role.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: role.Name}
	user := "proxy-of-" + namespace
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
	}
	if _, err := plane.Clientset.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := plane.Clientset.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := kube.NewClient(plane.User(t, user), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheShippedRightsAreEnough(t *testing.T) {
	namespace := plane.Namespace(t)
	c := proxyClient(t, namespace)
	b := start(t, namespace, func(o *Options) {
		o.Client, o.PodName, o.PodUID = c, "proxy-0", "8b1e4f6e-0000-4000-8000-000000000001"
	})
	b.settled()
	b.book.fail(1, 3)
	b.shows(t, 3)
	b.book.limit(1)
	b.pass(firstPause)
	b.book.take(0)
	b.asks(t, 0)
	b.answer(t)
	b.Eventually(func() int64 { return b.book.free(0) }, soon).Should(gomega.BeNumerically(">", 0))
	b.book.use(1, 5)
	b.pass(DefaultInterval)
	b.counted(t, nil, 5)
	b.settled()
	seal(t, b.page(t)) // Its end needs rights too.
	old := b.Name()
	b.book.use(1, 1)
	b.pass(DefaultInterval)
	b.Eventually(b.Name, soon).ShouldNot(gomega.BeElementOf("", old))
	b.pass(DefaultInterval)
	b.counted(t, nil, 6)
	b.stop()
	if !b.instance(t).Status.Final {
		t.Error("the last word was not said")
	}
	if got := b.log.count("cannot be kept"); got != 0 {
		t.Errorf("something was refused; the log says so %d times", got)
	}
}

func TestAProxyCannotLendToItself(t *testing.T) {
	namespace := plane.Namespace(t)
	c := proxyClient(t, namespace)
	b := start(t, namespace, func(o *Options) { o.Client = c })
	b.settled()
	greedy := b.instance(t)
	base := greedy.DeepCopy()
	greedy.Spec.Grants = []v1alpha1.EndpointGrant{{UID: uid(0), Namespace: "team", Name: "endpoint-0", Limits: []v1alpha1.LimitGrant{
		{Limit: v1alpha1.LimitRequests, Start: metav1.NewTime(period), Granted: 1000},
	}}}
	for name, err := range map[string]error{
		"update": c.Update(t.Context(), greedy.DeepCopy()),
		"patch":  c.Patch(t.Context(), greedy.DeepCopy(), client.MergeFrom(base)),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s of its own grants: %v, want it forbidden", name, err)
		}
	}
	greedy.Status.Version = "greedy"
	if err := c.Status().Patch(t.Context(), greedy, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	if got := b.instance(t).Spec.Grants; len(got) != 0 {
		t.Errorf("writing the status made grants %v", got)
	}
}
