// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// maxCredential is the longest credential that is put into a header, in bytes: above it most servers refuse
// the whole request, and the value is hardly a key.
const maxCredential = 16 << 10

// resolver looks up what endpoints refer to, for one Input. Fleets share a private certificate authority, so
// a bundle that stands in many Secrets is parsed once.
type resolver struct {
	reader  secrets.Reader
	bundles map[[sha256.Size]byte]bundle
}

// bundle is a parsed list of certificates, or why it is none. problem names a certificate by its number only.
type bundle struct {
	roots   *x509.CertPool
	id      string
	problem string
}

func newResolver(reader secrets.Reader) *resolver {
	return &resolver{reader: reader, bundles: map[[sha256.Size]byte]bundle{}}
}

// credential is the header that authenticates an endpoint's requests.
func (r *resolver) credential(namespace string, auth *v1alpha1.EndpointAuth) (routing.Credential, routing.Refusal) {
	const field = "spec.auth.secretRef"
	if auth == nil {
		return routing.Credential{}, routing.Refusal{}
	}
	value, refusal := r.value(namespace, field, auth.SecretRef)
	if refusal.Reason != "" {
		return routing.Credential{}, refusal
	}
	if problem := unfitForHeader(value); problem != "" {
		return routing.Credential{}, refusef(v1alpha1.ReasonInvalidCredential,
			"%s: key %q of Secret %q %s; store the bare key there, as the provider shows it", field, auth.SecretRef.Key, auth.SecretRef.Name, problem)
	}
	switch {
	case auth.Type == v1alpha1.AuthBearer:
		return routing.Credential{Header: "Authorization", Value: routing.Secret("Bearer " + string(value))}, routing.Refusal{}
	case auth.Type == v1alpha1.AuthHeader && auth.Header != "":
		return routing.Credential{Header: auth.Header, Value: routing.Secret(value)}, routing.Refusal{}
	}
	// The schema admits none of this. A request without its credential is still worse than none.
	return routing.Credential{}, refusef(v1alpha1.ReasonInvalidCredential,
		"spec.auth: type %.32q with header %.64q is not understood; use type Bearer, or type Header with a header", auth.Type, auth.Header)
}

// tls is how an endpoint's provider is verified.
func (r *resolver) tls(namespace string, spec *v1alpha1.EndpointTLS) (routing.TLS, routing.Refusal) {
	const field = "spec.tls.caSecretRef"
	if spec == nil {
		return routing.TLS{}, routing.Refusal{}
	}
	out := routing.TLS{ServerName: spec.ServerName, InsecureSkipVerify: valueOr(spec.InsecureSkipVerify, false)}
	if spec.CASecretRef == nil {
		return out, routing.Refusal{}
	}
	value, refusal := r.value(namespace, field, *spec.CASecretRef)
	if refusal.Reason != "" {
		return out, refusal
	}
	b := r.bundle(value)
	if b.problem != "" {
		return out, refusef(v1alpha1.ReasonInvalidCertificate,
			"%s: key %q of Secret %q %s; store PEM certificates there (BEGIN CERTIFICATE)", field, spec.CASecretRef.Key, spec.CASecretRef.Name, b.problem)
	}
	out.Roots, out.RootsID = b.roots, b.id
	return out, routing.Refusal{}
}

// value is what a reference points to, without white space at its end: files often end with a newline.
func (r *resolver) value(namespace, field string, ref v1alpha1.SecretKeyReference) ([]byte, routing.Refusal) {
	data, state := r.reader.Secret(namespace, ref.Name)
	switch state {
	case secrets.Found:
	case secrets.NotFound:
		return nil, refusef(v1alpha1.ReasonSecretNotFound,
			"%s: namespace %q has no Secret %q; create it, or name another", field, namespace, ref.Name)
	case secrets.AccessDenied:
		return nil, refusef(v1alpha1.ReasonSecretAccessDenied,
			"%s: Turnout may not read Secrets of namespace %q; allow it with: %s", field, namespace, grantCommand(namespace))
	case secrets.Pending:
		return nil, refusef(v1alpha1.ReasonSecretPending,
			"%s: the Secrets of namespace %q are still being read; nothing needs to be done", field, namespace)
	}
	value, has := data[ref.Key]
	if !has {
		return nil, refusef(v1alpha1.ReasonSecretKeyNotFound,
			"%s: Secret %q has no key %q; add it, or name another", field, ref.Name, ref.Key)
	}
	value = bytes.TrimRight(value, " \t\r\n\v\f")
	if len(value) == 0 {
		return nil, refusef(v1alpha1.ReasonSecretKeyNotFound,
			"%s: key %q of Secret %q is empty; put a value there", field, ref.Key, ref.Name)
	}
	return value, routing.Refusal{}
}

// grantCommand is the command that lets both of Turnout's programs read the Secrets of a namespace. The names
// are those of the manifests in config/rbac.
func grantCommand(namespace string) string {
	return "kubectl create rolebinding turnout-secret-reader --namespace=" + namespace +
		" --clusterrole=turnout-secret-reader" +
		" --serviceaccount=turnout-system:turnout-operator --serviceaccount=turnout-system:turnout-proxy"
}

// unfitForHeader says why value cannot stand in a header; empty when it can. Only printable ASCII is let
// through: RFC 9110 section 5.5 allows tabs and higher bytes too, but in a key they are a slip of the
// clipboard (a byte order mark, a no-break space) that the provider would answer with a puzzling 401.
func unfitForHeader(value []byte) string {
	if len(value) > maxCredential {
		return fmt.Sprintf("is longer than %d bytes", maxCredential)
	}
	for i, c := range value {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("holds at position %d a byte that is not printable ASCII, which no header can carry", i+1)
		}
	}
	return ""
}

func (r *resolver) bundle(text []byte) bundle {
	sum := sha256.Sum256(text)
	b, known := r.bundles[sum]
	if !known {
		b = parseBundle(text)
		b.id = hex.EncodeToString(sum[:])
		r.bundles[sum] = b
	}
	return b
}

// parseBundle reads every certificate. Unlike x509.CertPool.AppendCertsFromPEM it does not pass over a broken
// one: its absence would show as a failing handshake much later. Other blocks and text between blocks are
// ignored, as everywhere.
func parseBundle(text []byte) bundle {
	pool, count := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		count++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return bundle{problem: fmt.Sprintf("holds a certificate that cannot be parsed (number %d)", count)}
		}
		pool.AddCert(certificate)
	}
	switch begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")); {
	case begun > count: // pem.Decode passes over what is not base64 or lacks its END line.
		return bundle{problem: fmt.Sprintf("holds %d certificates of which only %d can be read", begun, count)}
	case count == 0:
		return bundle{problem: "holds no certificate"}
	}
	return bundle{roots: pool}
}

// refusef makes a refusal. Its arguments are names out of specs, never anything out of a Secret.
func refusef(reason, format string, arguments ...any) routing.Refusal {
	return routing.Refusal{Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}
