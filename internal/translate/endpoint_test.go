// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// vault is a secrets.Reader over fixed data: namespace/name to keys. states override what is known of a
// namespace.
type vault struct {
	data   map[string]map[string][]byte
	states map[string]secrets.State
}

func (v vault) Secret(namespace, name string) (map[string][]byte, secrets.State) {
	if state, has := v.states[namespace]; has {
		return nil, state
	}
	data, has := v.data[namespace+"/"+name]
	if !has {
		return nil, secrets.NotFound
	}
	return data, secrets.Found
}

// Version is one for each content that the tests use.
func (v vault) Version(namespace, name string) string {
	data, state := v.Secret(namespace, name)
	if state != secrets.Found {
		return ""
	}
	return fmt.Sprintf("uid-of-%s/%v", name, len(fmt.Sprint(data)))
}

// endpointWith is a small valid endpoint with one thing changed.
func endpointWith(change func(*v1alpha1.ModelEndpointSpec)) *v1alpha1.ModelEndpoint {
	e := &v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gpt", UID: types.UID("u-1"), Generation: 3, Labels: map[string]string{"tier": "gold"}},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "openai", Format: v1alpha1.FormatOpenAI, URL: "https://api.example.com/v1", Model: "gpt-5",
			Capabilities: []string{"chat-completion"},
		},
	}
	if change != nil {
		change(&e.Spec)
	}
	return e
}

// specWith is what endpointWith(nil) translates to, with one thing changed.
func specWith(change func(*routing.EndpointSpec)) routing.EndpointSpec {
	s := routing.EndpointSpec{
		Key: routing.Key{Namespace: "shop", Name: "gpt"}, UID: "u-1", Generation: 3, Labels: map[string]string{"tier": "gold"},
		Provider: "openai", Format: routing.FormatOpenAI, URL: "https://api.example.com/v1", Model: "gpt-5",
		Capabilities: []string{"chat-completion"},
		Delivery:     routing.Synchronous | routing.Streaming,
		// Of the URL and the model above, without a credential.
		Configuration: "273e1d06f872b19e",
		QuotaPeriod:   calendar.Period{Unit: calendar.Daily, Zone: time.UTC},
		BudgetPeriod:  calendar.Period{Unit: calendar.Monthly, Zone: time.UTC},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestEndpoint(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ModelEndpointSpec)
		want   func(*routing.EndpointSpec)
	}{
		"an endpoint with the required fields only gets the documented defaults": {},
		"listed deliveries are the only ones": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Delivery = []v1alpha1.DeliveryMode{v1alpha1.DeliveryStreaming} },
			want:   func(s *routing.EndpointSpec) { s.Delivery = routing.Streaming },
		},
		"features that are listed are known": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Features = []v1alpha1.Feature{v1alpha1.FeatureVision, v1alpha1.FeatureToolCalling}
			},
			want: func(s *routing.EndpointSpec) {
				s.Features, s.FeaturesKnown = routing.Vision|routing.ToolCalling, true
			},
		},
		"an empty list of features says that the model has none of them": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Features = []v1alpha1.Feature{} },
			want:   func(s *routing.EndpointSpec) { s.FeaturesKnown = true },
		},
		"constraints are carried over": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Constraints = &v1alpha1.EndpointConstraints{ContextWindow: new(int64(128_000)), MaxOutputTokens: new(int64(4096))}
			},
			want: func(s *routing.EndpointSpec) { s.ContextWindow, s.MaxOutputTokens = 128_000, 4096 },
		},
		"a constraint that is absent is unknown": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Constraints = &v1alpha1.EndpointConstraints{ContextWindow: new(int64(8192))}
			},
			want: func(s *routing.EndpointSpec) { s.ContextWindow = 8192 },
		},
		"suspend is carried over": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Suspend = new(true) },
			want:   func(s *routing.EndpointSpec) { s.Suspended = true },
		},
		"tls without a bundle verifies by the system's certificates": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.TLS = &v1alpha1.EndpointTLS{ServerName: "inner.example.com", InsecureSkipVerify: new(true)}
			},
			want: func(s *routing.EndpointSpec) {
				s.TLS = routing.TLS{ServerName: "inner.example.com", InsecureSkipVerify: true}
			},
		},
		"prices are in nano-dollars": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Pricing = &v1alpha1.Pricing{InputTokens: "2.50", CachedInputTokens: "0.25", OutputTokens: "10", Request: "0.000000001"}
			},
			want: func(s *routing.EndpointSpec) {
				s.Priced, s.Price = true, pricing.Price{Input: 2_500_000_000, CachedInput: 250_000_000, Output: 10_000_000_000, Request: 1}
			},
		},
		"cached input costs what input costs, unless it is said": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Pricing = &v1alpha1.Pricing{InputTokens: "2"} },
			want: func(s *routing.EndpointSpec) {
				s.Priced, s.Price = true, pricing.Price{Input: 2_000_000_000, CachedInput: 2_000_000_000}
			},
		},
		"what is free is priced": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Pricing = &v1alpha1.Pricing{InputTokens: "0", OutputTokens: "0"}
			},
			want: func(s *routing.EndpointSpec) { s.Priced = true },
		},
		"periods and their zone": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Limits = &v1alpha1.Limits{
					Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodHourly}, Budget: &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodWeekly}, TimeZone: "Europe/Berlin",
				}
			},
			want: func(s *routing.EndpointSpec) {
				s.QuotaDeclared = true
				s.QuotaPeriod = calendar.Period{Unit: calendar.Hourly, Zone: berlin(t)}
				s.BudgetPeriod = calendar.Period{Unit: calendar.Weekly, Zone: berlin(t)}
			},
		},
		"limits": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Limits = &v1alpha1.Limits{
					Quota:   &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily, Requests: new(int64(1000)), Tokens: new(int64(5_000_000))},
					Budget:  &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodMonthly, Amount: "12.50"},
					Rate:    &v1alpha1.RateLimit{RequestsPerMinute: new(int64(60)), TokensPerMinute: new(int64(9000)), ConcurrentRequests: new(int64(8))},
					Reserve: v1alpha1.ReserveWorst, OnControlPlaneLoss: v1alpha1.FailOpen,
				}
			},
			want: func(s *routing.EndpointSpec) {
				s.QuotaDeclared = true
				s.Limits = routing.Limits{
					Requests: 1000, Tokens: 5_000_000, Budget: 12_500_000_000,
					RequestsPerMinute: 60, TokensPerMinute: 9000, ConcurrentRequests: 8, ReserveWorst: true, FailOpen: true,
				}
			},
		},
		"some limits and not the others": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Limits = &v1alpha1.Limits{
					Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily, Tokens: new(int64(7))},
					Rate:  &v1alpha1.RateLimit{ConcurrentRequests: new(int64(8))}, Reserve: v1alpha1.ReserveExpected, OnControlPlaneLoss: v1alpha1.FailClosed,
				}
			},
			want: func(s *routing.EndpointSpec) {
				s.QuotaDeclared = true
				s.Limits = routing.Limits{Tokens: 7, ConcurrentRequests: 8}
			},
		},
		"a budget alone declares no quota": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Limits = &v1alpha1.Limits{Budget: &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodDaily}, TimeZone: "Europe/Berlin"}
			},
			want: func(s *routing.EndpointSpec) {
				s.QuotaPeriod = calendar.Period{Unit: calendar.Daily, Zone: berlin(t)}
				s.BudgetPeriod = calendar.Period{Unit: calendar.Daily, Zone: berlin(t)}
			},
		},
		"a zone that is none counts in UTC": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Limits = &v1alpha1.Limits{Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily}, TimeZone: "Mars/Olympus"}
			},
			want: func(s *routing.EndpointSpec) {
				s.QuotaDeclared = true
				s.Misfit = routing.Refusal{Reason: "InvalidTimeZone", Message: `spec.limits.timeZone: "Mars/Olympus" is not a name of the IANA time zone database; write one such as Europe/Berlin, or leave it out for UTC`}
			},
		},
		"maintenance windows": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "0 2 * * 6", Duration: "2h", TimeZone: "Europe/Berlin"}, {Schedule: "@daily", Duration: "1m"}}
			},
			want: func(s *routing.EndpointSpec) {
				s.Maintenance = []calendar.Window{window(t, "0 2 * * 6", 2*time.Hour, "Europe/Berlin"), window(t, "@daily", time.Minute, "")}
			},
		},
		"a schedule that is none leaves the other windows": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "0 0 31 2 *", Duration: "2h"}, {Schedule: "@daily", Duration: "1m"}}
			},
			want: func(s *routing.EndpointSpec) {
				s.Maintenance = []calendar.Window{window(t, "@daily", time.Minute, "")}
				s.Misfit = routing.Refusal{Reason: "InvalidSchedule", Message: `spec.maintenance[0].schedule: the schedule "0 0 31 2 *" never comes; write a day that its month has`}
			},
		},
		"a window in a zone that is none": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "@daily", Duration: "1h", TimeZone: "Local"}, {Schedule: "no", Duration: "1h"}}
			},
			want: func(s *routing.EndpointSpec) {
				s.Misfit = routing.Refusal{Reason: "InvalidTimeZone", Message: `spec.maintenance[0].timeZone: "Local" is not a name of the IANA time zone database; write one such as Europe/Berlin, or leave it out for UTC`}
			},
		},
		"a window that was stored before it had to be short": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "@daily", Duration: "745h"}}
			},
			want: func(s *routing.EndpointSpec) {
				s.Misfit = routing.Refusal{Reason: "InvalidSchedule", Message: `spec.maintenance[0].duration: 745h0m0s is not how long a window can be open; write a duration of at most 744h`}
			},
		},
		"a window whose length cannot be read": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "@daily", Duration: "1d"}}
			},
			want: func(s *routing.EndpointSpec) {
				s.Misfit = routing.Refusal{Reason: "InvalidSchedule", Message: `spec.maintenance[0].duration: "1d" is not a duration; write up to four groups of at most five digits and a unit of h, m, s or ms, such as 1m30s`}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Endpoint(endpointWith(tc.change), vault{})
			if diff := cmp.Diff(specWith(tc.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := calendar.Zone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func window(t *testing.T, schedule string, length time.Duration, zone string) calendar.Window {
	t.Helper()
	w, err := calendar.ParseWindow(schedule, length, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Whoever builds a table compares what it is built from, in order to leave things alone when nothing changed.
func TestEqualEndpointsTranslateToEqualValues(t *testing.T) {
	translated := func() routing.EndpointSpec {
		return Endpoint(endpointWith(func(s *v1alpha1.ModelEndpointSpec) {
			s.Auth = bearer()
			s.Pricing = &v1alpha1.Pricing{InputTokens: "1"}
			s.Limits = &v1alpha1.Limits{Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily}, TimeZone: "America/Sao_Paulo"}
			s.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "*/5 1-3 * * mon", Duration: "2h", TimeZone: "Australia/Lord_Howe"}}
		}), keys("secret"))
	}
	one, other := translated(), translated()
	if !reflect.DeepEqual(one, other) {
		t.Errorf("they differ:\n%s", cmp.Diff(one, other))
	}
	if one.QuotaPeriod.Zone != other.QuotaPeriod.Zone {
		t.Error("two copies of one zone are compared, instead of a pointer")
	}
}

func TestAConfigurationIsWhatEvidenceIsAbout(t *testing.T) {
	reader := keys("secret")
	base := func(change func(*v1alpha1.ModelEndpoint)) string {
		e := endpointWith(func(s *v1alpha1.ModelEndpointSpec) { s.Auth = bearer() })
		if change != nil {
			change(e)
		}
		return Endpoint(e, reader).Configuration
	}
	same := base(nil)
	if len(same) == 0 || len(same) > 64 {
		t.Fatalf("the configuration is %q", same)
	}
	for name, change := range map[string]func(*v1alpha1.ModelEndpoint){
		"a label":        func(e *v1alpha1.ModelEndpoint) { e.Labels = map[string]string{"a": "b"} },
		"a price":        func(e *v1alpha1.ModelEndpoint) { e.Spec.Pricing = &v1alpha1.Pricing{InputTokens: "1"} },
		"a suspension":   func(e *v1alpha1.ModelEndpoint) { e.Spec.Suspend = new(true) },
		"another object": func(e *v1alpha1.ModelEndpoint) { e.Name, e.UID = "other", "u-9" },
	} {
		if got := base(change); got != same {
			t.Errorf("%s makes another configuration", name)
		}
	}
	seen := map[string]string{same: "the first"}
	for name, change := range map[string]func(*v1alpha1.ModelEndpoint){
		"another url":                        func(e *v1alpha1.ModelEndpoint) { e.Spec.URL += "x" },
		"another model":                      func(e *v1alpha1.ModelEndpoint) { e.Spec.Model += "x" },
		"a letter from one to the other":     func(e *v1alpha1.ModelEndpoint) { e.Spec.URL, e.Spec.Model = e.Spec.URL+"g", "pt-5" },
		"another header":                     func(e *v1alpha1.ModelEndpoint) { e.Spec.Auth.Type, e.Spec.Auth.Header = v1alpha1.AuthHeader, "x" },
		"another key":                        func(e *v1alpha1.ModelEndpoint) { e.Spec.Auth.SecretRef.Key = "other" },
		"another Secret, which is not there": func(e *v1alpha1.ModelEndpoint) { e.Spec.Auth.SecretRef.Name = "other" },
		"no credential":                      func(e *v1alpha1.ModelEndpoint) { e.Spec.Auth = nil },
	} {
		got := base(change)
		if before, twice := seen[got]; twice || got == "" {
			t.Errorf("%s makes the configuration of %q", name, before)
		}
		seen[got] = name
	}
	reader = keys("another secret")
	if got := base(nil); got == same || got == "" {
		t.Error("another version of the Secret makes no other configuration")
	}
	for _, state := range []secrets.State{secrets.Pending, secrets.AccessDenied} {
		reader = vault{states: map[string]secrets.State{"shop": state}}
		if got := base(nil); got != "" {
			t.Errorf("while nobody can read the Secret (%v) the configuration is %q, want none", state, got)
		}
	}
}

func TestProbe(t *testing.T) {
	defaults := ProbeSpec{Type: ProbeModels, Interval: time.Minute, Timeout: 5 * time.Second, FailureThreshold: 3}
	for name, tc := range map[string]struct {
		probe *v1alpha1.Probe
		want  ProbeSpec
	}{
		"none":                      {},
		"one that says nothing":     {probe: &v1alpha1.Probe{}, want: defaults},
		"an older schema's nothing": {probe: &v1alpha1.Probe{Timeout: new(v1alpha1.Duration("0s"))}, want: defaults},
		"everything": {
			probe: &v1alpha1.Probe{
				Type: v1alpha1.ProbePath, Path: "/health", Interval: new(v1alpha1.Duration("10s")), Timeout: new(v1alpha1.Duration("1s")), FailureThreshold: new(int32(7)),
			},
			want: ProbeSpec{Type: ProbePath, Path: "/health", Interval: 10 * time.Second, Timeout: time.Second, FailureThreshold: 7},
		},
		"a completion has no path": {
			probe: &v1alpha1.Probe{Type: v1alpha1.ProbeCompletion, Path: "/health"},
			want:  ProbeSpec{Type: ProbeCompletion, Interval: time.Minute, Timeout: 5 * time.Second, FailureThreshold: 3},
		},
		"no probe begins before the last one has ended": {
			probe: &v1alpha1.Probe{Interval: new(v1alpha1.Duration("1ms")), Timeout: new(v1alpha1.Duration("1h"))},
			want:  ProbeSpec{Interval: time.Second, Timeout: time.Second, FailureThreshold: 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, probed := Probe(endpointWith(func(s *v1alpha1.ModelEndpointSpec) { s.Probe = tc.probe }))
			if probed != (tc.probe != nil) {
				t.Errorf("it is probed: %v", probed)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentialName(t *testing.T) {
	if got := CredentialName(endpointWith(nil)); got != "" {
		t.Errorf("without a credential it is %q", got)
	}
	if got := CredentialName(endpointWith(func(s *v1alpha1.ModelEndpointSpec) { s.Auth = bearer() })); got != "shop/keys/key" {
		t.Errorf("got %q, want shop/keys/key", got)
	}
}

// Each enum of the API is fully translated: a value added to the schema and forgotten here fails.
func TestEnumsAreTranslatedOneToOne(t *testing.T) {
	for _, f := range []v1alpha1.Feature{
		v1alpha1.FeatureToolCalling, v1alpha1.FeatureStructuredOutput, v1alpha1.FeatureJSONMode, v1alpha1.FeatureVision,
		v1alpha1.FeatureAudio, v1alpha1.FeatureReasoning, v1alpha1.FeatureLogprobs,
	} {
		if features([]v1alpha1.Feature{f}) == 0 {
			t.Errorf("feature %s translates to nothing", f)
		}
	}
	var all routing.Features
	for _, bit := range featureBits {
		if all&bit != 0 {
			t.Errorf("two features translate to %b", bit)
		}
		all |= bit
	}
	if got := delivery([]v1alpha1.DeliveryMode{v1alpha1.DeliverySynchronous}); got != routing.Synchronous {
		t.Errorf("Synchronous translates to %b", got)
	}
}

func TestInputLeavesOutWhatIsBeingDeleted(t *testing.T) {
	going := metav1.NewTime(time.Unix(1, 0))
	kept, deleted := endpointWith(nil), endpointWith(nil)
	deleted.Name, deleted.DeletionTimestamp = "gone", &going
	keptPolicy := &v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat"}}
	deletedPolicy := &v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gone", DeletionTimestamp: &going}}

	got := Input([]*v1alpha1.ModelEndpoint{deleted, kept}, []*v1alpha1.RoutingPolicy{keptPolicy, deletedPolicy}, vault{})

	want := routing.Input{Endpoints: []routing.EndpointSpec{specWith(nil)}, Policies: []routing.PolicySpec{Policy(keptPolicy)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNeedsSecrets(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ModelEndpointSpec)
		want   bool
	}{
		"an endpoint without references needs none": {want: false},
		"a credential is a Secret": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Auth = &v1alpha1.EndpointAuth{} }, want: true,
		},
		"a bundle is a Secret": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.TLS = &v1alpha1.EndpointTLS{CASecretRef: &v1alpha1.SecretKeyReference{}}
			},
			want: true,
		},
		"tls without a bundle needs none": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.TLS = &v1alpha1.EndpointTLS{} }, want: false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NeedsSecrets(endpointWith(tc.change)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func BenchmarkInput(b *testing.B) {
	reader := vault{data: map[string]map[string][]byte{"shop/keys": {"key": []byte("sk-123")}}}
	var endpoints []*v1alpha1.ModelEndpoint
	for range 1000 {
		endpoints = append(endpoints, endpointWith(func(s *v1alpha1.ModelEndpointSpec) {
			s.Auth = &v1alpha1.EndpointAuth{Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "key"}}
		}))
	}
	b.ReportAllocs()
	for b.Loop() {
		Input(endpoints, nil, reader)
	}
}
