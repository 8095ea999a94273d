// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package argocd runs the health checks of config/argocd in the Lua that Argo CD runs them in.
package argocd

import (
	"os"
	"path/filepath"
	"testing"

	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/harness"
)

// script is the health check of a kind.
func script(t *testing.T, kind string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "config", "argocd", "argocd-cm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var configMap corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &configMap); err != nil {
		t.Fatal(err)
	}
	check := configMap.Data["resource.customizations.health.turnout.dev_"+kind]
	if check == "" {
		t.Fatalf("there is no health check for %s", kind)
	}
	return check
}

// health runs a check on an object as Argo CD does: obj is the live object, and a table comes back.
func health(t *testing.T, check string, object runtime.Object) (status, message string) {
	t.Helper()
	live, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", value(state, live))
	if err := state.DoString(check); err != nil {
		t.Fatal(err)
	}
	result, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the check returned %v and no table", state.Get(-1))
	}
	return result.RawGetString("status").String(), result.RawGetString("message").String()
}

// value is what Lua sees of a value of an object.
func value(state *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, member := range v {
			table.RawSetString(key, value(state, member))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, element := range v {
			table.Append(value(state, element))
		}
		return table
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}

func conditions(ready metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, Message: "words"}}
}

func TestHealthOfAModelEndpoint(t *testing.T) {
	check := script(t, "ModelEndpoint")
	standby := func(reason v1alpha1.DeactivationReason) v1alpha1.ModelEndpointStatus {
		return v1alpha1.ModelEndpointStatus{
			ObservedGeneration: 2, Conditions: conditions(metav1.ConditionTrue, v1alpha1.ReasonReady),
			ModelState: &v1alpha1.ModelState{Status: v1alpha1.StatusStandby, DeactivationReason: reason, Message: "words"},
		}
	}
	active := standby("")
	active.ModelState = &v1alpha1.ModelState{Status: v1alpha1.StatusActive}
	stale := active
	stale.ObservedGeneration = 1
	broken := active
	broken.Conditions = conditions(metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	for _, c := range []struct {
		name        string
		status      v1alpha1.ModelEndpointStatus
		want        string
		wantMessage string
	}{
		{"nobody has looked at a new one", v1alpha1.ModelEndpointStatus{}, "Progressing", "waiting for the operator to look at the newest generation"},
		{"nobody has looked at its newest generation", stale, "Progressing", "waiting for the operator to look at the newest generation"},
		{"a Secret is missing", broken, "Degraded", "SecretNotFound: words"},
		{"it takes traffic", active, "Healthy", "the endpoint takes traffic"},
		{"a commit has suspended it", standby(v1alpha1.DeactivationManual), "Suspended", "Manual: words"},
		{"it is being maintained", standby(v1alpha1.DeactivationMaintenanceWindow), "Suspended", "MaintenanceWindow: words"},
		{"its requests are used up", standby(v1alpha1.DeactivationRequestLimit), "Suspended", "RequestLimit: words"},
		{"its tokens are used up", standby(v1alpha1.DeactivationTokenLimit), "Suspended", "TokenLimit: words"},
		{"its budget is used up", standby(v1alpha1.DeactivationBudgetExceeded), "Suspended", "BudgetExceeded: words"},
		{"its quota is spent", standby(v1alpha1.DeactivationQuotaExhausted), "Suspended", "QuotaExhausted: words"},
		{"it fails", standby(v1alpha1.DeactivationErrorThreshold), "Degraded", "ErrorThreshold: words"},
		{"its key is refused", standby(v1alpha1.DeactivationProviderAuthFailure), "Degraded", "ProviderAuthFailure: words"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, message := health(t, check, &v1alpha1.ModelEndpoint{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: c.status})
			if status != c.want || message != c.wantMessage {
				t.Errorf("%s, %q; want %s, %q", status, message, c.want, c.wantMessage)
			}
		})
	}
}

func TestHealthOfARoutingPolicy(t *testing.T) {
	check := script(t, "RoutingPolicy")
	for _, c := range []struct {
		name   string
		status v1alpha1.RoutingPolicyStatus
		want   string
	}{
		{"nobody has looked at it", v1alpha1.RoutingPolicyStatus{}, "Progressing"},
		{"it serves", v1alpha1.RoutingPolicyStatus{ObservedGeneration: 2, Conditions: conditions(metav1.ConditionTrue, v1alpha1.ReasonReady)}, "Healthy"},
		{"its name is taken", v1alpha1.RoutingPolicyStatus{ObservedGeneration: 2, Conditions: conditions(metav1.ConditionFalse, v1alpha1.ReasonNameConflict)}, "Degraded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _ := health(t, check, &v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: c.status})
			if status != c.want {
				t.Errorf("%s, want %s", status, c.want)
			}
		})
	}
}
