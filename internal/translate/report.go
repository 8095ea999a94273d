// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// ReportName is the name of a page of a process, counted from 0: operator and proxy must find the same object.
func ReportName(instance string, page int) string { return instance + "-" + strconv.Itoa(page) }

// Report is a page of a process as it is created, without numbers. It goes with its instance, and not before its
// numbers are in the books.
func Report(instance *v1alpha1.ProxyInstance, page int) *v1alpha1.ProxyReport {
	return &v1alpha1.ProxyReport{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       instance.Namespace,
			Name:            ReportName(instance.Name, page),
			Finalizers:      []string{v1alpha1.FoldFinalizer},
			OwnerReferences: OwnedBy(instance),
		},
		Spec: v1alpha1.ProxyReportSpec{Instance: instance.Name, InstanceUID: string(instance.UID), Page: int32(page)},
	}
}

// OwnedBy is the reference to an instance in what goes with it.
func OwnedBy(instance *v1alpha1.ProxyInstance) []metav1.OwnerReference {
	return []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "ProxyInstance", Name: instance.Name, UID: instance.UID,
	}}
}
