// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package crdcel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// accepted is what a case wants that is not refused.
const accepted = "accepted"

// testCase is one file of testdata/<kind>. Its name, with spaces for hyphens, is the sentence it shows.
type testCase struct {
	// Want is "accepted", or what the one cause of the refusal says.
	Want string `json:"want"`
	// Field is the path the refusal names; only with a refusal.
	Field string `json:"field,omitempty"`
	// Stored is the spec as it would be stored, with its defaults; only with "accepted", and only where
	// it matters.
	Stored map[string]any `json:"stored,omitempty"`
	// Object is what the user writes, without metadata.
	Object map[string]any `json:"object"`

	kind, name string
}

// readCases reads the cases of one kind's folder under testdata, or of all.
func readCases(t *testing.T) []testCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cases := make([]testCase, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := testCase{
			kind: filepath.Base(filepath.Dir(file)),
			name: strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".yaml"), "-", " "),
		}
		if err := yaml.UnmarshalStrict(text, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := c.check(); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		cases = append(cases, c)
	}
	return cases
}

// check finds a case that could not fail, or that stands in the wrong folder.
func (c testCase) check() error {
	kind, _ := c.Object["kind"].(string)
	switch {
	case strings.ToLower(kind) != c.kind:
		return fmt.Errorf("kind %q belongs in another folder", kind)
	case c.Want == "":
		return errors.New(`want is empty; write "accepted", or the sentence of the refusal`)
	case (c.Want == accepted) != (c.Field == ""):
		return errors.New("a refusal has a field, and nothing else has")
	case c.Want != accepted && c.Stored != nil:
		return errors.New("what is refused is not stored")
	default:
		return nil
	}
}

// TestCases creates every object of testdata as a dry run: all of admission, nothing stored.
func TestCases(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.kind+"/"+c.name, func(t *testing.T) {
			object := newObject(c.Object)
			err := cluster.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
			if c.Want != accepted {
				wantRefused(t, err, c.Field, c.Want)
				return
			}
			if err != nil {
				t.Fatalf("it was refused: %v", err)
			}
			if c.Stored != nil {
				if diff := cmp.Diff(text(t, c.Stored), text(t, object.Object["spec"])); diff != "" {
					t.Errorf("the stored spec is another (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// newObject gives what a user wrote a name.
func newObject(written map[string]any) *unstructured.Unstructured {
	object := (&unstructured.Unstructured{Object: written}).DeepCopy()
	object.SetNamespace(metav1.NamespaceDefault)
	object.SetName("case")
	return object
}

// text writes a value as YAML, so that a number read from a file is the same as one read from the API server.
func text(t *testing.T, value any) string {
	t.Helper()
	written, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(written)
}

// unchecked is how the API server says that it did not go on to the rules after a missing field or a value
// beside an enum; it comes beside the cause proper.
const unchecked = "some validation rules were not checked"

// wantRefused says what is wrong unless err is a refusal for exactly one cause: one mistake, one sentence, at
// the field that holds it.
func wantRefused(t *testing.T, err error, field, sentence string) {
	t.Helper()
	if !apierrors.IsInvalid(err) {
		t.Fatalf("got %v, want it refused as invalid", err)
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Details == nil {
		t.Fatalf("the refusal has no details: %v", err)
	}
	causes := slices.DeleteFunc(status.ErrStatus.Details.Causes, func(cause metav1.StatusCause) bool {
		return strings.Contains(cause.Message, unchecked)
	})
	if len(causes) != 1 {
		t.Fatalf("got %d causes, want 1: %v", len(causes), err)
	}
	if causes[0].Field != field {
		t.Errorf("it names field %s, want %s", causes[0].Field, field)
	}
	if !strings.Contains(causes[0].Message, sentence) {
		t.Errorf("it says\n  %s\nwant\n  %s", causes[0].Message, sentence)
	}
}

// TestUnknownFields: nothing accepted is ignored.
func TestUnknownFields(t *testing.T) {
	written := map[string]map[string]any{
		"ModelEndpoint": {
			"provider": "acme", "format": "OpenAI", "url": "https://api.acme.com/v1", "model": "m",
			"capabilities": []any{"chat-completion"}, "delievry": []any{"Streaming"},
		},
		"RoutingPolicy": {"capability": "chat-completion", "strategy": map[string]any{"type": "RoundRobin"}},
		"ProxyInstance": {"proxies": int64(2), "leases": []any{}},
		"ProxyReport":   {"instance": "proxy-x", "instanceUID": "0b5f", "page": int64(0), "pages": int64(1)},
	}
	wantField := map[string]string{
		"ModelEndpoint": "spec.delievry", "RoutingPolicy": "spec.strategy", "ProxyInstance": "spec.leases", "ProxyReport": "spec.pages",
	}
	for kind, spec := range written {
		object := map[string]any{"apiVersion": "turnout.dev/v1alpha1", "kind": kind, "spec": spec}

		t.Run(kind+": strict validation refuses an unknown field and names it", func(t *testing.T) {
			err := cluster.Create(t.Context(), newObject(object), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
			if want := fmt.Sprintf("unknown field %q", wantField[kind]); !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want a bad request with %s", err, want)
			}
		})

		t.Run(kind+": without strict validation an unknown field is dropped with a warning", func(t *testing.T) {
			warnings.take()
			got := newObject(object)
			if err := cluster.Create(t.Context(), got, client.DryRunAll, client.FieldValidation(metav1.FieldValidationWarn)); err != nil {
				t.Fatalf("it was refused: %v", err)
			}
			if diff := cmp.Diff([]string{fmt.Sprintf("unknown field %q", wantField[kind])}, warnings.take()); diff != "" {
				t.Errorf("the warnings are others (-want +got):\n%s", diff)
			}
			path := strings.Split(wantField[kind], ".")
			if value, found, _ := unstructured.NestedFieldNoCopy(got.Object, path...); found {
				t.Errorf("%s is stored as %v", wantField[kind], value)
			}
		})
	}
}
