// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// Each row of the design's table of reasons goes and comes back.
var _ = Describe("Standby", func() {
	var b *bench
	var namespace string
	var e *v1alpha1.ModelEndpoint
	var p proxy

	BeforeEach(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		b = newBench(cfg)
		e = endpoint(namespace, "gpt")
		p = newProxy(ctx, namespace, "proxy-0")
	})

	// begin creates endpoints and looks at them once.
	begin := func(ctx context.Context, objects ...client.Object) {
		GinkgoHelper()
		create(ctx, objects...)
		b.reconcile(ctx, namespace)
		b.told()
	}
	// look looks once, at once, and returns how the endpoint stands then.
	look := func(ctx context.Context) string {
		GinkgoHelper()
		b.reconcile(ctx, namespace)
		expectSound(ctx, e)
		Expect(kstatus(e)).To(Equal("Current"), "health never stops a rollout")
		return shown(e)
	}

	It("ErrorThreshold", func(ctx context.Context) {
		begin(ctx, e)
		p.signal(ctx, about(ctx, e, failures(3, epoch.Add(-time.Second)), ofRequests))
		Expect(look(ctx)).To(Equal("Standby ErrorThreshold: 3 consecutive failures, last: 204 from api.example.com; tried again at 22:14:20Z"))
		state := e.Status.ModelState
		Expect(state.CooldownUntil.Time).To(BeTemporally("==", epoch.Add(time.Minute)))
		Expect(*state.FailureCount).To(Equal(int64(3)))
		Expect(state.LastFailure.Time).To(BeTemporally("==", epoch.Add(-time.Second)), "its numbers come later")
		Expect(state.LastFailureMessage).To(Equal("204 from api.example.com"))
		Expect(state.Trips).To(Equal(int32(1)))
		Expect(condition(ctx, e, healthyCondition)).To(Equal("False ErrorThreshold"))
		Expect(b.told()).To(Equal([]string{"Warning EndpointDeactivated ErrorThreshold: 3 consecutive failures, last: 204 from api.example.com; tried again at 22:14:20Z"}))

		By("waiting for the cooldown")
		before := resourceVersions(ctx, namespace)
		Expect(b.reconcile(ctx, namespace)).To(Equal(time.Minute))
		b.clock.Step(59 * time.Second)
		b.reconcile(ctx, namespace)
		Expect(resourceVersions(ctx, namespace)).To(Equal(before))
		b.clock.Step(time.Second)
		Expect(look(ctx)).To(Equal("Active : on trial: gets 10% of its traffic, 0 of 3 successes"))
		Expect(condition(ctx, e, healthyCondition)).To(Equal("True OnTrial"))
		Expect(b.told()).To(Equal([]string{"Normal EndpointOnTrial back on trial: gets 10% of its traffic, 0 of 3 successes"}))

		By("failing the trial: once, and twice as long")
		trialEpoch := e.Status.ModelState.Epoch
		b.clock.Step(time.Second)
		p.signal(ctx, about(ctx, e, failures(1, b.clock.Now()), ofRequests))
		b.clock.Step(time.Second)
		Expect(look(ctx)).To(HavePrefix("Standby ErrorThreshold: 1 failure on trial, last: 204 from api.example.com"))
		Expect(e.Status.ModelState.Epoch).To(Equal(trialEpoch + 1))
		Expect(e.Status.ModelState.CooldownUntil.Time).To(BeTemporally("==", b.clock.Now().Add(2*time.Minute)))
		Expect(b.toldReasons()).To(Equal([]string{"Warning EndpointDeactivated"}))
		b.reconcile(ctx, namespace)
		Expect(b.told()).To(BeEmpty(), "one epoch trips once")

		By("passing the next")
		b.clock.Step(2 * time.Minute)
		Expect(look(ctx)).To(HavePrefix("Active : on trial"))
		b.clock.Step(15 * time.Second)
		p.signal(ctx, about(ctx, e, successes(4, b.clock.Now())))
		Expect(look(ctx)).To(Equal("Active : on trial: gets 55% of its traffic, 3 of 3 successes"))
		b.clock.Step(15 * time.Second)
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(e.Status.ModelState.Trips).To(BeZero())
		Expect(b.toldReasons()).To(Equal([]string{"Normal EndpointOnTrial", "Normal EndpointRecovered"}))
	})

	It("RateLimited", func(ctx context.Context) {
		begin(ctx, e)
		asks := func(d time.Duration) func(*v1alpha1.EndpointSignal) {
			return func(s *v1alpha1.EndpointSignal) { s.RateLimitedUntil = micros(epoch.Add(d)) }
		}
		p.signal(ctx, about(ctx, e, asks(30*time.Second)))
		Expect(look(ctx)).To(Equal("Active : active"), "a short rest is obeyed by proxies and changes nothing else")
		p.signal(ctx, about(ctx, e, asks(5*time.Minute)))
		Expect(look(ctx)).To(HavePrefix("Standby RateLimited: "))
		Expect(e.Status.ModelState.CooldownUntil.Time).To(BeTemporally("==", epoch.Add(5*time.Minute)))
		b.clock.Step(5 * time.Minute)
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(b.toldReasons()).To(Equal([]string{"Warning EndpointDeactivated", "Normal EndpointActivated"}))
	})

	It("QuotaExhausted", func(ctx context.Context) {
		e.Spec.Limits = &v1alpha1.Limits{Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily}, TimeZone: "Europe/Berlin"}
		begin(ctx, e)
		p.signal(ctx, about(ctx, e, saying(v1alpha1.DeactivationQuotaExhausted, epoch, "insufficient_quota")))
		Expect(look(ctx)).To(HavePrefix("Standby QuotaExhausted: the provider says that its quota is spent: insufficient_quota"))
		midnight := time.Date(2023, time.November, 14, 23, 0, 0, 0, time.UTC) // in Berlin
		Expect(e.Status.ModelState.CooldownUntil.Time).To(BeTemporally("==", midnight))
		Expect(b.reconcile(ctx, namespace)).To(Equal(midnight.Sub(epoch)))
		b.clock.SetTime(midnight)
		Expect(look(ctx)).To(HavePrefix("Active :"))
		reasons := b.toldReasons()
		Expect(reasons).To(HaveLen(2))
		Expect(reasons[0]).To(Equal("Warning EndpointDeactivated"))
	})

	It("MaintenanceWindow", func(ctx context.Context) {
		e.Spec.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "0 23 * * *", Duration: "1h"}}
		create(ctx, e)
		opens := time.Date(2023, time.November, 14, 23, 0, 0, 0, time.UTC)
		Expect(b.reconcile(ctx, namespace)).To(Equal(opens.Sub(epoch)), "it wakes up for it")
		b.told()
		b.clock.SetTime(opens)
		Expect(look(ctx)).To(Equal("Standby MaintenanceWindow: inside a maintenance window until 2023-11-15T00:00:00Z"))
		Expect(b.told()).To(Equal([]string{"Normal EndpointDeactivated MaintenanceWindow: inside a maintenance window until 2023-11-15T00:00:00Z"}))
		epochBefore := e.Status.ModelState.Epoch
		Expect(b.reconcile(ctx, namespace)).To(Equal(time.Hour))
		b.clock.Step(time.Hour)
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(e.Status.ModelState.Epoch).To(Equal(epochBefore), "the law begins no epoch")
		Expect(b.toldReasons()).To(Equal([]string{"Normal EndpointActivated"}))
	})

	It("Manual", func(ctx context.Context) {
		begin(ctx, e)
		change(ctx, e, suspend)
		Expect(look(ctx)).To(Equal("Standby Manual: spec.suspend is true; comes back when it is false"))
		Expect(e.Status.ModelState.CooldownUntil).To(BeNil(), "no time ends it")
		b.clock.Step(1000 * time.Hour)
		Expect(look(ctx)).To(HavePrefix("Standby Manual"))
		change(ctx, e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Suspend = nil })
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(b.toldReasons()).To(Equal([]string{"Normal EndpointDeactivated", "Normal EndpointActivated"}))
	})

	It("ProviderAuthFailure", func(ctx context.Context) {
		withSecret(e)
		s := secret(namespace, map[string]string{"key": canary})
		begin(ctx, s, e)
		Expect(look(ctx)).To(Equal("Active : active"))
		b.told()
		p.signal(ctx, about(ctx, e, saying(v1alpha1.DeactivationProviderAuthFailure, epoch, "invalid_api_key")))
		Expect(look(ctx)).To(HavePrefix("Standby ProviderAuthFailure: the provider refuses the credential: invalid_api_key"))
		Expect(e.Status.ModelState.CooldownUntil).To(BeNil(), "waiting mends no key")
		b.clock.Step(24 * time.Hour)
		Expect(look(ctx)).To(HavePrefix("Standby ProviderAuthFailure"))

		change(ctx, s, func(*corev1.Secret) {}) // nothing changes, and nothing comes back
		Expect(look(ctx)).To(HavePrefix("Standby ProviderAuthFailure"))
		before := b.watcher.Version(namespace, "keys")
		s.StringData = map[string]string{"key": canary + "-new"}
		Expect(admin.Update(ctx, s)).To(Succeed())
		Eventually(func() string { return b.watcher.Version(namespace, "keys") }).ShouldNot(Equal(before))
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(b.toldReasons()).To(Equal([]string{"Warning EndpointDeactivated", "Normal EndpointReconfigured", "Normal EndpointActivated"}))
	})

	It("a Secret that goes missing says nothing of the credential", func(ctx context.Context) {
		withSecret(e)
		s := secret(namespace, map[string]string{"key": canary})
		begin(ctx, s, e)
		p.signal(ctx, about(ctx, e, failures(3, epoch.Add(-time.Second)), ofRequests))
		Expect(look(ctx)).To(HavePrefix("Standby ErrorThreshold"))
		Expect(admin.Delete(ctx, s)).To(Succeed())
		Eventually(func() secrets.State { _, state := b.watcher.Secret(namespace, "keys"); return state }).Should(Equal(secrets.NotFound))
		b.reconcile(ctx, namespace)
		expectSound(ctx, e)
		Expect(shown(e)).To(HavePrefix("Standby : takes no traffic because it is not Ready"))
		Expect(e.Status.ModelState.Reasons).To(HaveLen(1), "its books are kept")
	})

	It("ProviderOutage", func(ctx context.Context) {
		other := endpoint(namespace, "mini", func(e *v1alpha1.ModelEndpoint) { e.Spec.Model = "gpt-5-mini" })
		begin(ctx, e, other, endpoint(namespace, "elsewhere", func(e *v1alpha1.ModelEndpoint) { e.Spec.Provider = "acme" }))
		at := epoch.Add(-time.Second)
		p.signal(ctx, about(ctx, e, failures(3, at)), about(ctx, other, failures(1, at)))
		Expect(look(ctx)).To(HavePrefix("Standby ProviderOutage: all endpoints of the provider fail: at mini: 503 from api.example.com"))
		b.reconcile(ctx, namespace)
		expectSound(ctx, other)
		Expect(shown(other)).To(HavePrefix("Standby ProviderOutage: "))
		Expect(other.Status.ModelState.CooldownUntil).To(Equal(e.Status.ModelState.CooldownUntil), "they return together")
		expectSound(ctx, endpoint(namespace, "elsewhere"))
		told := b.told()
		Expect(told).To(ContainElement("Warning ProviderDeactivated provider openai is out: all of its endpoints fail"))
		Expect(told).To(ContainElement("Normal ProviderHealthChanged 0 of 2 endpoints of provider openai take traffic; before: 2"))
		b.reconcile(ctx, namespace)
		Expect(b.told()).To(BeEmpty())

		b.clock.SetTime(e.Status.ModelState.CooldownUntil.Time)
		Expect(look(ctx)).To(HavePrefix("Active :"))
		Expect(b.toldReasons()).To(ContainElements("Normal ProviderRecovered", "Normal ProviderHealthChanged"))
	})

	It("ModelNotFound", func(ctx context.Context) {
		begin(ctx, e)
		p.signal(ctx, about(ctx, e, saying(v1alpha1.DeactivationModelNotFound, epoch, "model_not_found")))
		Expect(look(ctx)).To(HavePrefix("Standby ModelNotFound: the provider does not know the model: model_not_found"))
		change(ctx, e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Model = "gpt-5.1" })
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(b.toldReasons()).To(Equal([]string{"Warning EndpointDeactivated", "Normal EndpointReconfigured", "Normal EndpointActivated"}))
	})

	It("ProbeFailed", func(ctx context.Context) {
		var status atomic.Int32
		status.Store(http.StatusInternalServerError)
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
		DeferCleanup(provider.Close)
		e.Spec.URL = provider.URL + "/v1"
		e.Spec.Probe = &v1alpha1.Probe{Type: v1alpha1.ProbeModels, Interval: new(v1alpha1.Duration("10s"))}
		begin(ctx, e)
		probe := func() {
			b.clock.Step(10 * time.Second)
			b.Prober.step(ctx)
			b.Prober.running.Wait()
		}
		for range 2 {
			probe()
			Expect(look(ctx)).To(HavePrefix("Active : active"))
		}
		probe()
		Expect(b.askedFor()).To(HaveKeyWithValue(namespace, true))
		Expect(look(ctx)).To(HavePrefix("Standby ProbeFailed: 3 probes failed in a row, last: 500 from "))
		Expect(e.Status.ModelState.Probe.Failures).To(Equal(int32(3)))
		Expect(e.Status.ModelState.CooldownUntil).To(BeNil())
		probe()
		Expect(look(ctx)).To(HavePrefix("Standby ProbeFailed"))
		status.Store(http.StatusOK)
		probe()
		Expect(look(ctx)).To(HavePrefix("Active :"))
		Expect(e.Status.ModelState.Probe).To(BeNil())
		Expect(b.toldReasons()).To(HaveLen(2))
	})

	It("a verdict that a proxy knows better than is withdrawn, without doubling", func(ctx context.Context) {
		begin(ctx, e)
		p.signal(ctx, about(ctx, e, failures(3, epoch.Add(-2*time.Second)), ofRequests))
		Expect(look(ctx)).To(HavePrefix("Standby ErrorThreshold"))
		other := newProxy(ctx, namespace, "proxy-1")
		other.signal(ctx, about(ctx, e, func(s *v1alpha1.EndpointSignal) { s.PreviousSuccess = micros(epoch.Add(-time.Second)) }))
		Expect(look(ctx)).To(Equal("Active : active"))
		Expect(e.Status.ModelState.Withdrawn).To(BeTrue())
		Expect(e.Status.ModelState.Trips).To(BeZero())
		Expect(b.toldReasons()).To(Equal([]string{"Warning EndpointDeactivated", "Normal VerdictWithdrawn"}))
	})

	It("is not for a proxy that blames its own network", func(ctx context.Context) {
		begin(ctx, e)
		p.status(ctx, func(s *v1alpha1.ProxyInstanceStatus) {
			s.Conditions = verdict{refused: refused}.conditions(nil, epoch)[:1]
			s.Conditions[0].Type = v1alpha1.ConditionConnected
			s.Signals = []v1alpha1.EndpointSignal{about(ctx, e, failures(5, epoch.Add(-time.Second)), ofRequests)}
		})
		Expect(look(ctx)).To(Equal("Active : active"))
	})

	It("is confirmed by the operator when one of two proxies cannot connect", func(ctx context.Context) {
		provider := httptest.NewServer(http.NotFoundHandler())
		e.Spec.URL = provider.URL + "/v1"
		begin(ctx, e)
		other := newProxy(ctx, namespace, "proxy-1")
		recent := func(n *v1alpha1.EndpointNumbers) {
			n.Window = []v1alpha1.WindowBucket{{Start: epoch.Add(-10*time.Second).Unix() / 10 * 10, Epoch: 1, Attempts: 5}}
		}
		for _, each := range []proxy{p, other} {
			each.count(ctx, 0, used(e, 5, today, thisMonth, recent))
		}
		p.signal(ctx, about(ctx, e, failures(3, epoch.Add(-time.Second)), unconnected))
		dial := func() {
			b.clock.Step(time.Second)
			b.Prober.step(ctx)
			b.Prober.running.Wait()
		}
		Expect(look(ctx)).To(HavePrefix("Active : "), "its own network may be at fault")
		b.askedFor()
		dial()
		Expect(b.askedFor()).NotTo(HaveKeyWithValue(namespace, true))
		Expect(look(ctx)).To(HavePrefix("Active : "), "the operator can connect")

		provider.Close()
		b.askedFor()
		dial()
		Expect(b.askedFor()).To(HaveKeyWithValue(namespace, true), "a new look at once")
		Expect(look(ctx)).To(HavePrefix("Standby ErrorThreshold: 3 consecutive failures, last: connection refused"))
	})
})
