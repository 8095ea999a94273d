// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of ModelEndpoint and RoutingPolicy. They follow kstatus: Ready is True once the newest
// generation is understood and everything it refers to exists, and says nothing about a model's health, so
// that a rollout never waits for a provider.
const (
	// ConditionAccepted is True when the spec is understood and acted on, False when it is well-formed but
	// cannot be acted on (reasons: UnknownCapability, InvalidURL, NameConflict), and
	// absent until the operator has seen the object.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs is True when every object the spec names exists and may be read, False when one
	// does not (reasons: SecretNotFound, SecretKeyNotFound, SecretAccessDenied, SecretPending,
	// EndpointNotFound, CapabilityMismatch, InvalidCertificate, InvalidCredential), and absent until the
	// operator has looked.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionReady is True when Accepted and ResolvedRefs are True for the object's newest generation,
	// False otherwise with the reason of the first that is not. It is derived, never set on its own.
	ConditionReady = "Ready"
	// ConditionHealthy of a ModelEndpoint is True while it is Active and its failures are below every policy's
	// threshold, False otherwise with the reason of its Standby, or ErrorsRising. It stands beside Ready and is
	// no part of it: a budget that is spent, or a provider that is down, must not stop a rollout.
	ConditionHealthy = "Healthy"
)

// ConditionCurrent is the condition type of a ProxyInstance: True while that proxy serves the newest
// objects it could read, False while it keeps the last good table (reasons: SyncLost, BuildFailed), and
// absent until it has published its first table.
const ConditionCurrent = "Current"

// ConditionConnected is a condition type of a ProxyInstance: False while endpoints of two providers or more
// cannot be connected to and none has answered since, which is taken for a fault of the proxy's own network, so
// that it sends no verdict; True otherwise.
const ConditionConnected = "Connected"

// Reasons of the conditions above.
const (
	// ReasonAccepted accompanies Accepted=True.
	ReasonAccepted = "Accepted"
	// ReasonResolvedRefs accompanies ResolvedRefs=True.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonReady accompanies Ready=True.
	ReasonReady = "Ready"
	// ReasonUnknownCapability says that a capability is neither in the built-in tree nor under a domain.
	ReasonUnknownCapability = "UnknownCapability"
	// ReasonInvalidURL says that spec.url cannot be used.
	ReasonInvalidURL = "InvalidURL"
	// ReasonNameConflict says that an older policy of the namespace already owns a name in spec.models.
	ReasonNameConflict = "NameConflict"
	// ReasonCapabilityMismatch says that a listed endpoint does not offer the policy's capability.
	ReasonCapabilityMismatch = "CapabilityMismatch"
	// ReasonSecretNotFound says that a referenced Secret does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretKeyNotFound says that a referenced Secret lacks the key, or holds it empty.
	ReasonSecretKeyNotFound = "SecretKeyNotFound"
	// ReasonSecretAccessDenied says that RBAC does not let Turnout read Secrets of the namespace.
	ReasonSecretAccessDenied = "SecretAccessDenied"
	// ReasonSecretPending says that the namespace's Secrets are still being read.
	ReasonSecretPending = "SecretPending"
	// ReasonInvalidCertificate says that a referenced CA bundle holds no usable certificate.
	ReasonInvalidCertificate = "InvalidCertificate"
	// ReasonInvalidCredential says that a referenced credential holds bytes no HTTP header can carry.
	ReasonInvalidCredential = "InvalidCredential"
	// ReasonEndpointNotFound says that a listed ModelEndpoint does not exist.
	ReasonEndpointNotFound = "EndpointNotFound"
	// ReasonInvalidSchedule says that a window of spec.maintenance cannot be understood.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonInvalidTimeZone says that a time zone is not in the IANA database.
	ReasonInvalidTimeZone = "InvalidTimeZone"
	// ReasonHealthy accompanies Healthy=True.
	ReasonHealthy = "Healthy"
	// ReasonErrorsRising says that an endpoint is Active with failures since its last success.
	ReasonErrorsRising = "ErrorsRising"
	// ReasonOnTrial says that an endpoint is Active on trial.
	ReasonOnTrial = "OnTrial"
	// ReasonConnected accompanies Connected=True.
	ReasonConnected = "Connected"
	// ReasonNoConnections says that a proxy blames its own network.
	ReasonNoConnections = "NoConnections"
	// ReasonCurrent accompanies Current=True.
	ReasonCurrent = "Current"
	// ReasonSyncLost says that the proxy cannot reach the API server.
	ReasonSyncLost = "SyncLost"
	// ReasonBuildFailed says that the newest objects could not be turned into a table.
	ReasonBuildFailed = "BuildFailed"
)
