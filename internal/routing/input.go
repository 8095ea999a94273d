// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package routing turns what users declared into an immutable table (Build) and answers, for one request,
// which endpoints to try in which order and why the others are not tried (Table.Resolve, Route.Plan).
//
// It is pure: plain values in, plain values out, no clock, no I/O, no Kubernetes. Operator and proxies call
// the same Build on the same Input, so what a status says and what a proxy does cannot differ.
package routing

import (
	"crypto/x509"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/capability"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
)

// Key names an object: namespace and name, unique among objects of one kind.
type Key struct {
	Namespace, Name string
}

// String writes the key as namespace/name.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Input is everything a table is built from. The order of the slices means nothing. Of two objects with the
// same key (which no API server hands out) the one of the higher generation, then UID, counts.
type Input struct {
	Endpoints []EndpointSpec
	Policies  []PolicySpec
}

// Format is the wire format a provider speaks.
type Format uint8

// The formats. The zero value is none of them.
const (
	FormatOpenAI Format = iota + 1
)

// Delivery is a set of ways an answer can reach the caller.
type Delivery uint8

// The members of a Delivery set.
const (
	Synchronous Delivery = 1 << iota
	Streaming
)

// Features is a set of things a request can use and a model can lack.
type Features uint16

// The members of a Features set.
const (
	ToolCalling Features = 1 << iota
	StructuredOutput
	JSONMode
	Vision
	Audio
	Reasoning
	Logprobs
	// StreamUsage says that streams tell what they used when asked to. No request needs it.
	StreamUsage
)

// Operation is what a request asks of a provider: the door it came through.
type Operation uint8

// The operations. The zero value is none of them.
const (
	ChatCompletions Operation = iota + 1
	Completions
	Embeddings
)

// Secret is a credential. Formatting it in any way prints a placeholder; only Reveal gives the value.
type Secret string

// String hides the secret.
func (Secret) String() string { return "[redacted]" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "[redacted]" }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Reveal returns the value, for the one place that puts it on the wire.
func (s Secret) Reveal() string { return string(s) }

// Credential is the header that authenticates requests to a provider. The zero value sends none.
type Credential struct {
	// Header is the header's name, as it is written on the wire ("Authorization").
	Header string
	// Value is the whole header value ("Bearer sk-…").
	Value Secret
}

// TLS adjusts how an https provider is verified. The zero value verifies by the system's certificates and
// the host of the URL.
type TLS struct {
	// ServerName replaces the URL's host for SNI and verification; empty means the host.
	ServerName string
	// Roots replaces the system's certificates; nil means the system's.
	Roots *x509.CertPool
	// RootsID identifies the content of Roots, so that connections can be shared by endpoints that trust
	// the same certificates. Empty when Roots is nil.
	RootsID string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
}

// Refusal is why an object, or one of the things it refers to, cannot be used. The zero value means it can.
type Refusal struct {
	// Reason is a CamelCase word for a condition, such as SecretNotFound.
	Reason string
	// Message is a sentence that names the field and the remedy.
	Message string
}

// EndpointSpec is one ModelEndpoint as a plain value.
type EndpointSpec struct {
	Key Key
	// UID is the identity of the object: another object of the same name has another UID.
	UID        string
	Generation int64
	Labels     map[string]string

	Provider     string
	Format       Format
	URL          string
	Model        string
	Capabilities []string
	// Delivery is never empty.
	Delivery Delivery
	// Features is what the model declares to do. It is only judged when FeaturesKnown is true.
	Features      Features
	FeaturesKnown bool
	// ContextWindow and MaxOutputTokens are in tokens; 0 means unknown.
	ContextWindow   int64
	MaxOutputTokens int64
	Suspended       bool
	// Configuration identifies URL, Model and Credential without giving them away: evidence about another one
	// says nothing about this one. Empty while the Secret cannot be read: then it may be any.
	Configuration string
	// Price is what an answer costs; it means something only when Priced is true.
	Price  pricing.Price
	Priced bool
	// QuotaPeriod and BudgetPeriod are the periods over which use is counted. QuotaDeclared says that the
	// user has named the former, so that a spent quota may be expected back at its end.
	QuotaPeriod, BudgetPeriod calendar.Period
	QuotaDeclared             bool
	// Limits are how much of the endpoint may be used.
	Limits Limits
	// Maintenance are the windows in which the endpoint takes no traffic.
	Maintenance []calendar.Window
	// Misfit is set when a value of the spec is well-formed but cannot be acted on: InvalidSchedule or
	// InvalidTimeZone. Such an endpoint takes no traffic.
	Misfit Refusal

	Credential Credential
	TLS        TLS
	// Unresolved is set when a Secret the endpoint refers to cannot be used. Such an endpoint takes no traffic.
	Unresolved Refusal
}

// Limits are how much of an endpoint may be used, by the whole fleet. 0 means no limit.
type Limits struct {
	// Requests and Tokens are of a quota period, Budget of a budget period, in nano-dollars.
	Requests, Tokens, Budget int64
	// RequestsPerMinute, TokensPerMinute and ConcurrentRequests hold no period.
	RequestsPerMinute, TokensPerMinute, ConcurrentRequests int64
	// ReserveWorst sets the longest possible answer aside for an attempt, and not the expected one.
	ReserveWorst bool
	// FailOpen lets a proxy go on without limits of a period when nobody lends it anything any more.
	FailOpen bool
}

// Strategy is the rule that orders the endpoints of a tier.
type Strategy uint8

// The strategies.
const (
	// Priority keeps the listed order; matched endpoints go by name.
	Priority Strategy = iota
	// RoundRobin starts each plan at the next active endpoint.
	RoundRobin
)

// SelectorOp compares a label with the values of a requirement, as Kubernetes label selectors do.
type SelectorOp uint8

// The label comparisons.
const (
	In SelectorOp = iota
	NotIn
	Exists
	DoesNotExist
)

// Requirement is one clause of a label selector.
type Requirement struct {
	Label  string
	Op     SelectorOp
	Values []string
}

// Match selects endpoints of the policy's namespace. All that is given must hold.
type Match struct {
	Labels            []Requirement
	Providers         []string
	ExcludedProviders []string
	// Features must all be declared by the endpoint.
	Features Features
}

// TierSpec is one tier of a policy. With neither Match nor Endpoints it holds everything at or below the
// policy's capability.
type TierSpec struct {
	// Match is nil when the tier does not select by match.
	Match *Match
	// Endpoints are names in the policy's namespace, in order of preference. With a Match too, both must hold.
	Endpoints []string
	Strategy  Strategy
}

// Timeouts bound the phases of a request.
type Timeouts struct {
	Connect, TLSHandshake, FirstToken, CommitAfter, Idle, ClientWrite time.Duration
}

// RetryScope is where an attempt may go after one that failed.
type RetryScope uint8

// The scopes.
const (
	// RetryAny tries every candidate.
	RetryAny RetryScope = iota
	// RetrySameProvider tries candidates of the provider of the first.
	RetrySameProvider
	// RetrySameEndpoint tries the first candidate only.
	RetrySameEndpoint
)

// BackoffType is how long a request waits before it tries an endpoint again.
type BackoffType uint8

// The types.
const (
	// ExponentialJitter waits a random time up to Base, doubled with each attempt.
	ExponentialJitter BackoffType = iota
	// Fixed waits Base.
	Fixed
	// RetryAfter waits as long as the provider has asked, and like ExponentialJitter when it has not.
	RetryAfter
)

// Backoff is how long a request waits before it tries an endpoint again, at most Max.
type Backoff struct {
	Type      BackoffType
	Base, Max time.Duration
}

// PolicySpec is one RoutingPolicy as a plain value.
type PolicySpec struct {
	Key        Key
	UID        string
	Generation int64
	// Created orders policies that claim the same name: the older keeps it.
	Created time.Time

	Models []string
	// Capability is the node the policy serves; empty means none.
	Capability string
	// Tiers may be empty: one tier with everything at or below Capability.
	Tiers    []TierSpec
	Timeouts Timeouts
	// Attempts is at least 1.
	Attempts int
	Deadline time.Duration
	Scope    RetryScope
	Backoff  Backoff
	// RetryPercent is how many attempts beyond the first there may be for each hundred requests; 0 is no bound.
	RetryPercent int
	// NextOnContentFilter tries the next candidate when a provider refuses to answer because of the content.
	NextOnContentFilter bool
	// RejectResting leaves endpoints that rest for their health out, and does not try them last.
	RejectResting bool
	// Unit is how the policy wants its endpoints judged; its Policy is Key.Name.
	Unit modelstate.Unit
}

// Node is a node of the capability tree; see package capability.
type Node = capability.Node
