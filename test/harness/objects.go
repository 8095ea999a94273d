// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// fieldOwner is who server-side apply says wrote the fields.
const fieldOwner = client.FieldOwner("turnout-harness")

// NewClient is a client, without a cache, that knows Kubernetes' kinds, CustomResourceDefinition and Turnout's.
func NewClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// ReadObjects reads every object of the YAML files at paths. A folder stands for its .yaml files, in order
// of name, but its kustomization.yaml.
func ReadObjects(paths ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		files, err := yamlFiles(path)
		if err != nil {
			return nil, fmt.Errorf("reading objects: %w", err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading objects: %w", err)
			}
			found, err := ParseObjects(content)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			objects = append(objects, found...)
		}
	}
	return objects, nil
}

func yamlFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "kustomization.yaml" })
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no .yaml file in %s", path)
	}
	return files, nil
}

// ParseObjects reads every object of a YAML text; documents are parted by ---.
func ParseObjects(text []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d is not YAML: %w", len(objects)+1, err)
		}
		if len(object.Object) == 0 {
			continue // comments between two ---
		}
		if object.GetKind() == "" || object.GetName() == "" {
			return nil, fmt.Errorf("document %d has no kind or no metadata.name", len(objects)+1)
		}
		objects = append(objects, object)
	}
}

// Apply writes objects by server-side apply, in order, taking over fields that others own. Unknown fields are
// refused. Objects of a namespaced kind without a namespace go to the namespace given.
func Apply(ctx context.Context, cluster client.Client, namespace string, objects ...*unstructured.Unstructured) error {
	for _, object := range objects {
		object = object.DeepCopy()
		namespaced, err := cluster.IsObjectNamespaced(object)
		if err != nil {
			return fmt.Errorf("applying %s: %w", describe(object), err)
		}
		if namespaced && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		desired := client.ApplyConfigurationFromUnstructured(object)
		if err := cluster.Apply(ctx, desired, fieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s: %w", describe(object), err)
		}
	}
	return nil
}

// InstallCRDs applies the CustomResourceDefinitions in dir and waits until the API server serves them.
func InstallCRDs(ctx context.Context, cluster client.Client, dir string) error {
	objects, err := ReadObjects(dir)
	if err != nil {
		return err
	}
	if err := Apply(ctx, cluster, "", objects...); err != nil {
		return err
	}
	for _, object := range objects {
		if err := AwaitCondition(ctx, cluster, object, string(apiextensionsv1.Established)); err != nil {
			return err
		}
	}
	return nil
}

// AwaitCondition waits until a condition of object is True and, where the status has an observedGeneration,
// speaks of the newest generation. ctx, or else 60 seconds, bounds the wait; the error says what the condition
// said last. Only kind, namespace and name of object are used, and it is not changed.
func AwaitCondition(ctx context.Context, cluster client.Client, object client.Object, condition string) error {
	kind, err := cluster.GroupVersionKindFor(object)
	if err != nil {
		return err
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(kind)
	live.SetName(object.GetName())
	live.SetNamespace(object.GetNamespace())
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = Poll(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
			return err
		}
		return conditionTrue(live, condition)
	})
	if err != nil {
		return fmt.Errorf("waiting for %s of %s: %w", condition, describe(live), err)
	}
	return nil
}

// conditionTrue is nil when the condition holds for the object's generation, or else says what it says.
func conditionTrue(object *unstructured.Unstructured, condition string) error {
	generation, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil {
		return err
	}
	if found && generation != object.GetGeneration() {
		return fmt.Errorf("status speaks of generation %d, the object is at %d", generation, object.GetGeneration())
	}
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, entry := range conditions {
		fields, ok := entry.(map[string]any)
		if !ok || fields["type"] != condition {
			continue
		}
		if fields["status"] == "True" {
			return nil
		}
		return fmt.Errorf("it is %v, reason %v: %v", fields["status"], fields["reason"], fields["message"])
	}
	return errors.New("it is not set yet")
}

// AwaitGone waits until object does not exist any more. ctx, or else 60 seconds, bounds the wait.
func AwaitGone(ctx context.Context, cluster client.Client, object client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	live, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is not an object", object)
	}
	err := Poll(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		err := cluster.Get(ctx, client.ObjectKeyFromObject(object), live)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		default:
			return errors.New("it still exists")
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be gone: %w", object.GetName(), err)
	}
	return nil
}

func describe(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return object.GetKind() + " " + object.GetName()
	}
	return object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
}
