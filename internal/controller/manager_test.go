// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

// operator is a whole operator of its own.
type operator struct {
	ctrl.Manager
	stop func()
}

// startOperator runs an operator with the rights of user until stop, or the end of the spec.
func startOperator(user *rest.Config, change ...func(*Options)) *operator {
	GinkgoHelper()
	own, err := NewMetrics(prometheus.NewRegistry())
	Expect(err).NotTo(HaveOccurred())
	options := Options{MetricsAddress: "0", ProbeAddress: "0", Metrics: own}
	for _, c := range change {
		c(&options)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := NewManager(ctx, rest.CopyConfig(user), options)
	Expect(err).NotTo(HaveOccurred())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	stop := func() {
		GinkgoHelper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		var err error
		Eventually(ended).Should(Receive(&err))
		Expect(err).NotTo(HaveOccurred())
	}
	DeferCleanup(func() { stop() })
	return &operator{Manager: mgr, stop: stop}
}

func electing(namespace string) func(*Options) {
	return func(o *Options) { o.LeaderElection, o.LeaderElectionNamespace = true, namespace }
}

func only(namespaces ...string) func(*Options) {
	return func(o *Options) { o.Namespaces = namespaces }
}

// eventually waits until the condition of the object is want.
func eventually(ctx context.Context, object client.Object, kind, want string) {
	GinkgoHelper()
	Eventually(func() string { return condition(ctx, object, kind) }).Should(Equal(want))
}

// installRoles creates everything in config/rbac, once for all specs.
func installRoles(ctx context.Context) {
	GinkgoHelper()
	create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "turnout-system"}})
	paths, err := filepath.Glob(filepath.Join("..", "..", "config", "rbac", "*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(paths).NotTo(BeEmpty())
	for _, path := range paths {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		file, err := os.Open(path)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(file.Close)
		decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
		for {
			var object unstructured.Unstructured
			err := decoder.Decode(&object.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			Expect(err).NotTo(HaveOccurred(), path)
			Expect(admin.Create(ctx, &object)).To(Succeed(), path)
		}
	}
}

var _ = Describe("The operator", func() {
	Describe("with the rights of config/rbac and no others", Ordered, func() {
		var user *rest.Config

		BeforeAll(func(ctx context.Context) {
			installRoles(ctx)
			// To RBAC a ServiceAccount is a user of this name.
			authenticated, err := testEnv.AddUser(envtest.User{Name: "system:serviceaccount:turnout-system:turnout-operator"}, nil)
			Expect(err).NotTo(HaveOccurred())
			user = authenticated.Config()
		})

		It("does all of its work, and asks for the one right that namespaces give", func(ctx context.Context) {
			startOperator(user, electing("turnout-system"))
			namespace := newNamespace(ctx)
			e, p := endpoint(namespace, "gpt", withSecret), policy(namespace, "chat", withModels("chat"))
			create(ctx, secret(namespace, map[string]string{"key": canary}), e, p)
			eventually(ctx, e, resolved, "False SecretAccessDenied")
			eventually(ctx, p, ready, "True Ready")

			By("doing what the message says")
			command := message(ctx, e, resolved)
			Expect(command).To(ContainSubstring("kubectl create rolebinding turnout-secret-reader --namespace=" + namespace +
				" --clusterrole=turnout-secret-reader --serviceaccount=turnout-system:turnout-operator --serviceaccount=turnout-system:turnout-proxy"))
			create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "turnout-secret-reader"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "turnout-secret-reader"},
				Subjects: []rbacv1.Subject{
					{Kind: rbacv1.ServiceAccountKind, Namespace: "turnout-system", Name: "turnout-operator"},
					{Kind: rbacv1.ServiceAccountKind, Namespace: "turnout-system", Name: "turnout-proxy"},
				},
			})
			eventually(ctx, e, ready, "True Ready")
			expectSound(ctx, e)
			Eventually(func() *v1alpha1.PolicyEndpoints { expectSound(ctx, p); return p.Status.Endpoints }).
				Should(Equal(&v1alpha1.PolicyEndpoints{Total: 1, Active: 1}))

			By("leaving Events that name the operator and no Secret")
			Eventually(func() []string { return eventsOf(ctx, namespace) }).Should(ContainElements(
				"gpt SecretAccessDenied", "gpt Ready", "chat Ready", "chat MembershipChanged"))
		})

		It("decides by signals, and takes a process that ends into the books", func(ctx context.Context) {
			namespace, proxies := newNamespace(ctx), newNamespace(ctx)
			// The proxies' namespace is none of those that it looks after.
			startOperator(user, electing("turnout-system"), only(namespace))
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			eventually(ctx, e, ready, "True Ready")
			p := newProxy(ctx, proxies, "proxy-0")
			now := time.Now().UTC()
			report := p.count(ctx, 0, used(e, 5, now.Truncate(24*time.Hour), time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)))
			p.signal(ctx, about(ctx, e, failures(3, time.Now().Add(-time.Second)), ofRequests))
			eventually(ctx, e, healthyCondition, "False ErrorThreshold")
			Expect(condition(ctx, e, ready)).To(Equal("True Ready"))
			Eventually(func() *int32 {
				Expect(admin.Get(ctx, client.ObjectKeyFromObject(p), p.ProxyInstance)).To(Succeed())
				return p.Spec.Proxies
			}).ShouldNot(BeNil())

			By("ending the process")
			p.end(ctx)
			Eventually(func() bool {
				return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(report), report)) &&
					apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(p), p.ProxyInstance))
			}, "60s").Should(BeTrue())
			expectSound(ctx, e)
			Expect(*e.Status.ModelState.QuotaUsed).To(Equal(int64(5)))
			Expect(e.Status.Fold.Instances[0].UID).To(Equal(string(p.UID)))
		})

		It("lends a proxy what it asks for, and takes its lease back when it ends", func(ctx context.Context) {
			namespace, proxies := newNamespace(ctx), newNamespace(ctx)
			startOperator(user, electing("turnout-system"))
			e := endpoint(namespace, "gpt", withLimits(100, 0, ""))
			create(ctx, e)
			eventually(ctx, e, ready, "True Ready")
			start := time.Now().UTC().Truncate(24 * time.Hour)
			s := newSpender(ctx, proxies, "proxy-0", e)
			var lent int64
			for round := range int64(5) {
				ask := quota.Ask{Key: quota.Key{Limit: quota.Requests, Start: start}, Number: round + 1, Want: lent + 8, Need: lent + 1, Granted: lent, Spent: lent}
				begun := time.Now()
				s.ask(ctx, translate.APIAsk(quota.EndpointAsk{
					Endpoint: quota.Endpoint{UID: string(e.UID), Namespace: namespace, Name: e.Name}, Asks: []quota.Ask{ask},
				}))
				Eventually(func(g Gomega) {
					granted := s.granted(ctx)
					g.Expect(granted).To(HaveLen(1))
					g.Expect(granted[0].Answered).To(Equal(round + 1))
					lent = granted[0].Granted
				}, "20s", "1ms").Should(Succeed())
				GinkgoWriter.Printf("lent %d in all after %s\n", lent, time.Since(begun))
			}
			Expect(lent).To(Equal(int64(40)))
			s.ask(ctx)
			s.end(ctx)
			Eventually(func() bool {
				return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance))
			}, "60s").Should(BeTrue())
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(e), e)).To(Succeed())
			Expect(e.Status.Ledger).To(HaveLen(1))
			Expect(e.Status.Ledger[0].Closed).To(Equal(lent))
			Expect(e.Status.Ledger[0].Leases).To(BeEmpty())
		})

		It("removes a ProxyInstance whose Lease stands still", func(ctx context.Context) {
			limited, err := client.New(user, client.Options{Scheme: admin.Scheme()})
			Expect(err).NotTo(HaveOccurred())
			namespace := newNamespace(ctx)
			instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "proxy-0"}}
			create(ctx, instance, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "proxy-0"}})
			clock := testingclock.NewFakeClock(epoch)
			books := NewBooks()
			r := &ProxyInstanceReconciler{Reader: limited, Live: limited, Client: limited, Clock: clock, Books: books, Fleet: NewFleet(books), Leases: NewLeases()}
			for range 1 + deadAfter/lookEvery {
				_, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(instance)})
				Expect(err).NotTo(HaveOccurred())
				clock.Step(lookEvery)
			}
			Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(instance), instance))).To(BeTrue())
		})

		It("can change neither specs nor what proxies say", func(ctx context.Context) {
			limited, err := client.New(user, client.Options{Scheme: admin.Scheme()})
			Expect(err).NotTo(HaveOccurred())
			namespace := newNamespace(ctx)
			e := endpoint(namespace, "gpt")
			create(ctx, e)
			e.Spec.Model = "other"
			Expect(apierrors.IsForbidden(limited.Update(ctx, e))).To(BeTrue())
			instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "proxy-0"}}
			Expect(apierrors.IsForbidden(limited.Create(ctx, instance))).To(BeTrue())
			create(ctx, instance)
			instance.Status.Ended = true
			Expect(apierrors.IsForbidden(limited.Status().Update(ctx, instance))).To(BeTrue())
		})
	})

	It("follows every change of a namespace", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		startOperator(cfg, only(namespace))
		p := policy(namespace, "chat")
		create(ctx, p)
		counted := func() v1alpha1.PolicyEndpoints {
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
			if p.Status.Endpoints == nil {
				return v1alpha1.PolicyEndpoints{}
			}
			return *p.Status.Endpoints
		}
		var endpoints []*v1alpha1.ModelEndpoint
		for i := range 30 {
			e := endpoint(namespace, fmt.Sprintf("e-%d", i), withSecret)
			endpoints = append(endpoints, e)
			create(ctx, e)
		}
		Eventually(counted).Should(Equal(v1alpha1.PolicyEndpoints{Total: 30, Standby: 30}))

		By("a Secret that comes")
		s := secret(namespace, map[string]string{"key": canary})
		create(ctx, s)
		Eventually(counted).Should(Equal(v1alpha1.PolicyEndpoints{Total: 30, Active: 30}))

		By("an endpoint that is suspended, one that changes, one that goes")
		change(ctx, endpoints[0], suspend)
		change(ctx, endpoints[1], func(e *v1alpha1.ModelEndpoint) { e.Spec.Capabilities = []string{"text-embeddings"} })
		Expect(admin.Delete(ctx, endpoints[2])).To(Succeed())
		Eventually(counted).Should(Equal(v1alpha1.PolicyEndpoints{Total: 28, Active: 27, Standby: 1}))

		By("a Secret that goes")
		Expect(admin.Delete(ctx, s)).To(Succeed())
		Eventually(counted).Should(Equal(v1alpha1.PolicyEndpoints{Total: 28, Standby: 28}))
		for _, e := range endpoints[3:] {
			eventually(ctx, e, ready, "False SecretNotFound")
			expectSound(ctx, e)
		}

		By("a status that somebody else has removed")
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		p.Status = v1alpha1.RoutingPolicyStatus{}
		Expect(admin.Status().Update(ctx, p)).To(Succeed())
		eventually(ctx, p, ready, "True Ready")
	})

	It("looks after its namespaces only", func(ctx context.Context) {
		mine, other := newNamespace(ctx), newNamespace(ctx)
		here, there := endpoint(mine, "gpt"), endpoint(other, "gpt")
		create(ctx, there, here)
		startOperator(cfg, only(mine))
		eventually(ctx, here, ready, "True Ready")
		Expect(condition(ctx, there, ready)).To(Equal("absent"))
	})

	It("writes nothing after a restart when nothing has changed", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		create(ctx, secret(namespace, map[string]string{"key": canary}), endpoint(namespace, "a", withSecret), endpoint(namespace, "b", suspend),
			policy(namespace, "chat", withModels("chat")), policy(namespace, "taken", withModels("chat")))
		first := startOperator(cfg, only(namespace))
		eventually(ctx, endpoint(namespace, "a"), ready, "True Ready")
		eventually(ctx, endpoint(namespace, "b"), ready, "True Ready")
		eventually(ctx, policy(namespace, "chat"), ready, "True Ready")
		eventually(ctx, policy(namespace, "taken"), ready, "False NameConflict")
		first.stop()
		before := resourceVersions(ctx, namespace)

		startOperator(cfg, only(namespace))
		// Statuses of a namespace are written together: once a new policy, which changes nothing for the
		// others, has its own, the others have been looked at.
		probe := policy(namespace, "probe", func(p *v1alpha1.RoutingPolicy) { p.Spec.Capability = "code-generation" })
		create(ctx, probe)
		eventually(ctx, probe, ready, "True Ready")
		after := resourceVersions(ctx, namespace)
		delete(after, "RoutingPolicy probe")
		Expect(after).To(Equal(before))
	})

	It("is taken over by the next when the leader stops", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		leader := startOperator(cfg, electing(namespace), only(namespace))
		Eventually(leader.Elected()).Should(BeClosed())
		follower := startOperator(cfg, electing(namespace), only(namespace))
		Expect(follower.GetCache().WaitForCacheSync(ctx)).To(BeTrue(), "a follower knows everything already")

		first := endpoint(namespace, "first")
		create(ctx, first)
		eventually(ctx, first, ready, "True Ready")
		Expect(follower.Elected()).NotTo(BeClosed())
		holder := func() string {
			lease := &coordinationv1.Lease{}
			Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: leaderElectionID}, lease)).To(Succeed())
			return *lease.Spec.HolderIdentity
		}
		before := holder()

		leader.stop()
		Eventually(follower.Elected()).Should(BeClosed())
		Expect(holder()).NotTo(Equal(before))
		versions := resourceVersions(ctx, namespace)
		second := endpoint(namespace, "second")
		create(ctx, second)
		eventually(ctx, second, ready, "True Ready")
		Expect(resourceVersions(ctx, namespace)["ModelEndpoint first"]).To(Equal(versions["ModelEndpoint first"]))
	})
})

var _ = Describe("CheckKinds", func() {
	It("is content with an API server that has the definitions", func() {
		Expect(CheckKinds(cfg)).To(Succeed())
	})

	It("says that an API server does not answer, which may change", func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		address := listener.Addr().String()
		Expect(listener.Close()).To(Succeed())
		err = CheckKinds(&rest.Config{Host: "http://" + address})
		Expect(err).To(MatchError(ContainSubstring("asking the API server at http://" + address + " for its kinds")))
		Expect(Answered(err)).To(BeFalse())
	})

	It("says that an API server does not know the caller, which waiting does not change", func() {
		stranger := rest.AnonymousClientConfig(cfg)
		stranger.BearerToken = "nobody"
		err := CheckKinds(stranger)
		Expect(apierrors.IsUnauthorized(err)).To(BeTrue())
		Expect(Answered(err)).To(BeTrue())
	})
})

// epoch is the time at which fake clocks start.
var epoch = time.Unix(1_700_000_000, 0)

// eventsOf are the Events of a namespace as "object reason".
func eventsOf(ctx context.Context, namespace string) []string {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
	var all []string
	for i := range list.Items {
		e := &list.Items[i]
		Expect(e.ReportingController).To(Equal(eventSource))
		Expect(strings.Contains(e.Note, "CANARY")).To(BeFalse())
		all = append(all, e.Regarding.Name+" "+e.Reason)
	}
	return all
}
