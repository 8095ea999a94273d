// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// canary stands in every Secret of this suite, and nowhere else.
const canary = "sk-CANARY-4711"

var (
	testEnv *envtest.Environment
	cfg     *rest.Config
	// admin may do everything and reads without a cache.
	admin client.Client
)

func TestController(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Controller")
}

var _ = BeforeSuite(func() {
	logf.SetLogger(zap.New(zap.WriteTo(GinkgoWriter), zap.UseDevMode(true)))
	testEnv = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	cfg, err = testEnv.Start()
	Expect(err).NotTo(HaveOccurred(), "the suite needs etcd and kube-apiserver in KUBEBUILDER_ASSETS: make control-plane builds them")
	DeferCleanup(func() { Expect(testEnv.Stop()).To(Succeed()) })
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, rbacv1.AddToScheme,
	} {
		Expect(add(scheme)).To(Succeed())
	}
	admin, err = client.New(cfg, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

// newNamespace creates a namespace of the spec's own. Without Kubernetes' controllers it is never removed.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// endpoint is a small valid endpoint. Its URL is never dialed: the operator talks to the API server only.
func endpoint(namespace, name string, change ...func(*v1alpha1.ModelEndpoint)) *v1alpha1.ModelEndpoint {
	e := &v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "openai", Format: v1alpha1.FormatOpenAI, URL: "https://api.example.com/v1", Model: "gpt-5",
			Capabilities: []string{"chat-completion"},
		},
	}
	for _, c := range change {
		c(e)
	}
	return e
}

func withSecret(e *v1alpha1.ModelEndpoint) {
	e.Spec.Auth = &v1alpha1.EndpointAuth{
		Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "key"},
	}
}

func suspend(e *v1alpha1.ModelEndpoint) { e.Spec.Suspend = new(true) }

func policy(namespace, name string, change ...func(*v1alpha1.RoutingPolicy)) *v1alpha1.RoutingPolicy {
	p := &v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.RoutingPolicySpec{Capability: "chat-completion"},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func withModels(names ...string) func(*v1alpha1.RoutingPolicy) {
	return func(p *v1alpha1.RoutingPolicy) { p.Spec.Models = names }
}

func listing(names ...string) func(*v1alpha1.RoutingPolicy) {
	return func(p *v1alpha1.RoutingPolicy) {
		var tier v1alpha1.Tier
		for _, name := range names {
			tier.Endpoints = append(tier.Endpoints, v1alpha1.EndpointReference{Name: name})
		}
		p.Spec.Tiers = []v1alpha1.Tier{tier}
	}
}

func secret(namespace string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keys"}, StringData: data}
}

func create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(admin.Create(ctx, object)).To(Succeed())
	}
}

// change applies change to the newest version of object.
func change[T client.Object](ctx context.Context, object T, change func(T)) {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	stored := object.DeepCopyObject().(T)
	change(object)
	Expect(admin.Patch(ctx, object, client.MergeFrom(stored))).To(Succeed())
}

// condition is one condition of the object as it is stored, in one line: "False SecretNotFound".
func condition(ctx context.Context, object client.Object, kind string) string {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	c := meta.FindStatusCondition(conditionsOf(object), kind)
	if c == nil {
		return "absent"
	}
	return string(c.Status) + " " + c.Reason
}

func message(ctx context.Context, object client.Object, kind string) string {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	c := meta.FindStatusCondition(conditionsOf(object), kind)
	Expect(c).NotTo(BeNil())
	return c.Message
}

func conditionsOf(object client.Object) []metav1.Condition {
	switch o := object.(type) {
	case *v1alpha1.ModelEndpoint:
		return o.Status.Conditions
	case *v1alpha1.RoutingPolicy:
		return o.Status.Conditions
	}
	return nil
}

func observedGeneration(object client.Object) int64 {
	switch o := object.(type) {
	case *v1alpha1.ModelEndpoint:
		return o.Status.ObservedGeneration
	case *v1alpha1.RoutingPolicy:
		return o.Status.ObservedGeneration
	}
	return 0
}

// kstatus is what tools that wait for rollouts (helm --wait, Flux, kubectl with kstatus) conclude: Current,
// or InProgress.
func kstatus(object client.Object) string {
	ready := meta.FindStatusCondition(conditionsOf(object), v1alpha1.ConditionReady)
	if observedGeneration(object) != object.GetGeneration() || ready == nil || ready.Status != metav1.ConditionTrue {
		return "InProgress"
	}
	return "Current"
}

var reasonPattern = regexp.MustCompile(`^[A-Z][A-Za-z]*$`)

// expectSound checks what holds of every status the operator has written, whatever it says.
func expectSound(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	conditions := conditionsOf(object)
	_, isEndpoint := object.(*v1alpha1.ModelEndpoint)
	if isEndpoint {
		Expect(conditions).To(HaveLen(4))
	} else {
		Expect(conditions).To(HaveLen(3))
	}
	Expect(observedGeneration(object)).To(Equal(object.GetGeneration()))
	first := ""
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil && c.Status == metav1.ConditionFalse && first == "" {
			first = c.Reason
		}
	}
	for _, c := range conditions {
		Expect(c.ObservedGeneration).To(Equal(object.GetGeneration()), c.Type)
		Expect(c.Reason).To(MatchRegexp(reasonPattern.String()), c.Type)
		Expect(c.Message).NotTo(BeEmpty(), c.Type)
		Expect(c.Message).NotTo(ContainSubstring("CANARY"), c.Type)
		Expect(c.LastTransitionTime.IsZero()).To(BeFalse(), c.Type)
	}
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if first == "" {
		Expect(ready.Status).To(Equal(metav1.ConditionTrue))
		Expect(kstatus(object)).To(Equal("Current"))
	} else {
		Expect(ready.Status).To(Equal(metav1.ConditionFalse))
		Expect(ready.Reason).To(Equal(first))
		Expect(kstatus(object)).To(Equal("InProgress"))
	}
}

// resourceVersions are those of all objects of a namespace that the operator writes.
func resourceVersions(ctx context.Context, namespace string) map[string]string {
	GinkgoHelper()
	versions := map[string]string{}
	var endpoints v1alpha1.ModelEndpointList
	var policies v1alpha1.RoutingPolicyList
	Expect(admin.List(ctx, &endpoints, client.InNamespace(namespace))).To(Succeed())
	Expect(admin.List(ctx, &policies, client.InNamespace(namespace))).To(Succeed())
	for i := range endpoints.Items {
		versions["ModelEndpoint "+endpoints.Items[i].Name] = endpoints.Items[i].ResourceVersion
	}
	for i := range policies.Items {
		versions["RoutingPolicy "+policies.Items[i].Name] = policies.Items[i].ResourceVersion
	}
	return versions
}

// bench is a NamespaceReconciler that is called by hand: its clock stands still, it reads without a cache, and
// probes are made when the spec says so.
type bench struct {
	*NamespaceReconciler
	clock    *testingclock.FakeClock
	recorder *events.FakeRecorder
	watcher  *secrets.Watcher
	// asked are the namespaces with news since the last call of askedFor, and whether any was urgent.
	mu    sync.Mutex
	asked map[string]bool
}

// newBench makes a bench whose Secrets are read as user. Its watcher runs until the spec ends.
func newBench(user *rest.Config) *bench {
	GinkgoHelper()
	clientset, err := kubernetes.NewForConfig(user)
	Expect(err).NotTo(HaveOccurred())
	b := unwatchedBench(secrets.NewWatcher(clientset, func(string) {}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.watcher.Start(ctx) }()
	DeferCleanup(func() { cancel(); Expect(<-done).To(Succeed()) })
	return b
}

// unwatchedBench makes a bench whose watcher nobody starts: Secrets stay Pending.
func unwatchedBench(watcher *secrets.Watcher) *bench {
	GinkgoHelper()
	metrics, err := NewMetrics(prometheus.NewRegistry())
	Expect(err).NotTo(HaveOccurred())
	recorder := events.NewFakeRecorder(1000)
	clock := testingclock.NewFakeClock(epoch)
	books := NewBooks()
	b := &bench{clock: clock, recorder: recorder, watcher: watcher, asked: map[string]bool{}}
	notify := func(namespace string, urgent bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.asked[namespace] = b.asked[namespace] || urgent
	}
	books.Changed = notify
	books.ReplaceReports(nil)
	prober := NewProber(clock, notify)
	prober.random = func() float64 { return 0.5 }
	b.NamespaceReconciler = &NamespaceReconciler{
		Reader: admin, Vault: watcher, Clock: clock, Metrics: metrics,
		Books: books, Fleet: NewFleet(books), Prober: prober, Absence: &Absence{Live: admin, Clock: clock},
		Statuses: &StatusWriter{Client: admin, Recorder: recorder, Metrics: metrics}, Pacer: NewPacer(),
		Leases: NewLeases(),
	}
	return b
}

// askedFor are the namespaces with news since the last call, and whether any of it was urgent.
func (b *bench) askedFor() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = map[string]bool{}
	return asked
}

func request(namespace string) ctrl.Request { return lookAt(namespace) }

// observe feeds the books with what is stored now, as watches would.
func observe(ctx context.Context, books *Books) {
	GinkgoHelper()
	var instances v1alpha1.ProxyInstanceList
	var reports v1alpha1.ProxyReportList
	Expect(admin.List(ctx, &instances)).To(Succeed())
	Expect(admin.List(ctx, &reports)).To(Succeed())
	here := map[client.ObjectKey]bool{}
	for i := range instances.Items {
		here[client.ObjectKeyFromObject(&instances.Items[i])] = true
		books.SetInstance(&instances.Items[i])
	}
	for key := range books.processes {
		if !here[key] {
			books.RemoveInstance(key)
		}
	}
	books.ReplaceReports(pointersTo(reports.Items))
}

func pointersTo[T any](items []T) []*T {
	var out []*T
	for i := range items {
		out = append(out, &items[i])
	}
	return out
}

// reconcile looks at the namespace, and waits for its Secrets as the queue would. It returns when the next look is
// due.
func (b *bench) reconcile(ctx context.Context, namespace string) time.Duration {
	GinkgoHelper()
	observe(ctx, b.Books)
	return b.reconcileUnobserved(ctx, namespace)
}

// reconcileUnobserved does so by what the books say already.
func (b *bench) reconcileUnobserved(ctx context.Context, namespace string) time.Duration {
	GinkgoHelper()
	var next time.Duration
	Eventually(func(g Gomega) {
		result, err := b.Reconcile(ctx, request(namespace))
		g.Expect(err).NotTo(HaveOccurred())
		if since, waits := b.waiting[namespace]; waits {
			g.Expect(b.clock.Since(since)).To(BeNumerically(">=", secretsGrace))
		}
		g.Expect(result.RequeueAfter).NotTo(Equal(afterConflict))
		next = result.RequeueAfter
	}).Should(Succeed())
	return next
}

// told are the Events since the last call.
func (b *bench) told() []string {
	var all []string
	for {
		select {
		case event := <-b.recorder.Events:
			Expect(event).NotTo(ContainSubstring(canary[:9]))
			all = append(all, event)
		default:
			return all
		}
	}
}

// toldReasons are the Events since the last call, without their notes.
func (b *bench) toldReasons() []string {
	var all []string
	for _, event := range b.told() {
		words := strings.SplitN(event, " ", 3)
		all = append(all, words[0]+" "+words[1])
	}
	return all
}
