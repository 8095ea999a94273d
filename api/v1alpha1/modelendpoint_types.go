// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Format is the wire format a provider speaks.
//
// +kubebuilder:validation:Enum=OpenAI
type Format string

// FormatOpenAI is OpenAI's HTTP API: chat completions, completions and embeddings under one base URL.
// vLLM, Ollama, OpenRouter and many others speak it too.
const FormatOpenAI Format = "OpenAI"

// AuthType is how an endpoint proves to its provider who calls.
//
// +kubebuilder:validation:Enum=Bearer;Header
type AuthType string

const (
	// AuthBearer sends "Authorization: Bearer" and the secret.
	AuthBearer AuthType = "Bearer"
	// AuthHeader sends the secret as the value of the header named in auth.header.
	AuthHeader AuthType = "Header"
)

// DeliveryMode is a way in which an answer reaches the caller.
//
// +kubebuilder:validation:Enum=Synchronous;Streaming
type DeliveryMode string

const (
	// DeliverySynchronous is one whole answer.
	DeliverySynchronous DeliveryMode = "Synchronous"
	// DeliveryStreaming is an answer in server-sent events.
	DeliveryStreaming DeliveryMode = "Streaming"
)

// Feature is something a request may use and a model may lack.
//
// +kubebuilder:validation:Enum=ToolCalling;StructuredOutput;JSONMode;Vision;Audio;Reasoning;Logprobs;StreamUsage
type Feature string

const (
	// FeatureToolCalling is needed by a body with tools or functions.
	FeatureToolCalling Feature = "ToolCalling"
	// FeatureStructuredOutput is needed by response_format.type json_schema.
	FeatureStructuredOutput Feature = "StructuredOutput"
	// FeatureJSONMode is needed by response_format.type json_object.
	FeatureJSONMode Feature = "JSONMode"
	// FeatureVision is needed by image content parts.
	FeatureVision Feature = "Vision"
	// FeatureAudio is needed by audio content parts and by audio among the modalities.
	FeatureAudio Feature = "Audio"
	// FeatureReasoning is needed by reasoning and reasoning_effort.
	FeatureReasoning Feature = "Reasoning"
	// FeatureLogprobs is needed by logprobs.
	FeatureLogprobs Feature = "Logprobs"
	// FeatureStreamUsage says that streams tell what they used when they are asked to
	// (stream_options.include_usage). No request needs it.
	FeatureStreamUsage Feature = "StreamUsage"
)

// EndpointAuth says how requests to the provider are authenticated.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'Header' || has(self.header)",message="auth.type Header needs auth.header, the name of the header that carries the secret (for example api-key)"
// +kubebuilder:validation:XValidation:rule="self.type == 'Header' || !has(self.header)",message="auth.header only goes with auth.type Header; remove it, or set auth.type to Header"
type EndpointAuth struct {
	// type is how the secret is sent: Bearer as "Authorization: Bearer <secret>", Header as the value of
	// the header named in auth.header.
	// +required
	Type AuthType `json:"type,omitempty"`

	// header is the name of the header that carries the secret. Only with type Header.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9-]+$')",message="auth.header is the name of a header: letters, digits and hyphens, without a colon (for example api-key)"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['host','content-length','content-type','transfer-encoding','connection','accept-encoding','upgrade','te','trailer','keep-alive','cookie','expect'])",message="auth.header names a header that belongs to the connection or the body; use the header your provider reads the key from (for example api-key)"
	Header string `json:"header,omitempty"`

	// secretRef names the Secret key that holds the secret, in the endpoint's own namespace. White space
	// at its end is ignored, so that files with a final newline work.
	// +required
	SecretRef SecretKeyReference `json:"secretRef,omitzero"`
}

// EndpointTLS adjusts how an https provider is verified.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.insecureSkipVerify) && self.insecureSkipVerify && has(self.caSecretRef))",message="tls.insecureSkipVerify turns verification off, so tls.caSecretRef would be ignored; keep one of them"
// +kubebuilder:validation:MinProperties=1
type EndpointTLS struct {
	// serverName is the name to verify and to send as SNI, when it differs from the host in spec.url.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="isIP(self) || self.matches('^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$')",message="tls.serverName is a host name or an IP address, without scheme and port, such as models.example.com"
	ServerName string `json:"serverName,omitempty"`

	// caSecretRef names the Secret key that holds the PEM certificates to trust instead of the system's.
	// +optional
	CASecretRef *SecretKeyReference `json:"caSecretRef,omitempty"`

	// insecureSkipVerify accepts any certificate. Whoever can reach the network path can then read the
	// traffic and the credential.
	// +optional
	InsecureSkipVerify *bool `json:"insecureSkipVerify,omitempty"`
}

// EndpointConstraints are the sizes a model is limited to. A request that clearly exceeds them is not sent to it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.contextWindow) || !has(self.maxOutputTokens) || self.maxOutputTokens <= self.contextWindow",message="constraints.maxOutputTokens is above constraints.contextWindow, which input and output share; lower it, or raise the window",fieldPath=".maxOutputTokens"
// +kubebuilder:validation:MinProperties=1
type EndpointConstraints struct {
	// contextWindow is the most tokens input and output may have together. A request is only kept away
	// when three quarters of its estimated input are already above it: the estimate is rough, and the
	// provider knows better.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	ContextWindow *int64 `json:"contextWindow,omitempty"`

	// maxOutputTokens is the most tokens an answer may have. A request that asks for more is not sent here.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MaxOutputTokens *int64 `json:"maxOutputTokens,omitempty"`
}

// ModelEndpointSpec is the contract of one model at one provider.
//
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.limits.budget) || !has(self.limits.budget.amount) || has(self.pricing)",message="limits.budget.amount is held by what attempts cost, and spec.pricing does not say; add spec.pricing (prices of 0 if the model is free), or remove the amount",fieldPath=".limits"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.limits.reserve) || self.limits.reserve != 'Worst' || has(self.constraints) && has(self.constraints.maxOutputTokens)",message="limits.reserve Worst sets aside the longest answer there can be; write it into constraints.maxOutputTokens, or use Expected",fieldPath=".limits"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || self.url.startsWith('https://')",message="spec.tls only goes with an https:// url; change spec.url or remove spec.tls",fieldPath=".tls"
type ModelEndpointSpec struct {
	// provider is who runs the model: the identity that policies select by. Use one name for everything that
	// fails together (for example openai, or vllm-berlin).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a provider is written in lower-case letters, digits and hyphens and begins and ends with a letter or digit, such as openai or vllm-berlin"
	Provider string `json:"provider,omitempty"`

	// format is the wire format the provider speaks at url.
	// +required
	Format Format `json:"format,omitempty"`

	// url is the base that the format's paths are appended to, usually with the version:
	// https://api.openai.com/v1 serves https://api.openai.com/v1/chat/completions.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://') || self.startsWith('http://')",message="url must start with https:// or http:// (lower case)"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getHostname() != ''",message="url must be an absolute URL with a host, such as https://api.openai.com/v1"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/]*:(0+|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4}|[0-9]{6,})(/|$)')",message="url has a port that does not exist; ports go from 1 to 65535"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="url must be printable ASCII without spaces; percent-encode other characters of the path, and write an international host name in its xn-- form"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="url must not have a query or a fragment; give the base only, such as https://api.openai.com/v1"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-zA-Z]+://[^/]*@')",message="url must not hold a user name or password; put the credential in a Secret and name it in spec.auth.secretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(?i)/(chat/completions|completions|embeddings)/?$')",message="url must be the base, without the path of one operation; drop /chat/completions, /completions or /embeddings from its end"
	URL string `json:"url,omitempty"`

	// model is the provider's own name of the model. It replaces the name the caller asked for.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:cntrl:]]') && self == self.trim()",message="model must not hold control characters, nor begin or end with white space; write the name as the provider documents it, such as gpt-4o-mini"
	Model string `json:"model,omitempty"`

	// auth says how requests are authenticated. Absent: they carry no credential.
	// +optional
	Auth *EndpointAuth `json:"auth,omitempty"`

	// tls adjusts how an https provider is verified. Absent: by the system's certificates and the host in url.
	// +optional
	TLS *EndpointTLS `json:"tls,omitempty"`

	// capabilities are the nodes of the capability tree this model offers, by full name
	// (generation.text-generation.chat-completion), by a short name that is unique in the tree
	// (chat-completion), or under a domain of your own (acme.com/compliance.pii-detection).
	// They decide which policies select the endpoint and which operations reach it: chat completions go to
	// endpoints that generate or understand, completions to text-completion and code-generation, embeddings
	// to representation.embeddings; a node under a domain of your own is sent any of them.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.]){0,2}[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') || self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,7}$')",message="a capability is a name of the tree in lower case (chat-completion, or generation.text-generation.chat-completion), or one of your own below a domain (acme.com/compliance.pii-detection)"
	Capabilities []string `json:"capabilities,omitempty"`

	// delivery lists the ways answers can be delivered.
	// +optional
	// +default=["Synchronous","Streaming"]
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Delivery []DeliveryMode `json:"delivery,omitempty"`

	// features lists what the model can do; a request that uses anything else from this list is not sent
	// to it. Absent: nothing is known, and the provider decides. An empty list: the model has none of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=0
	// +kubebuilder:validation:MaxItems=8
	Features []Feature `json:"features,omitempty"`

	// constraints are the sizes the model is limited to. Absent: unknown, and the provider decides.
	// +optional
	Constraints *EndpointConstraints `json:"constraints,omitempty"`

	// pricing is what the model costs. Absent: unknown, and no cost is counted.
	// +optional
	Pricing *Pricing `json:"pricing,omitempty"`

	// limits say over which calendar periods use is counted, and how much of it there may be, over all proxies.
	// Absent: requests and tokens are counted by day, cost by month, in UTC, and nothing is limited.
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// maintenance lists windows in which the endpoint takes no traffic (Standby, reason MaintenanceWindow).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Maintenance []MaintenanceWindow `json:"maintenance,omitempty"`

	// probe has the operator ask the provider now and then whether it is there. Absent: it does not, but for
	// one connection, on which nothing is sent, when proxies cannot connect.
	// +optional
	Probe *Probe `json:"probe,omitempty"`

	// suspend takes the endpoint out of use (Standby, reason Manual) until it is false again.
	// +optional
	// +default=false
	Suspend *bool `json:"suspend,omitempty"`
}

// EndpointStatus is whether an endpoint takes traffic.
//
// +kubebuilder:validation:Enum=Active;Standby
type EndpointStatus string

const (
	// StatusActive takes traffic.
	StatusActive EndpointStatus = "Active"
	// StatusStandby takes none, for the reason beside it.
	StatusStandby EndpointStatus = "Standby"
)

// DeactivationReason is why an endpoint is on Standby.
//
// +kubebuilder:validation:Enum=Manual;MaintenanceWindow;BudgetExceeded;TokenLimit;RequestLimit;QuotaExhausted;ProviderAuthFailure;ProviderOutage;ModelNotFound;ErrorThreshold;RateLimited;ProbeFailed
type DeactivationReason string

// The reasons, in the order of their precedence: of all that hold, the first is shown.
const (
	// DeactivationManual is spec.suspend. It ends when that is false.
	DeactivationManual DeactivationReason = "Manual"
	// DeactivationMaintenanceWindow is a window of spec.maintenance. It ends with the window.
	DeactivationMaintenanceWindow DeactivationReason = "MaintenanceWindow"
	// DeactivationBudgetExceeded is spec.limits.budget.amount being used up. It ends with the period.
	DeactivationBudgetExceeded DeactivationReason = "BudgetExceeded"
	// DeactivationTokenLimit is spec.limits.quota.tokens being used up. It ends with the period.
	DeactivationTokenLimit DeactivationReason = "TokenLimit"
	// DeactivationRequestLimit is spec.limits.quota.requests being used up. It ends with the period.
	DeactivationRequestLimit DeactivationReason = "RequestLimit"
	// DeactivationQuotaExhausted is the provider's word that its quota is spent. It ends when the provider said,
	// else with the period of spec.limits.quota, else after the cooldown.
	DeactivationQuotaExhausted DeactivationReason = "QuotaExhausted"
	// DeactivationProviderAuthFailure is a credential that the provider refuses. It ends when the Secret
	// changes, or a probe succeeds.
	DeactivationProviderAuthFailure DeactivationReason = "ProviderAuthFailure"
	// DeactivationProviderOutage is a provider of which all endpoints fail. It ends when a probe of any of them
	// succeeds, or after the cooldown.
	DeactivationProviderOutage DeactivationReason = "ProviderOutage"
	// DeactivationModelNotFound is a provider that does not know the model. It ends when the spec changes, a
	// probe succeeds, or after the cooldown.
	DeactivationModelNotFound DeactivationReason = "ModelNotFound"
	// DeactivationErrorThreshold is too many failures. It ends after the cooldown, on trial.
	DeactivationErrorThreshold DeactivationReason = "ErrorThreshold"
	// DeactivationRateLimited is a provider that asks to be left alone for long. It ends when the provider said.
	DeactivationRateLimited DeactivationReason = "RateLimited"
	// DeactivationProbeFailed is a provider that does not answer probes. It ends when a probe succeeds.
	DeactivationProbeFailed DeactivationReason = "ProbeFailed"
)

// ModelEndpointStatus is what the operator knows about the endpoint.
//
// +kubebuilder:validation:MinProperties=1
type ModelEndpointStatus struct {
	// conditions are Accepted, ResolvedRefs, Ready and Healthy.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=0
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// capability is the first of the endpoint's capabilities, by its short name, and how many there are beside
	// it, for people.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	Capability string `json:"capability,omitempty"`

	// modelState is whether the endpoint takes traffic, and why not; what was used and measured.
	// +optional
	ModelState *ModelState `json:"modelState,omitempty"`

	// limits are those of the spec, how much of each is used, and how much is lent to proxies.
	// +optional
	// +listType=map
	// +listMapKey=limit
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Limits []LimitStatus `json:"limits,omitempty"`

	// summary is use beside its limits, in words, for columns.
	// +optional
	Summary *UseSummary `json:"summary,omitempty"`

	// ledger is the operator's own: what was lent to proxies of each limit, by period. Only endpoints with limits
	// have one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=12
	Ledger []LedgerAccount `json:"ledger,omitempty"`

	// fold is the operator's own: what proxies that are gone have counted.
	// +optional
	Fold *Fold `json:"fold,omitempty"`
}

// ModelEndpoint is one model at one provider: what it can do and how it is reached.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mep,categories=turnout
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.modelState.status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.modelState.deactivationReason`
// +kubebuilder:printcolumn:name="Errors",type=integer,JSONPath=`.status.modelState.failureCount`
// +kubebuilder:printcolumn:name="P50",type=string,JSONPath=`.status.modelState.latency.p50`
// +kubebuilder:printcolumn:name="Requests",type=string,JSONPath=`.status.summary.requests`
// +kubebuilder:printcolumn:name="Tokens",type=string,JSONPath=`.status.summary.tokens`
// +kubebuilder:printcolumn:name="Cost",type=string,JSONPath=`.status.summary.cost`
// +kubebuilder:printcolumn:name="Capability",type=string,priority=1,JSONPath=`.status.capability`
// +kubebuilder:printcolumn:name="Leased",type=string,priority=1,JSONPath=`.status.summary.leased`
// +kubebuilder:printcolumn:name="Until",type=string,priority=1,JSONPath=`.status.modelState.cooldownUntil`
// +kubebuilder:printcolumn:name="Last Failure",type=date,priority=1,JSONPath=`.status.modelState.lastFailure`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.modelState.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ModelEndpoint struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the endpoint's contract, written by its users.
	// +required
	Spec ModelEndpointSpec `json:"spec,omitzero"`

	// status is what the operator knows about the endpoint.
	// +optional
	Status ModelEndpointStatus `json:"status,omitzero"`
}

// ModelEndpointList is a list of ModelEndpoint.
//
// +kubebuilder:object:root=true
type ModelEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelEndpoint `json:"items"`
}
