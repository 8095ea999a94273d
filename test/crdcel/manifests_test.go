// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package crdcel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const system = "turnout-system"

// readManifests reads the objects of a folder of config/.
func readManifests(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "config", folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file in config/%s (%v)", folder, err)
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			objects = append(objects, object)
		}
	}
	return objects
}

// install creates the objects of a folder, for as long as the API server of this package lives.
func install(t *testing.T, folder string) {
	t.Helper()
	for _, object := range readManifests(t, folder) {
		if object.GetNamespace() == "" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		err := cluster.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict))
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Errorf("config/%s: %s %s: %v", folder, object.GetKind(), object.GetName(), err)
		}
	}
}

// TestManifestsAreAccepted installs config/ as it is written; the namespace enforces the restricted Pod
// Security Standard, and its warnings count as failures.
func TestManifestsAreAccepted(t *testing.T) {
	warnings.take()
	for _, folder := range []string{"default", "rbac", "manager", "proxy", "samples"} {
		install(t, folder)
	}
	for _, warning := range warnings.take() {
		t.Errorf("the API server warns: %s", warning)
	}
}

// TestRoles asks the API server who may do what once config/rbac and the samples' RoleBinding are installed.
func TestRoles(t *testing.T) {
	for _, folder := range []string{"default", "rbac", "samples"} {
		install(t, folder)
	}
	const operator, proxy = "turnout-operator", "turnout-proxy"
	cases := []accessCase{
		{"the operator reads endpoints everywhere", operator, "watch", "turnout.dev/modelendpoints", "team", "", true},
		{"the operator writes the status of endpoints", operator, "patch", "turnout.dev/modelendpoints/status", "team", "", true},
		{"the operator writes the status of policies", operator, "patch", "turnout.dev/routingpolicies/status", "team", "", true},
		{"the operator never writes an endpoint's spec", operator, "update", "turnout.dev/modelendpoints", "team", "", false},
		{"the operator never writes a policy's spec", operator, "patch", "turnout.dev/routingpolicies", "team", "", false},
		{"the operator takes dead proxies' instances away", operator, "delete", "turnout.dev/proxyinstances", system, "", true},
		{"the operator takes their reports away", operator, "delete", "turnout.dev/proxyreports", system, "", true},
		{"the operator writes its half of an instance", operator, "patch", "turnout.dev/proxyinstances", system, "", true},
		{"the operator takes the finalizer off an instance", operator, "patch", "turnout.dev/proxyinstances", system, "", true},
		{"the operator seals a report", operator, "patch", "turnout.dev/proxyreports", system, "", true},
		{"the operator reads reports", operator, "watch", "turnout.dev/proxyreports", system, "", true},
		{"the operator never writes what a proxy says", operator, "update", "turnout.dev/proxyinstances/status", system, "", false},
		{"nor by a patch", operator, "patch", "turnout.dev/proxyinstances/status", system, "", false},
		{"the operator never writes what a proxy has counted", operator, "update", "turnout.dev/proxyreports/status", system, "", false},
		{"nor by a patch of it", operator, "patch", "turnout.dev/proxyreports/status", system, "", false},
		{"the operator registers no proxy", operator, "create", "turnout.dev/proxyinstances", system, "", false},
		{"the operator looks at a proxy's Pod", operator, "get", "/pods", system, "turnout-proxy-x", true},
		{"the operator lists no Pods", operator, "list", "/pods", system, "", false},
		{"the operator looks at no other Pods", operator, "get", "/pods", "team", "x", false},
		{"the operator reads the proxies' leases", operator, "get", "coordination.k8s.io/leases", system, "turnout-proxy-x", true},
		{"the operator renews its own lease", operator, "update", "coordination.k8s.io/leases", system, "turnout-operator", true},
		{"the operator cannot renew a proxy's lease", operator, "update", "coordination.k8s.io/leases", system, "turnout-proxy-x", false},
		{"the operator tells of endpoints in Events", operator, "create", "events.k8s.io/events", "team", "", true},
		{"the operator reads Secrets where it is allowed to", operator, "watch", "/secrets", "default", "", true},
		{"the operator reads no Secrets elsewhere", operator, "get", "/secrets", "team", "", false},
		{"a proxy reads policies everywhere", proxy, "watch", "turnout.dev/routingpolicies", "team", "", true},
		{"a proxy never writes an endpoint's status", proxy, "update", "turnout.dev/modelendpoints/status", "team", "", false},
		{"a proxy registers itself", proxy, "create", "turnout.dev/proxyinstances", system, "", true},
		{"a proxy writes its report", proxy, "patch", "turnout.dev/proxyinstances/status", system, "", true},
		{"a proxy watches its instance", proxy, "watch", "turnout.dev/proxyinstances", system, "", true},
		{"a proxy says that an earlier process of its Pod has ended", proxy, "patch", "turnout.dev/proxyinstances/status", system, "", true},
		{"a proxy writes nothing of its instance beside its own half", proxy, "update", "turnout.dev/proxyinstances", system, "", false},
		{"nor by a patch of it", proxy, "patch", "turnout.dev/proxyinstances", system, "", false},
		{"a proxy creates its pages of numbers", proxy, "create", "turnout.dev/proxyreports", system, "", true},
		{"a proxy looks whether they are sealed", proxy, "get", "turnout.dev/proxyreports", system, "", true},
		{"a proxy writes its numbers", proxy, "update", "turnout.dev/proxyreports/status", system, "", true},
		{"a proxy never unseals a report", proxy, "update", "turnout.dev/proxyreports", system, "", false},
		{"nor by a patch of that", proxy, "patch", "turnout.dev/proxyreports", system, "", false},
		{"a proxy writes numbers in its own namespace only", proxy, "update", "turnout.dev/proxyreports/status", "team", "", false},
		{"a proxy registers in its own namespace only", proxy, "create", "turnout.dev/proxyinstances", "team", "", false},
		{"a proxy renews its lease", proxy, "update", "coordination.k8s.io/leases", system, "", true},
		{"a proxy reads Secrets where it is allowed to", proxy, "get", "/secrets", "default", "", true},
		{"a proxy reads no Secrets elsewhere", proxy, "get", "/secrets", system, "", false},
		{"a proxy cannot change a Secret", proxy, "update", "/secrets", "default", "", false},
	}
	// The API server learns of roles by watching them; once the grants have arrived, what is refused is refused
	// for good.
	for _, c := range cases {
		if c.want {
			awaitGrant(t, c)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			allowed, err := c.allowed(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if allowed != c.want {
				t.Errorf("allowed is %v, want %v", allowed, c.want)
			}
		})
	}
}

// accessCase is a question about a ServiceAccount of turnout-system. The resource is written group/resource, or
// group/resource/subresource.
type accessCase struct {
	name, account, verb, resource, namespace, object string
	want                                             bool
}

func (c accessCase) allowed(ctx context.Context) (bool, error) {
	group, resource, _ := strings.Cut(c.resource, "/")
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + system + ":" + c.account,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + system, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: c.namespace, Verb: c.verb, Group: group, Resource: resource, Subresource: subresource, Name: c.object,
		},
	}}
	err := cluster.Create(ctx, review)
	return review.Status.Allowed, err
}

// awaitGrant gives a grant ten seconds to arrive; whether it did is for the case to say.
func awaitGrant(t *testing.T, c accessCase) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 10*time.Second, true, c.allowed)
	if err != nil && !wait.Interrupted(err) {
		t.Fatal(err)
	}
}

// TestPeopleGetTurnoutThroughTheirRoles: the roles of config/rbac/users.yaml are only used by aggregation, so
// a slip in a label would switch them off without a word.
func TestPeopleGetTurnoutThroughTheirRoles(t *testing.T) {
	want := map[string]string{"turnout-view": "view", "turnout-edit": "edit", "turnout-admin": "admin"}
	for _, object := range readManifests(t, "rbac") {
		role, aggregated := want[object.GetName()]
		if !aggregated {
			continue
		}
		delete(want, object.GetName())
		if object.GetLabels()["rbac.authorization.k8s.io/aggregate-to-"+role] != "true" {
			t.Errorf("%s is not aggregated to %s", object.GetName(), role)
		}
	}
	for name := range want {
		t.Errorf("there is no ClusterRole %s", name)
	}
}
