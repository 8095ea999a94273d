// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/secrets"
)

const (
	accepted = v1alpha1.ConditionAccepted
	resolved = v1alpha1.ConditionResolvedRefs
	ready    = v1alpha1.ConditionReady

	healthyCondition = v1alpha1.ConditionHealthy
)

var _ = Describe("The namespace reconciler", func() {
	var b *bench
	var namespace string

	BeforeEach(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		b = newBench(cfg)
	})

	Describe("endpoints", func() {
		It("are Ready and Active when nothing is wrong, and say so in one Event", func(ctx context.Context) {
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(kstatus(e)).To(Equal("Current"))
			Expect(shown(e)).To(Equal("Active : active"))
			Expect(e.Status.Capability).To(Equal("chat-completion"))
			state := e.Status.ModelState
			Expect([]int64{state.Epoch, *state.FailureCount, *state.QuotaUsed, *state.TokensUsed}).To(Equal([]int64{1, 0, 0, 0}))
			Expect(state.CostAccumulated).To(BeEmpty(), "it has no price")
			Expect(state.Usage).To(BeNil())
			Expect(b.told()).To(Equal([]string{"Normal Ready the endpoint can take traffic"}))
		})

		DescribeTable("that cannot be used say why",
			func(ctx context.Context, change func(*v1alpha1.ModelEndpoint), data map[string]string, kind, want string) {
				e := endpoint(namespace, "gpt", change)
				if data != nil {
					create(ctx, secret(namespace, data))
				}
				create(ctx, e)
				b.reconcile(ctx, namespace)
				expectSound(ctx, e)
				Expect(condition(ctx, e, kind)).To(Equal("False " + want))
				Expect(condition(ctx, e, ready)).To(Equal("False " + want))
				Expect(shown(e)).To(HavePrefix("Standby : takes no traffic because it is not Ready: "))
				Expect(condition(ctx, e, healthyCondition)).To(Equal("False " + want))
				Expect(b.toldReasons()).To(Equal([]string{"Warning " + want}))
			},
			Entry("a capability nobody knows", func(e *v1alpha1.ModelEndpoint) { e.Spec.Capabilities = []string{"chat-completions"} },
				nil, accepted, v1alpha1.ReasonUnknownCapability),
			Entry("an address that is never called", func(e *v1alpha1.ModelEndpoint) { e.Spec.URL = "http://169.254.169.254/v1" },
				nil, accepted, v1alpha1.ReasonInvalidURL),
			Entry("no Secret", withSecret, nil, resolved, v1alpha1.ReasonSecretNotFound),
			Entry("no such key in the Secret", withSecret, map[string]string{"other": canary}, resolved, v1alpha1.ReasonSecretKeyNotFound),
			Entry("an empty key", withSecret, map[string]string{"key": "\n"}, resolved, v1alpha1.ReasonSecretKeyNotFound),
			Entry("a key with a line break", withSecret, map[string]string{"key": canary + "\n" + canary}, resolved, v1alpha1.ReasonInvalidCredential),
			Entry("a bundle without certificates", func(e *v1alpha1.ModelEndpoint) {
				e.Spec.TLS = &v1alpha1.EndpointTLS{CASecretRef: &v1alpha1.SecretKeyReference{Name: "keys", Key: "ca"}}
			}, map[string]string{"ca": canary}, resolved, v1alpha1.ReasonInvalidCertificate),
		)

		It("follow their Secret as it comes and goes", func(ctx context.Context) {
			e := endpoint(namespace, "gpt", withSecret)
			create(ctx, e)
			b.reconcile(ctx, namespace)
			Expect(condition(ctx, e, resolved)).To(Equal("False SecretNotFound"))

			s := secret(namespace, map[string]string{"key": canary})
			create(ctx, s)
			Eventually(func() secrets.State { _, state := b.watcher.Secret(namespace, "keys"); return state }).Should(Equal(secrets.Found))
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(condition(ctx, e, ready)).To(Equal("True Ready"))

			Expect(admin.Delete(ctx, s)).To(Succeed())
			Eventually(func() secrets.State { _, state := b.watcher.Secret(namespace, "keys"); return state }).Should(Equal(secrets.NotFound))
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(condition(ctx, e, ready)).To(Equal("False SecretNotFound"))
			Expect(b.toldReasons()).To(Equal([]string{"Warning SecretNotFound", "Normal Ready", "Warning SecretNotFound"}))
		})

		It("name the command that mends a namespace whose Secrets may not be read", func(ctx context.Context) {
			user, err := testEnv.AddUser(envtest.User{Name: "reader-of-" + namespace}, nil)
			Expect(err).NotTo(HaveOccurred())
			b = newBench(user.Config())
			e := endpoint(namespace, "gpt", withSecret)
			create(ctx, secret(namespace, map[string]string{"key": canary}), e)
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(condition(ctx, e, resolved)).To(Equal("False SecretAccessDenied"))
			Expect(message(ctx, e, resolved)).To(ContainSubstring("kubectl create rolebinding turnout-secret-reader --namespace=" + namespace))

			allowSecrets(ctx, namespace, "reader-of-"+namespace)
			Eventually(func() secrets.State { _, state := b.watcher.Secret(namespace, "keys"); return state }).Should(Equal(secrets.Found))
			b.reconcile(ctx, namespace)
			Expect(condition(ctx, e, ready)).To(Equal("True Ready"))
		})

		It("go to Standby and back by suspend, Ready all along", func(ctx context.Context) {
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			b.reconcile(ctx, namespace)
			Expect(condition(ctx, e, ready)).To(Equal("True Ready"))
			since := meta.FindStatusCondition(e.Status.Conditions, ready).LastTransitionTime

			b.clock.Step(time.Minute)
			change(ctx, e, suspend)
			Expect(kstatus(e)).To(Equal("InProgress"), "the new generation has not been seen")
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(shown(e)).To(Equal("Standby Manual: spec.suspend is true; comes back when it is false"))

			b.clock.Step(time.Minute)
			change(ctx, e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Suspend = new(false) })
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(shown(e)).To(Equal("Active : active"))
			Expect(meta.FindStatusCondition(e.Status.Conditions, ready).LastTransitionTime).To(Equal(since), "Ready never changed")
			Expect(b.toldReasons()).To(Equal([]string{"Normal Ready", "Normal EndpointDeactivated", "Normal EndpointActivated"}))
		})

		It("that are being deleted count for nothing any more", func(ctx context.Context) {
			e, other := endpoint(namespace, "gpt"), endpoint(namespace, "other")
			e.Finalizers = []string{"acme.com/hold"}
			p := policy(namespace, "chat")
			create(ctx, e, other, p)
			b.reconcile(ctx, namespace)
			Expect(admin.Delete(ctx, e)).To(Succeed())
			before := resourceVersions(ctx, namespace)["ModelEndpoint gpt"]
			b.reconcile(ctx, namespace)
			expectSound(ctx, p)
			Expect(p.Status.Endpoints).To(Equal(&v1alpha1.PolicyEndpoints{Total: 1, Active: 1}))
			Expect(resourceVersions(ctx, namespace)["ModelEndpoint gpt"]).To(Equal(before))
			change(ctx, e, func(e *v1alpha1.ModelEndpoint) { e.Finalizers = nil })
			b.reconcile(ctx, namespace)
			Expect(b.toldReasons()).To(ConsistOf("Normal Ready", "Normal Ready", "Normal Ready", "Normal MembershipChanged", "Normal CurrentRotated"))
		})
	})

	Describe("policies", func() {
		It("count their endpoints, those that take traffic and those that do not", func(ctx context.Context) {
			p := policy(namespace, "chat", withModels("chat"))
			create(ctx, p, endpoint(namespace, "a"), endpoint(namespace, "b", suspend), endpoint(namespace, "c", withSecret))
			b.reconcile(ctx, namespace)
			expectSound(ctx, p)
			Expect(p.Status.Endpoints).To(Equal(&v1alpha1.PolicyEndpoints{Total: 3, Active: 1, Standby: 2}))
			Expect(p.Status.Models).To(Equal("chat"))
			Expect(p.Status.Strategy).To(Equal("Priority"))
			Expect(message(ctx, p, ready)).To(Equal("1 of 3 endpoints take traffic"))
			b.told()

			create(ctx, endpoint(namespace, "d"))
			b.reconcile(ctx, namespace)
			Expect(b.told()).To(ConsistOf("Normal Ready the endpoint can take traffic",
				"Normal MembershipChanged 2 of 4 endpoints take traffic; before: 1 of 3"))
		})

		It("without endpoints are Ready: they may come later", func(ctx context.Context) {
			p := policy(namespace, "chat")
			create(ctx, p)
			b.reconcile(ctx, namespace)
			expectSound(ctx, p)
			Expect(kstatus(p)).To(Equal("Current"))
			Expect(p.Status.Endpoints).To(Equal(&v1alpha1.PolicyEndpoints{}))
		})

		DescribeTable("that cannot be used say why",
			func(ctx context.Context, change func(*v1alpha1.RoutingPolicy), kind, want string) {
				embedder := endpoint(namespace, "embedder", func(e *v1alpha1.ModelEndpoint) { e.Spec.Capabilities = []string{"text-embeddings"} })
				p := policy(namespace, "chat", change)
				create(ctx, endpoint(namespace, "gpt"), embedder, p)
				b.reconcile(ctx, namespace)
				expectSound(ctx, p)
				Expect(condition(ctx, p, kind)).To(Equal("False " + want))
				Expect(condition(ctx, p, ready)).To(Equal("False " + want))
			},
			Entry("a capability nobody knows", func(p *v1alpha1.RoutingPolicy) { p.Spec.Capability = "chatting" }, accepted, v1alpha1.ReasonUnknownCapability),
			Entry("an endpoint that does not exist", listing("gpt", "gone"), resolved, v1alpha1.ReasonEndpointNotFound),
			Entry("an endpoint that does something else", listing("gpt", "embedder"), resolved, v1alpha1.ReasonCapabilityMismatch),
		)

		It("keep the rest when a listed endpoint is missing, and recover when it comes", func(ctx context.Context) {
			p := policy(namespace, "chat", listing("gpt", "later"))
			create(ctx, endpoint(namespace, "gpt"), p)
			b.reconcile(ctx, namespace)
			Expect(condition(ctx, p, resolved)).To(Equal("False EndpointNotFound"))
			Expect(p.Status.Endpoints).To(Equal(&v1alpha1.PolicyEndpoints{Total: 1, Active: 1}))

			create(ctx, endpoint(namespace, "later"))
			b.reconcile(ctx, namespace)
			expectSound(ctx, p)
			Expect(condition(ctx, p, ready)).To(Equal("True Ready"))
			Expect(p.Status.Endpoints).To(Equal(&v1alpha1.PolicyEndpoints{Total: 2, Active: 2}))
		})

		It("lose a name to the older one, and get it when that is deleted", func(ctx context.Context) {
			// Creation times have whole seconds; between equals the name decides.
			older := policy(namespace, "a", withModels("chat"))
			younger := policy(namespace, "b", withModels("chat", "gpt"))
			create(ctx, older, younger, endpoint(namespace, "gpt"))
			b.reconcile(ctx, namespace)
			expectSound(ctx, older)
			expectSound(ctx, younger)
			Expect(condition(ctx, older, accepted)).To(Equal("True Accepted"))
			Expect(older.Status.Models).To(Equal("chat"))
			Expect(condition(ctx, younger, accepted)).To(Equal("False NameConflict"))
			Expect(younger.Status.Models).To(Equal("gpt"))
			Expect(message(ctx, younger, accepted)).To(ContainSubstring("chat"))
			Expect(b.toldReasons()).To(ContainElement("Warning NameConflict"))

			Expect(admin.Delete(ctx, older)).To(Succeed())
			b.reconcile(ctx, namespace)
			expectSound(ctx, younger)
			Expect(condition(ctx, younger, ready)).To(Equal("True Ready"))
			Expect(younger.Status.Models).To(Equal("chat,gpt"))
			Expect(b.toldReasons()).To(ContainElement("Normal Ready"))
		})

		It("keep a name they had first, whatever they are called", func(ctx context.Context) {
			older := policy(namespace, "z", withModels("chat"))
			create(ctx, older)
			younger := policy(namespace, "a", withModels("chat"))
			// The API server sets creation times, in whole seconds: wait until it would set another one.
			Eventually(func() time.Time {
				tried := younger.DeepCopy()
				Expect(admin.Create(ctx, tried, client.DryRunAll)).To(Succeed())
				return tried.CreationTimestamp.Time
			}).Should(BeTemporally(">", older.CreationTimestamp.Time))
			create(ctx, younger)
			b.reconcile(ctx, namespace)
			Expect(condition(ctx, older, ready)).To(Equal("True Ready"))
			Expect(condition(ctx, younger, ready)).To(Equal("False NameConflict"))
		})

		It("of other namespaces do not conflict", func(ctx context.Context) {
			elsewhere := newNamespace(ctx)
			here, there := policy(namespace, "chat", withModels("chat")), policy(elsewhere, "chat", withModels("chat"))
			create(ctx, here, there)
			b.reconcile(ctx, namespace)
			b.reconcile(ctx, elsewhere)
			Expect(condition(ctx, here, ready)).To(Equal("True Ready"))
			Expect(condition(ctx, there, ready)).To(Equal("True Ready"))
		})
	})

	Describe("writes", func() {
		It("nothing when nothing changes", func(ctx context.Context) {
			create(ctx, secret(namespace, map[string]string{"key": canary}),
				endpoint(namespace, "a"), endpoint(namespace, "b", withSecret), endpoint(namespace, "c", suspend),
				policy(namespace, "chat", withModels("chat")), policy(namespace, "taken", withModels("chat")), policy(namespace, "list", listing("a", "gone")))
			b.reconcile(ctx, namespace)
			before, written := resourceVersions(ctx, namespace), testutil.ToFloat64(b.Metrics.statusWrites.WithLabelValues("ModelEndpoint"))
			Expect(written).To(Equal(3.0))
			b.told()

			for range 5 {
				b.clock.Step(time.Hour)
				b.reconcile(ctx, namespace)
			}
			another := newBench(cfg) // As after a restart: nothing is remembered.
			another.clock.SetTime(b.clock.Now().Add(time.Hour))
			another.reconcile(ctx, namespace)

			Expect(resourceVersions(ctx, namespace)).To(Equal(before))
			Expect(testutil.ToFloat64(b.Metrics.statusWrites.WithLabelValues("ModelEndpoint"))).To(Equal(written))
			Expect(b.told()).To(BeEmpty())
			Expect(another.told()).To(BeEmpty())
		})

		It("no status made of an older spec", func(ctx context.Context) {
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			b.reconcile(ctx, namespace)
			change(ctx, e, suspend)
			// A cache that lags: the reconciler sees the endpoint before the change, and somebody has removed its
			// status meanwhile, so that there is something to write.
			stale := e.DeepCopy()
			stale.Generation, stale.ResourceVersion = stale.Generation-1, "1"
			stale.Spec.Suspend, stale.Status = new(false), v1alpha1.ModelEndpointStatus{}
			b.Reader = laggingReader{Client: admin, endpoint: stale}
			b.told()

			before := resourceVersions(ctx, namespace)
			result, err := b.Reconcile(ctx, request(namespace))
			Expect(err).NotTo(HaveOccurred(), "a conflict is no failure")
			Expect(result.RequeueAfter).To(BeNumerically(">", 0))
			Expect(resourceVersions(ctx, namespace)).To(Equal(before))
			Expect(b.told()).To(BeEmpty(), "what was not written did not happen")

			b.Reader = admin
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
		})

		It("nothing about an object that is gone", func(ctx context.Context) {
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			stale := e.DeepCopy()
			Expect(admin.Delete(ctx, e)).To(Succeed())
			b.Reader = laggingReader{Client: admin, endpoint: stale}
			b.reconcile(ctx, namespace)
			Expect(b.told()).To(BeEmpty())
		})

		It("again what somebody else has changed", func(ctx context.Context) {
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			b.reconcile(ctx, namespace)
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(e), e)).To(Succeed())
			e.Status = v1alpha1.ModelEndpointStatus{}
			Expect(admin.Status().Update(ctx, e)).To(Succeed())
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
		})

		It("the other statuses when one is refused", func(ctx context.Context) {
			create(ctx, endpoint(namespace, "a"), endpoint(namespace, "b"))
			b.Statuses.Client = refusing{StatusClient: admin, name: "a"}
			_, err := b.Reconcile(ctx, request(namespace))
			Expect(err).To(MatchError(ContainSubstring("status of ModelEndpoint a")))
			Expect(condition(ctx, endpoint(namespace, "a"), ready)).To(Equal("absent"))
			Expect(condition(ctx, endpoint(namespace, "b"), ready)).To(Equal("True Ready"))
		})
	})

	Describe("while Secrets are being read", func() {
		BeforeEach(func() {
			clientset, err := kubernetes.NewForConfig(cfg)
			Expect(err).NotTo(HaveOccurred())
			b = unwatchedBench(secrets.NewWatcher(clientset, func(string) {}))
		})

		It("statuses wait, for five seconds at most", func(ctx context.Context) {
			e, plain := endpoint(namespace, "gpt", withSecret), endpoint(namespace, "plain")
			create(ctx, e, plain)
			result, err := b.Reconcile(ctx, request(namespace))
			Expect(err).NotTo(HaveOccurred())
			Expect(result.RequeueAfter).To(Equal(5 * time.Second))
			Expect(condition(ctx, e, ready)).To(Equal("absent"))

			b.clock.Step(3 * time.Second)
			result, err = b.Reconcile(ctx, request(namespace))
			Expect(err).NotTo(HaveOccurred())
			Expect(result.RequeueAfter).To(Equal(2 * time.Second))
			Expect(condition(ctx, e, ready)).To(Equal("absent"))

			b.clock.Step(2 * time.Second)
			b.reconcile(ctx, namespace)
			expectSound(ctx, e)
			Expect(condition(ctx, e, resolved)).To(Equal("False SecretPending"))
			Expect(condition(ctx, plain, ready)).To(Equal("True Ready"))
			Expect(b.toldReasons()).To(ConsistOf("Normal SecretPending", "Normal Ready"))
		})

		It("a namespace that needs none does not wait", func(ctx context.Context) {
			e := endpoint(namespace, "plain")
			create(ctx, e)
			b.reconcile(ctx, namespace)
			Expect(condition(ctx, e, ready)).To(Equal("True Ready"))
		})
	})

	It("reads Secrets of namespaces that need them only", func(ctx context.Context) {
		elsewhere := newNamespace(ctx)
		e := endpoint(namespace, "gpt", withSecret)
		create(ctx, e, endpoint(elsewhere, "gpt"))
		b.reconcile(ctx, namespace)
		b.reconcile(ctx, elsewhere)
		Expect(b.watcher.Settled(namespace)).To(BeTrue())
		Expect(b.watcher.Settled(elsewhere)).To(BeFalse())

		change(ctx, e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Auth = nil })
		b.reconcile(ctx, namespace)
		Eventually(func() bool { return b.watcher.Settled(namespace) }).Should(BeFalse())
	})

	It("counts endpoints until the last one is gone", func(ctx context.Context) {
		e := endpoint(namespace, "gpt")
		create(ctx, e, endpoint(namespace, "resting", suspend))
		b.reconcile(ctx, namespace)
		Expect(testutil.CollectAndCount(b.Metrics.endpoints, "turnout_endpoints", "turnout_endpoint_active")).To(Equal(4))
		Expect(admin.DeleteAllOf(ctx, e, client.InNamespace(namespace))).To(Succeed())
		b.reconcile(ctx, namespace)
		Expect(testutil.CollectAndCount(b.Metrics.endpoints)).To(BeZero())
	})
})

// shown is how an endpoint stands, in one line.
func shown(e *v1alpha1.ModelEndpoint) string {
	state := e.Status.ModelState
	return string(state.Status) + " " + string(state.DeactivationReason) + ": " + state.Message
}

// allowSecrets binds a user to a Role that may read the namespace's Secrets.
func allowSecrets(ctx context.Context, namespace, user string) {
	GinkgoHelper()
	create(
		ctx,
		&rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "secret-reader"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "watch"}}},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "secret-reader"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "secret-reader"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		},
	)
}

// laggingReader is a cache that has not seen the newest events: it knows one endpoint, and no policy.
type laggingReader struct {
	client.Client
	endpoint *v1alpha1.ModelEndpoint
}

func (r laggingReader) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if endpoints, ok := list.(*v1alpha1.ModelEndpointList); ok {
		endpoints.Items = []v1alpha1.ModelEndpoint{*r.endpoint.DeepCopy()}
	}
	return nil
}

// refusing spoils the status of one object on its way, so that the API server refuses it.
type refusing struct {
	client.StatusClient
	name string
}

func (r refusing) Status() client.SubResourceWriter {
	return refusingWriter{SubResourceWriter: r.StatusClient.Status(), name: r.name}
}

type refusingWriter struct {
	client.SubResourceWriter
	name string
}

func (w refusingWriter) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if object.GetName() == w.name {
		e := object.(*v1alpha1.ModelEndpoint)
		e.Status.Conditions[0].Reason = "no reason at all" // The schema wants a CamelCase word.
	}
	return w.SubResourceWriter.Patch(ctx, object, patch, options...)
}
