// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// canary stands in every Secret of these tests and must never be seen outside a credential.
const canary = "sk-CANARY-4711"

func bearer() *v1alpha1.EndpointAuth {
	return &v1alpha1.EndpointAuth{Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "key"}}
}

func keys(value string) vault {
	return vault{data: map[string]map[string][]byte{"shop/keys": {"key": []byte(value)}}}
}

func TestCredential(t *testing.T) {
	const remedy = "; store the bare key there, as the provider shows it"
	header := &v1alpha1.EndpointAuth{
		Type: v1alpha1.AuthHeader, Header: "api-key", SecretRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "key"},
	}
	for name, tc := range map[string]struct {
		auth        *v1alpha1.EndpointAuth
		reader      secrets.Reader
		want        routing.Credential
		wantReason  string
		wantMessage string
	}{
		"no auth sends no credential": {reader: vault{}},
		"a bearer token": {
			auth: bearer(), reader: keys(canary), want: routing.Credential{Header: "Authorization", Value: "Bearer " + canary},
		},
		"a header of the provider's own": {
			auth: header, reader: keys(canary), want: routing.Credential{Header: "api-key", Value: canary},
		},
		"white space at the end is ignored": {
			auth: bearer(), reader: keys(canary + " \t\r\n\n"), want: routing.Credential{Header: "Authorization", Value: "Bearer " + canary},
		},
		"a Secret that does not exist": {
			auth: bearer(), reader: vault{}, wantReason: "SecretNotFound",
			wantMessage: `spec.auth.secretRef: namespace "shop" has no Secret "keys"; create it, or name another`,
		},
		"a key that does not exist": {
			auth: bearer(), reader: vault{data: map[string]map[string][]byte{"shop/keys": {"other": []byte(canary)}}},
			wantReason: "SecretKeyNotFound", wantMessage: `spec.auth.secretRef: Secret "keys" has no key "key"; add it, or name another`,
		},
		"a value of nothing but white space": {
			auth: bearer(), reader: keys(" \n"), wantReason: "SecretKeyNotFound",
			wantMessage: `spec.auth.secretRef: key "key" of Secret "keys" is empty; put a value there`,
		},
		"a namespace that may not be read names the command that allows it": {
			auth: bearer(), reader: vault{states: map[string]secrets.State{"shop": secrets.AccessDenied}},
			wantReason: "SecretAccessDenied",
			wantMessage: `spec.auth.secretRef: Turnout may not read Secrets of namespace "shop"; allow it with: ` +
				`kubectl create rolebinding turnout-secret-reader --namespace=shop --clusterrole=turnout-secret-reader ` +
				`--serviceaccount=turnout-system:turnout-operator --serviceaccount=turnout-system:turnout-proxy`,
		},
		"a namespace that has not been read yet": {
			auth: bearer(), reader: vault{states: map[string]secrets.State{"shop": secrets.Pending}}, wantReason: "SecretPending",
			wantMessage: `spec.auth.secretRef: the Secrets of namespace "shop" are still being read; nothing needs to be done`,
		},
		"a line break inside cannot be in a header": {
			auth: bearer(), reader: keys("ab\n" + canary), wantReason: "InvalidCredential",
			wantMessage: `spec.auth.secretRef: key "key" of Secret "keys" holds at position 3 a byte that is not printable ASCII, which no header can carry` + remedy,
		},
		"a byte order mark is a slip of the clipboard": {
			auth: bearer(), reader: keys("\ufeff" + canary), wantReason: "InvalidCredential",
			wantMessage: `spec.auth.secretRef: key "key" of Secret "keys" holds at position 1 a byte that is not printable ASCII, which no header can carry` + remedy,
		},
		"a value too long for a header": {
			auth: bearer(), reader: keys(strings.Repeat("x", maxCredential+1)), wantReason: "InvalidCredential",
			wantMessage: `spec.auth.secretRef: key "key" of Secret "keys" is longer than 16384 bytes` + remedy,
		},
		"a type that an older program does not know sends nothing": {
			auth:   &v1alpha1.EndpointAuth{Type: "SigV4", SecretRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "key"}},
			reader: keys(canary), wantReason: "InvalidCredential",
			wantMessage: `spec.auth: type "SigV4" with header "" is not understood; use type Bearer, or type Header with a header`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Endpoint(endpointWith(func(s *v1alpha1.ModelEndpointSpec) { s.Auth = tc.auth }), tc.reader)
			if diff := cmp.Diff(routing.Refusal{Reason: tc.wantReason, Message: tc.wantMessage}, got.Unresolved); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if got.Credential != tc.want {
				t.Errorf("credential: got header %q with %q, want %q with %q",
					got.Credential.Header, got.Credential.Value.Reveal(), tc.want.Header, tc.want.Value.Reveal())
			}
		})
	}
}

// certificate is a fresh self-signed certificate in PEM.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func withBundle(s *v1alpha1.ModelEndpointSpec) {
	s.TLS = &v1alpha1.EndpointTLS{CASecretRef: &v1alpha1.SecretKeyReference{Name: "ca", Key: "ca.crt"}}
}

func TestBundle(t *testing.T) {
	first, second := certificate(t), certificate(t)
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(canary)})
	foreign := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(canary)})
	cut := second[:len(second)/2]
	const remedy = "; store PEM certificates there (BEGIN CERTIFICATE)"
	for name, tc := range map[string]struct {
		text    []byte
		want    string // the problem, empty when the bundle is usable
		wantCAs int
	}{
		"one certificate":                    {text: first, wantCAs: 1},
		"two certificates with text between": {text: bytes.Join([][]byte{first, second}, []byte("# the new one\n")), wantCAs: 2},
		"blocks of other kinds are ignored":  {text: append(bytes.Clone(foreign), first...), wantCAs: 1},
		"no certificate":                     {text: []byte(canary), want: "holds no certificate"},
		"a block of another kind only":       {text: foreign, want: "holds no certificate"},
		"a broken certificate is not passed over": {
			text: append(bytes.Clone(first), broken...), want: "holds a certificate that cannot be parsed (number 2)",
		},
		"a certificate that was cut off is not passed over": {
			text: append(bytes.Clone(first), cut...), want: "holds 2 certificates of which only 1 can be read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			reader := vault{data: map[string]map[string][]byte{"shop/ca": {"ca.crt": tc.text}}}
			got := Endpoint(endpointWith(withBundle), reader)
			if tc.want != "" {
				want := routing.Refusal{
					Reason:  "InvalidCertificate",
					Message: `spec.tls.caSecretRef: key "ca.crt" of Secret "ca" ` + tc.want + remedy,
				}
				if diff := cmp.Diff(want, got.Unresolved); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				return
			}
			if got.Unresolved.Reason != "" || got.TLS.Roots == nil || len(got.TLS.RootsID) != 64 {
				t.Fatalf("got %+v, roots %v with id %q", got.Unresolved, got.TLS.Roots, got.TLS.RootsID)
			}
			want := x509.NewCertPool()
			if tc.wantCAs >= 1 {
				want.AppendCertsFromPEM(first)
			}
			if tc.wantCAs == 2 {
				want.AppendCertsFromPEM(second)
			}
			if !got.TLS.Roots.Equal(want) {
				t.Error("the pool holds other certificates")
			}
		})
	}
}

func TestRootsIDFollowsTheContent(t *testing.T) {
	one, other := certificate(t), certificate(t)
	reader := vault{data: map[string]map[string][]byte{
		"shop/ca": {"ca.crt": one}, "depot/ca": {"ca.crt": append(bytes.Clone(one), '\n', '\n')}, "yard/ca": {"ca.crt": other},
	}}
	var endpoints []*v1alpha1.ModelEndpoint
	for _, namespace := range []string{"shop", "depot", "yard"} {
		e := endpointWith(withBundle)
		e.Namespace = namespace
		endpoints = append(endpoints, e)
	}
	got := Input(endpoints, nil, reader).Endpoints
	if got[0].TLS.RootsID != got[1].TLS.RootsID || got[0].TLS.Roots != got[1].TLS.Roots {
		t.Error("the same certificates in two Secrets do not share a pool")
	}
	if got[0].TLS.RootsID == got[2].TLS.RootsID {
		t.Error("different certificates have one id")
	}
}

func TestTheCredentialIsToldBeforeTheBundle(t *testing.T) {
	e := endpointWith(func(s *v1alpha1.ModelEndpointSpec) { s.Auth = bearer(); withBundle(s) })
	got := Endpoint(e, keys(canary)).Unresolved
	if want := `spec.tls.caSecretRef: namespace "shop" has no Secret "ca"; create it, or name another`; got.Message != want {
		t.Errorf("got %q, want %q", got.Message, want)
	}
	got = Endpoint(e, vault{}).Unresolved
	if want := `spec.auth.secretRef: namespace "shop" has no Secret "keys"; create it, or name another`; got.Message != want {
		t.Errorf("got %q, want %q", got.Message, want)
	}
}

// Whatever becomes of a Secret, neither a message nor a printed endpoint shows a piece of it.
func TestNoSecretIsEverPrinted(t *testing.T) {
	values := map[string][]byte{
		"a usable key":          []byte(canary),
		"a key with a break":    []byte(canary + "\n" + canary),
		"a key far too long":    []byte(strings.Repeat(canary, maxCredential)),
		"a broken certificate":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(canary)}),
		"a key where PEM ought": []byte("-----BEGIN CERTIFICATE-----\n" + canary),
	}
	for name, value := range values {
		for _, change := range []func(*v1alpha1.ModelEndpointSpec){
			func(s *v1alpha1.ModelEndpointSpec) { s.Auth = bearer() },
			func(s *v1alpha1.ModelEndpointSpec) { s.Auth = bearer(); s.Auth.Type = "Unknown" },
			withBundle,
		} {
			reader := vault{data: map[string]map[string][]byte{"shop/keys": {"key": value}, "shop/ca": {"ca.crt": value}}}
			got := Endpoint(endpointWith(change), reader)
			encoded, err := json.Marshal(got.Credential)
			if err != nil {
				t.Fatal(err)
			}
			printed := fmt.Sprintf("%v %+v %#v %s %s %q", got, got, got, encoded, got.Unresolved.Message, got.Credential)
			if strings.Contains(printed, canary) || strings.Contains(printed, canary[:9]) {
				t.Errorf("%s: the secret shows in %s", name, printed)
			}
		}
	}
}
