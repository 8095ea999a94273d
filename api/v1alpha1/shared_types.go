// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Duration is a length of time as Gateway API writes it (GEP-2257): up to four groups of digits with
// a unit of h, m, s or ms, such as 30s, 1m30s or 250ms. Days, fractions and negative values do not exist.
//
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="a duration is up to four groups of digits with a unit of h, m, s or ms, such as 30s, 1m30s or 250ms; days, fractions and negative values do not exist"
// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]') || !self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="a duration of zero leaves no time at all; write a longer one, such as 250ms, 30s or 1h"
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=28
type Duration string

// Money is an amount of US dollars as a decimal, such as 2.50 or 0.000125: at most nine digits before the point
// and nine behind it.
//
// +kubebuilder:validation:XValidation:rule="self.matches('^(0|[1-9][0-9]{0,8})([.][0-9]{1,9})?$')",message="an amount of money is a decimal number of US dollars, such as 2.50 or 0.000125: at most nine digits before the point and nine behind it, without a sign, a currency or an exponent"
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=19
type Money string

// Ratio is a share between 0 and 1 as a decimal, such as 0.5.
//
// +kubebuilder:validation:XValidation:rule="self.matches('^(0([.][0-9]{1,4})?|1([.]0{1,4})?)$')",message="a share is a decimal number from 0 to 1 with at most four digits behind the point, such as 0.5; percentages are not understood"
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=6
type Ratio string

// SecretKeyReference names one key of a Secret in the namespace of the object that refers to it.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="secretRef.name is the name of a Secret: lower-case letters, digits, hyphens and dots, such as openai-credentials"
	Name string `json:"name,omitempty"`

	// key inside the Secret's data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="secretRef.key is a key of the Secret's data: letters, digits, hyphens, underscores and dots, such as api-key"
	Key string `json:"key,omitempty"`
}
