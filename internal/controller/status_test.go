// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

var (
	earlier = time.Unix(1_700_000_000, 0)
	later   = earlier.Add(time.Hour)
	refused = routing.Refusal{Reason: "InvalidURL", Message: "spec.url has no host"}
	lacking = routing.Refusal{Reason: "SecretNotFound", Message: "spec.auth.secretRef: no such Secret"}
)

// row is a condition in one line: Type=Status Reason generation, and since when.
type row struct {
	Is    string
	Since time.Time
}

func rows(conditions []metav1.Condition) []row {
	var out []row
	for _, c := range conditions {
		out = append(out, row{Is: c.Type + "=" + string(c.Status) + " " + c.Reason + ": " + c.Message, Since: c.LastTransitionTime.Time})
	}
	return out
}

// judgedOf is an endpoint as a look has judged it.
func judgedOf(before *v1alpha1.ModelEndpoint, entry routing.Endpoint, state modelstate.State) *judged {
	return &judged{object: before, entry: &entry, state: state, tally: &tally{}, interval: minReportInterval}
}

func standby(reason modelstate.Reason, message string) modelstate.State {
	return modelstate.State{Epoch: 2, Verdicts: []modelstate.Verdict{{Reason: reason, Since: earlier, Message: message}}}
}

func TestEndpointStatus(t *testing.T) {
	const understood = "Accepted=True Accepted: the spec is understood"
	const resolved = "ResolvedRefs=True ResolvedRefs: everything the spec refers to can be used"
	const ready = "Ready=True Ready: the endpoint can take traffic"
	const healthy = "Healthy=True Healthy: active and below every threshold"
	// state is status, reason and message in one line.
	for name, tc := range map[string]struct {
		entry     routing.Endpoint
		state     modelstate.State
		want      []row
		wantState string
	}{
		"an endpoint that is in order is Ready, Healthy and Active": {
			want:      []row{{understood, earlier}, {resolved, earlier}, {ready, earlier}, {healthy, earlier}},
			wantState: "Active : active",
		},
		"a suspended endpoint is Ready and on Standby, so that no rollout waits for it": {
			entry: routing.Endpoint{
				EndpointSpec: routing.EndpointSpec{Suspended: true},
				Standby:      routing.Refusal{Reason: "Manual"},
			},
			state: standby(modelstate.Manual, "spec.suspend is true"),
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{"Ready=True Ready: the endpoint is usable, and suspended by spec.suspend", earlier},
				{"Healthy=False Manual: spec.suspend is true", later},
			},
			wantState: "Standby Manual: spec.suspend is true",
		},
		"an endpoint that fails is Ready, and not Healthy": {
			state: standby(modelstate.ErrorThreshold, "3 consecutive failures"),
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{ready, earlier},
				{"Healthy=False ErrorThreshold: 3 consecutive failures", later},
			},
			wantState: "Standby ErrorThreshold: 3 consecutive failures",
		},
		"what holds beside the shown reason is told too": {
			state: modelstate.State{Verdicts: []modelstate.Verdict{
				{Reason: modelstate.ErrorThreshold, Message: "3 consecutive failures"},
				{Reason: modelstate.RateLimited, Until: earlier},
				{Reason: modelstate.ProbeFailed},
			}},
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{ready, earlier},
				{"Healthy=False ErrorThreshold: 3 consecutive failures; also RateLimited until 2023-11-14T22:13:20Z; also ProbeFailed", later},
			},
			wantState: "Standby ErrorThreshold: 3 consecutive failures; also RateLimited until 2023-11-14T22:13:20Z; also ProbeFailed",
		},
		"an endpoint on trial is Healthy": {
			state: modelstate.State{Trial: &modelstate.Trial{Since: later, InitialPercent: 40, Ramp: time.Minute, Successes: 3}},
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{ready, earlier},
				{"Healthy=True OnTrial: active on trial", earlier},
			},
			wantState: "Active : on trial: gets 40% of its traffic, 0 of 3 successes",
		},
		"as many failures as a threshold without a verdict are told": {
			entry: routing.Endpoint{Units: []modelstate.Unit{modelstate.DefaultUnit}},
			state: modelstate.State{FailureCount: 3},
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{ready, earlier},
				{"Healthy=False ErrorsRising: active, with as many failures as a policy's threshold or more", later},
			},
			wantState: "Active : active",
		},
		"a window that is too short for the reports is told": {
			entry: routing.Endpoint{Units: []modelstate.Unit{{
				Policy: "chat", ConsecutiveFailures: 3, ErrorRate: 500_000, MinimumRequests: 20, Window: 9 * time.Second,
			}}},
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{ready, earlier},
				{healthy + "; proxies report every 5s, so that each judges the error rate of chat for itself", earlier},
			},
			wantState: "Active : active",
		},
		"a spec that cannot be acted on is not Ready for that reason": {
			entry: routing.Endpoint{Refused: refused, Standby: refused},
			want: []row{
				{"Accepted=False InvalidURL: spec.url has no host", later},
				{resolved, earlier},
				{"Ready=False InvalidURL: spec.url has no host", later},
				{"Healthy=False InvalidURL: the endpoint is not Ready: spec.url has no host", later},
			},
			wantState: "Standby : takes no traffic because it is not Ready: spec.url has no host",
		},
		"a Secret that is missing shows in ResolvedRefs and Ready": {
			entry: routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: lacking}, Standby: lacking},
			want: []row{
				{understood, earlier},
				{"ResolvedRefs=False SecretNotFound: spec.auth.secretRef: no such Secret", later},
				{"Ready=False SecretNotFound: spec.auth.secretRef: no such Secret", later},
				{"Healthy=False SecretNotFound: the endpoint is not Ready: spec.auth.secretRef: no such Secret", later},
			},
			wantState: "Standby : takes no traffic because it is not Ready: spec.auth.secretRef: no such Secret",
		},
		"with both, Ready names the first": {
			entry: routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: lacking}, Refused: refused, Standby: refused},
			want: []row{
				{"Accepted=False InvalidURL: spec.url has no host", later},
				{"ResolvedRefs=False SecretNotFound: spec.auth.secretRef: no such Secret", later},
				{"Ready=False InvalidURL: spec.url has no host", later},
				{"Healthy=False InvalidURL: the endpoint is not Ready: spec.url has no host", later},
			},
			wantState: "Standby : takes no traffic because it is not Ready: spec.url has no host",
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The status of an hour ago: in order, of an older generation, and with a condition of somebody else.
			before := &v1alpha1.ModelEndpoint{}
			first := routing.Endpoint{EndpointSpec: routing.EndpointSpec{Generation: 1}}
			before.Status = judgedOf(before, first, modelstate.State{Epoch: 1}).status(earlier)
			foreign := metav1.Condition{Type: "acme.com/Audited", Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(earlier)}
			before.Status.Conditions = append(before.Status.Conditions, foreign)
			kept := before.DeepCopy()

			tc.entry.Generation = 2
			got := judgedOf(before, tc.entry, tc.state).status(later)

			want := slices.Concat(tc.want, []row{{"acme.com/Audited=True : ", earlier}})
			if diff := cmp.Diff(want, rows(got.Conditions)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			is := got.ModelState
			if state := string(is.Status) + " " + string(is.DeactivationReason) + ": " + is.Message; state != tc.wantState {
				t.Errorf("state is %q, want %q", state, tc.wantState)
			}
			if diff := cmp.Diff(kept, before); diff != "" {
				t.Errorf("the object it was made of has changed (-before +after):\n%s", diff)
			}
			for _, c := range got.Conditions[:4] {
				if c.ObservedGeneration != 2 || got.ObservedGeneration != 2 {
					t.Errorf("%s speaks of generation %d, the status of %d, want 2", c.Type, c.ObservedGeneration, got.ObservedGeneration)
				}
			}
			again := &v1alpha1.ModelEndpoint{Status: got}
			if diff := cmp.Diff(got, judgedOf(again, tc.entry, tc.state).status(later)); diff != "" {
				t.Errorf("the same again is not the same (-first +second):\n%s", diff)
			}
		})
	}
}

func TestPolicyStatus(t *testing.T) {
	named := func(name string, reason string) *routing.Endpoint {
		return &routing.Endpoint{
			EndpointSpec: routing.EndpointSpec{Key: routing.Key{Name: name}},
			Standby:      routing.Refusal{Reason: reason},
		}
	}
	up := func(e *routing.Endpoint) bool { return e.Standby.Reason == "" }
	for name, tc := range map[string]struct {
		tiers                         []routing.Tier
		wantCurrent                   string
		wantActive, wantTotal         int32
		wantStrategy, wantOfEndpoints string
	}{
		"the first that takes traffic is current": {
			tiers: []routing.Tier{
				{Endpoints: []*routing.Endpoint{named("a", "down"), named("b", "")}},
				{Strategy: routing.RoundRobin, Endpoints: []*routing.Endpoint{named("c", ""), named("d", "")}},
			},
			wantCurrent: "b", wantActive: 3, wantTotal: 4, wantStrategy: "Priority,RoundRobin",
			wantOfEndpoints: "3 of 4 endpoints take traffic",
		},
		"a tier that takes turns has no current": {
			tiers: []routing.Tier{
				{Endpoints: []*routing.Endpoint{named("a", "down")}},
				{Strategy: routing.RoundRobin, Endpoints: []*routing.Endpoint{named("c", "")}},
			},
			wantActive: 1, wantTotal: 2, wantStrategy: "Priority,RoundRobin",
			wantOfEndpoints: "1 of 2 endpoints take traffic",
		},
		"nor has a policy whose endpoints all rest": {
			tiers:     []routing.Tier{{Endpoints: []*routing.Endpoint{named("a", "down")}}},
			wantTotal: 1, wantStrategy: "Priority", wantOfEndpoints: "0 of 1 endpoints take traffic",
		},
	} {
		t.Run(name, func(t *testing.T) {
			entry := &routing.Policy{
				PolicySpec: routing.PolicySpec{Generation: 4},
				Names:      []string{"chat", "gpt"}, Tiers: tc.tiers, Total: int(tc.wantTotal),
			}
			got := policyStatus(&v1alpha1.RoutingPolicy{}, entry, up, earlier)
			ready := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady)
			if ready.Message != tc.wantOfEndpoints || ready.Status != metav1.ConditionTrue {
				t.Errorf("Ready is %+v", ready)
			}
			got.Conditions = nil
			want := v1alpha1.RoutingPolicyStatus{
				ObservedGeneration: 4, Models: "chat,gpt", Strategy: tc.wantStrategy, Current: tc.wantCurrent,
				Endpoints: &v1alpha1.PolicyEndpoints{Total: tc.wantTotal, Active: tc.wantActive, Standby: tc.wantTotal - tc.wantActive},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNews(t *testing.T) {
	endpoint := func(entry routing.Endpoint, state modelstate.State) v1alpha1.ModelEndpointStatus {
		return judgedOf(&v1alpha1.ModelEndpoint{}, entry, state).status(earlier)
	}
	policy := func(active, total int, current string, refused routing.Refusal) v1alpha1.RoutingPolicyStatus {
		status := policyStatus(&v1alpha1.RoutingPolicy{}, &routing.Policy{Total: total, Refused: refused}, nil, earlier)
		status.Endpoints.Active, status.Current = int32(active), current
		return status
	}
	why := func(name string) string {
		if name == "a" {
			return "is on Standby: 3 consecutive failures"
		}
		return messageActive
	}
	conflict := func(message string) v1alpha1.RoutingPolicyStatus {
		return policy(0, 0, "", routing.Refusal{Reason: "NameConflict", Message: message})
	}
	order, active := routing.Endpoint{}, modelstate.State{Epoch: 1, Configuration: "one"}
	down := standby(modelstate.ErrorThreshold, "3 consecutive failures")
	down.Configuration = "one"
	manual := standby(modelstate.Manual, "spec.suspend is true")
	manual.Configuration = "one"
	trial := modelstate.State{Epoch: 3, Configuration: "one", Trial: &modelstate.Trial{Since: earlier, InitialPercent: 10, Ramp: time.Minute, Successes: 3}}
	other := active
	other.Configuration = "another"
	none := routing.Refusal{}
	unresolved := routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: lacking}, Standby: lacking}
	pending := routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: routing.Refusal{Reason: "SecretPending", Message: "wait"}}}
	const warning, normal = corev1.EventTypeWarning, corev1.EventTypeNormal
	for name, tc := range map[string]struct {
		got  []news
		want []news
	}{
		"nothing changed": {got: endpointNews(endpoint(order, active), endpoint(order, active))},
		"a new endpoint that is in order": {
			got:  endpointNews(v1alpha1.ModelEndpointStatus{}, endpoint(order, active)),
			want: []news{{normal, "Ready", "JudgeSpec", "the endpoint can take traffic"}},
		},
		"a Secret went missing": {
			got:  endpointNews(endpoint(order, active), endpoint(unresolved, active)),
			want: []news{{warning, "SecretNotFound", "JudgeSpec", lacking.Message}},
		},
		"waiting for Secrets is no reason for a warning": {
			got:  endpointNews(v1alpha1.ModelEndpointStatus{}, endpoint(pending, active)),
			want: []news{{normal, "SecretPending", "JudgeSpec", "wait"}},
		},
		"too many failures are a warning": {
			got:  endpointNews(endpoint(order, active), endpoint(order, down)),
			want: []news{{warning, "EndpointDeactivated", "Deactivate", "ErrorThreshold: 3 consecutive failures"}},
		},
		"what the user wants is none": {
			got:  endpointNews(endpoint(order, active), endpoint(order, manual)),
			want: []news{{normal, "EndpointDeactivated", "Deactivate", "Manual: spec.suspend is true"}},
		},
		"back for good": {
			got:  endpointNews(endpoint(order, down), endpoint(order, active)),
			want: []news{{normal, "EndpointActivated", "Activate", "ErrorThreshold has ended; the endpoint takes traffic"}},
		},
		"back on trial": {
			got:  endpointNews(endpoint(order, down), endpoint(order, trial)),
			want: []news{{normal, "EndpointOnTrial", "BeginTrial", "back on trial: gets 10% of its traffic, 0 of 3 successes"}},
		},
		"the trial goes on": {got: endpointNews(endpoint(order, trial), endpoint(order, trial))},
		"the trial is passed": {
			got:  endpointNews(endpoint(order, trial), endpoint(order, modelstate.State{Epoch: 4, Configuration: "one"})),
			want: []news{{normal, "EndpointRecovered", "Activate", "the trial is passed; the endpoint gets all of its traffic"}},
		},
		"a verdict is taken back": {
			got: endpointNews(endpoint(order, down), endpoint(order, modelstate.State{Epoch: 3, Configuration: "one", Withdrawn: true})),
			want: []news{{
				normal, "VerdictWithdrawn", "WithdrawVerdict",
				"ErrorThreshold is taken back: a proxy knows of a success newer than the failures it was decided on",
			}},
		},
		"another key": {
			got: endpointNews(endpoint(order, down), endpoint(order, other)),
			want: []news{
				{normal, "EndpointReconfigured", "BeginAnew", "url, model or credential changed; what was known of the endpoint before no longer counts"},
				{normal, "EndpointActivated", "Activate", "ErrorThreshold has ended; the endpoint takes traffic"},
			},
		},
		"a new policy is Ready, and its first count is no change": {
			got:  policyNews(v1alpha1.RoutingPolicyStatus{}, policy(0, 2, "a", none), why),
			want: []news{{normal, "Ready", "JudgeSpec", "0 of 2 endpoints take traffic"}},
		},
		"another count": {
			got:  policyNews(policy(2, 2, "b", none), policy(1, 2, "b", none), why),
			want: []news{{normal, "MembershipChanged", "CountEndpoints", "1 of 2 endpoints take traffic; before: 2 of 2"}},
		},
		"current moves because it rests": {
			got:  policyNews(policy(2, 2, "a", none), policy(2, 2, "b", none), why),
			want: []news{{normal, "CurrentRotated", "MoveCurrent", "from a to b: a is on Standby: 3 consecutive failures"}},
		},
		"current moves because a better one is back": {
			got:  policyNews(policy(2, 2, "c", none), policy(2, 2, "b", none), why),
			want: []news{{normal, "CurrentRotated", "MoveCurrent", "from c to b: b comes first and takes traffic"}},
		},
		"nobody is left": {
			got:  policyNews(policy(1, 2, "a", none), policy(1, 2, "", none), why),
			want: []news{{normal, "CurrentRotated", "MoveCurrent", "from a to none: a is on Standby: 3 consecutive failures"}},
		},
		"a name lost": {
			got:  policyNews(policy(0, 0, "", none), conflict("chat is taken"), why),
			want: []news{{warning, "NameConflict", "JudgeSpec", "chat is taken"}},
		},
		"another name lost": {
			got:  policyNews(conflict("chat is taken"), conflict("chat and gpt are taken"), why),
			want: []news{{warning, "NameConflict", "JudgeSpec", "chat and gpt are taken"}},
		},
		"the same names lost": {got: policyNews(conflict("chat is taken"), conflict("chat is taken"), why)},
		"a provider goes out": {
			got: providerNews("acme", standing{active: 2, total: 2}, standing{active: 0, total: 2, outage: true}),
			want: []news{
				{warning, "ProviderDeactivated", "Deactivate", "provider acme is out: all of its endpoints fail"},
				{normal, "ProviderHealthChanged", "CountEndpoints", "0 of 2 endpoints of provider acme take traffic; before: 2"},
			},
		},
		"a provider comes back": {
			got: providerNews("acme", standing{total: 2, outage: true}, standing{active: 1, total: 2}),
			want: []news{
				{normal, "ProviderRecovered", "Activate", "provider acme is no longer out"},
				{normal, "ProviderHealthChanged", "CountEndpoints", "1 of 2 endpoints of provider acme take traffic; before: 0"},
			},
		},
		"a provider with one endpoint has nothing to add": {
			got: providerNews("acme", standing{active: 1, total: 1}, standing{total: 1}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got, cmp.AllowUnexported(news{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClip(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"what fits stays":                   {text: "0123456789", want: "0123456789"},
		"what does not fit ends in a mark":  {text: "0123456789a", want: "0123456…"},
		"a character is not cut in halves":  {text: "012345éabcdef", want: "012345…"},
		"nothing but wide characters works": {text: strings.Repeat("…", 9), want: "……" + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			got := clip(tc.text, 10)
			if got != tc.want || len(got) > 10 || !utf8.ValidString(got) {
				t.Errorf("got %q (%d bytes), want %q", got, len(got), tc.want)
			}
		})
	}
}
