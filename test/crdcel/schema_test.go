// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package crdcel

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// readCRDs reads the CustomResourceDefinitions by kind in lower case.
func readCRDs(t *testing.T) map[string]apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(crdDir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file in %s (%v)", crdDir, err)
	}
	crds := make(map[string]apiextensionsv1.CustomResourceDefinition, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		crds[strings.ToLower(crd.Spec.Names.Kind)] = crd
	}
	return crds
}

// node is one place of a schema.
type node struct {
	// path is how the place is written in a manifest; [] stands for each item, {} for each value of a map.
	path   string
	schema *apiextensionsv1.JSONSchemaProps
	// inList is true inside the items of a list.
	inList bool
}

// property reports whether the place has a name of its own, as opposed to items and values.
func (n node) property() bool {
	return n.path != "" && !strings.HasSuffix(n.path, "[]") && !strings.HasSuffix(n.path, "{}")
}

// walk calls visit for every place of every version of a kind, parents first.
func walk(crd apiextensionsv1.CustomResourceDefinition, visit func(node)) {
	var descend func(node)
	descend = func(n node) {
		visit(n)
		for _, name := range slices.Sorted(maps.Keys(n.schema.Properties)) {
			child := n.schema.Properties[name]
			descend(node{strings.TrimPrefix(n.path+"."+name, "."), &child, n.inList})
		}
		if n.schema.Items != nil && n.schema.Items.Schema != nil {
			descend(node{n.path + "[]", n.schema.Items.Schema, true})
		}
		if n.schema.AdditionalProperties != nil && n.schema.AdditionalProperties.Schema != nil {
			descend(node{n.path + "{}", n.schema.AdditionalProperties.Schema, n.inList})
		}
	}
	for _, version := range crd.Spec.Versions {
		descend(node{"", version.Schema.OpenAPIV3Schema, false})
	}
}

// walkAll calls visit for every place of every kind.
func walkAll(t *testing.T, visit func(kind string, n node)) {
	t.Helper()
	for kind, crd := range readCRDs(t) {
		walk(crd, func(n node) { visit(kind, n) })
	}
}

// itself are the properties that Kubernetes describes for every kind.
var itself = []string{"apiVersion", "kind", "metadata"}

func TestEveryFieldIsExplained(t *testing.T) {
	walkAll(t, func(kind string, n node) {
		if n.path != "" && (!n.property() || slices.Contains(itself, n.path)) {
			return
		}
		if strings.TrimSpace(n.schema.Description) == "" {
			t.Errorf("kubectl explain %s.%s says nothing; write a comment above the Go field", kind, n.path)
		}
	})
}

func TestDefaultsAreInTheSchema(t *testing.T) {
	want := map[string]string{
		"modelendpoint.spec.delivery":                               `["Synchronous","Streaming"]`,
		"modelendpoint.spec.limits.onControlPlaneLoss":              `"FailClosed"`,
		"modelendpoint.spec.limits.reserve":                         `"Expected"`,
		"modelendpoint.spec.probe.failureThreshold":                 `3`,
		"modelendpoint.spec.probe.interval":                         `"60s"`,
		"modelendpoint.spec.probe.timeout":                          `"5s"`,
		"modelendpoint.spec.probe.type":                             `"Models"`,
		"modelendpoint.spec.suspend":                                `false`,
		"routingpolicy.spec.deactivation":                           `{}`,
		"routingpolicy.spec.deactivation.consecutiveFailures":       `3`,
		"routingpolicy.spec.deactivation.errorRate.minimumRequests": `20`,
		"routingpolicy.spec.deactivation.errorRate.window":          `"60s"`,
		"routingpolicy.spec.deactivation.restToStandby":             `"60s"`,
		"routingpolicy.spec.recovery":                               `{}`,
		"routingpolicy.spec.recovery.cooldown":                      `"60s"`,
		"routingpolicy.spec.recovery.maxCooldown":                   `"1h"`,
		"routingpolicy.spec.recovery.maxRetryAfter":                 `"1h"`,
		"routingpolicy.spec.recovery.ramp":                          `{}`,
		"routingpolicy.spec.recovery.ramp.duration":                 `"30s"`,
		"routingpolicy.spec.recovery.ramp.initialPercent":           `10`,
		"routingpolicy.spec.recovery.successes":                     `3`,
		"routingpolicy.spec.retry":                                  `{}`,
		"routingpolicy.spec.retry.attempts":                         `3`,
		"routingpolicy.spec.retry.backoff":                          `{}`,
		"routingpolicy.spec.retry.backoff.base":                     `"250ms"`,
		"routingpolicy.spec.retry.backoff.max":                      `"5s"`,
		"routingpolicy.spec.retry.backoff.type":                     `"ExponentialJitter"`,
		"routingpolicy.spec.retry.deadline":                         `"600s"`,
		"routingpolicy.spec.retry.onContentFilter":                  `"Return"`,
		"routingpolicy.spec.retry.scope":                            `"Any"`,
		"routingpolicy.spec.timeouts":                               `{}`,
		"routingpolicy.spec.timeouts.clientWrite":                   `"30s"`,
		"routingpolicy.spec.timeouts.commitAfter":                   `"10s"`,
		"routingpolicy.spec.timeouts.connect":                       `"2s"`,
		"routingpolicy.spec.timeouts.firstToken":                    `"30s"`,
		"routingpolicy.spec.timeouts.idle":                          `"60s"`,
		"routingpolicy.spec.timeouts.tlsHandshake":                  `"3s"`,
		"routingpolicy.spec.whenExhausted":                          `"LastResort"`,
	}
	got := map[string]string{}
	walkAll(t, func(kind string, n node) {
		if n.schema.Default != nil {
			got[kind+"."+n.path] = string(n.schema.Default.Raw)
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the defaults are others (-want +got):\n%s", diff)
	}
}

func TestNoDefaultStandsInAListItem(t *testing.T) {
	walkAll(t, func(kind string, n node) {
		if n.inList && n.schema.Default != nil {
			t.Errorf("%s.%s has a default inside list items, which GitOps tools would report as drift; set it in code", kind, n.path)
		}
	})
}

// TestNoPatternIsLeftToExplainItself: a user who breaks one is shown a regular expression, not a sentence.
func TestNoPatternIsLeftToExplainItself(t *testing.T) {
	walkAll(t, func(kind string, n node) {
		if n.schema.Pattern != "" && strings.HasPrefix(n.path, "spec.") {
			t.Errorf("%s.%s has a pattern; write an XValidation with a sentence instead", kind, n.path)
		}
	})
}

func TestEveryRuleHasASentence(t *testing.T) {
	walkAll(t, func(kind string, n node) {
		for _, rule := range n.schema.XValidations {
			switch {
			case rule.Message == "":
				t.Errorf("%s.%s: rule %s has no message", kind, n.path, rule.Rule)
			case strings.HasSuffix(rule.Message, "."):
				t.Errorf("%s.%s: the API server may go on after the message; drop the full stop of %q", kind, n.path, rule.Message)
			case len(strings.Fields(rule.Message)) < 8:
				t.Errorf("%s.%s: %q is too short to say what to write instead", kind, n.path, rule.Message)
			}
		}
	})
}

// TestEveryRuleIsBrokenByACase looks at what users write. In a status stand the same types with the same rules,
// and nobody writes one but Turnout: that it keeps them is for the tests of internal/translate.
func TestEveryRuleIsBrokenByACase(t *testing.T) {
	cases := readCases(t)
	walkAll(t, func(kind string, n node) {
		if strings.HasPrefix(n.path, "status.") {
			return
		}
		for _, rule := range n.schema.XValidations {
			field := n.path + rule.FieldPath
			if !slices.ContainsFunc(cases, func(c testCase) bool {
				return c.kind == kind && c.Want == rule.Message && pathOf(c.Field) == field
			}) {
				t.Errorf("no case of testdata/%s breaks the rule of field %s that says\n  %s", kind, field, rule.Message)
			}
		}
	})
}

func TestEveryEnumHasARefusedCase(t *testing.T) {
	cases := readCases(t)
	walkAll(t, func(kind string, n node) {
		if len(n.schema.Enum) == 0 || !strings.HasPrefix(n.path, "spec.") {
			return
		}
		var values []string
		for _, value := range n.schema.Enum {
			values = append(values, string(value.Raw))
		}
		sentence := "supported values: " + strings.Join(values, ", ")
		if !slices.ContainsFunc(cases, func(c testCase) bool {
			return c.kind == kind && c.Want == sentence && pathOf(c.Field) == n.path
		}) {
			t.Errorf("no case of testdata/%s gives %s a value beside its enum and wants\n  %s", kind, n.path, sentence)
		}
	})
}

var index = regexp.MustCompile(`\[\d+\]`)

// pathOf is the place in the schema that a field of an object is at.
func pathOf(field string) string { return index.ReplaceAllString(field, "[]") }

// TestPrinterColumnsShowFieldsThatExist: the API server takes any path and prints nothing for a wrong one.
func TestPrinterColumnsShowFieldsThatExist(t *testing.T) {
	filter := regexp.MustCompile(`\[\?\([^)]*\)\]`)
	for kind, crd := range readCRDs(t) {
		known := map[string]bool{"metadata.creationTimestamp": true}
		walk(crd, func(n node) { known[n.path] = true })
		for _, version := range crd.Spec.Versions {
			if len(version.AdditionalPrinterColumns) == 0 {
				t.Errorf("%s has no printer columns", kind)
			}
			for _, column := range version.AdditionalPrinterColumns {
				path := strings.TrimPrefix(filter.ReplaceAllString(column.JSONPath, "[]"), ".")
				if !known[path] {
					t.Errorf("column %s of %s shows %s, which does not exist", column.Name, kind, column.JSONPath)
				}
			}
		}
	}
}

func TestKindsAreNamedAsDesigned(t *testing.T) {
	want := map[string]string{
		"modelendpoint": "mep turnout Namespaced",
		"routingpolicy": "rp turnout Namespaced",
		"proxyinstance": "pxi turnout Namespaced",
		"proxyreport":   "pxr turnout Namespaced",
	}
	got := map[string]string{}
	for kind, crd := range readCRDs(t) {
		names := crd.Spec.Names
		got[kind] = fmt.Sprint(strings.Join(names.ShortNames, ","), " ", strings.Join(names.Categories, ","), " ", crd.Spec.Scope)
		for _, version := range crd.Spec.Versions {
			if version.Subresources == nil || version.Subresources.Status == nil {
				t.Errorf("%s %s has no status subresource: users could write what the operator reports", kind, version.Name)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("short names, categories or scope are others (-want +got):\n%s", diff)
	}
}
