// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// shelf is an API server in memory: endpoints and policies of one namespace, and the UIDs of ProxyInstances.
type shelf struct {
	client.Client
	mu        sync.Mutex
	endpoints map[string]*v1alpha1.ModelEndpoint
	policies  map[string]*v1alpha1.RoutingPolicy
	present   map[string]bool
	// broken says that it takes no writes.
	broken bool
}

func (s *shelf) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch into := list.(type) {
	case *v1alpha1.ModelEndpointList:
		for _, e := range s.endpoints { // in any order, as a cache does
			into.Items = append(into.Items, *e)
		}
	case *v1alpha1.RoutingPolicyList:
		for _, p := range s.policies {
			into.Items = append(into.Items, *p)
		}
	case *metav1.PartialObjectMetadataList:
		for uid := range s.present {
			into.Items = append(into.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}})
		}
	}
	return nil
}

func (s *shelf) Status() client.SubResourceWriter { return shelfStatus{nil, s} }

type shelfStatus struct {
	client.SubResourceWriter
	*shelf
}

func (s shelfStatus) Patch(_ context.Context, object client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return fmt.Errorf("the API server is away")
	}
	var stored client.Object
	switch o := object.(type) {
	case *v1alpha1.ModelEndpoint:
		stored = s.endpoints[o.Name]
	case *v1alpha1.RoutingPolicy:
		stored = s.policies[o.Name]
	}
	if stored.GetResourceVersion() != object.GetResourceVersion() {
		return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), nil)
	}
	bump(object)
	switch o := object.DeepCopyObject().(type) {
	case *v1alpha1.ModelEndpoint:
		s.endpoints[o.Name] = o
	case *v1alpha1.RoutingPolicy:
		s.policies[o.Name] = o
	}
	return nil
}

func bump(object client.Object) {
	version, _ := strconv.Atoi(object.GetResourceVersion())
	object.SetResourceVersion(strconv.Itoa(version + 1))
}

// keyed is a vault with one Secret.
type keyed struct {
	noVault
	state   secrets.State
	version int
}

func (k *keyed) Secret(string, string) (map[string][]byte, secrets.State) {
	if k.state != secrets.Found {
		return nil, k.state
	}
	return map[string][]byte{"key": []byte("sk-" + strconv.Itoa(k.version))}, k.state
}

func (k *keyed) Version(string, string) string {
	if k.state != secrets.Found {
		return ""
	}
	return strconv.Itoa(k.version)
}

// lab is an operator with an API server of its own.
type lab struct {
	*NamespaceReconciler
	shelf *shelf
}

// history is what happens to two labs. One takes over judgements and keeps its books, the other one has new books and
// judges everything anew each time it looks.
type history struct {
	t         *testing.T
	random    *rand.Rand
	clock     *testingclock.FakeClock
	vault     *keyed
	labs      [2]*lab
	instances map[string]*v1alpha1.ProxyInstance
	reports   map[string]*v1alpha1.ProxyReport
	sealed    map[string]bool
	log       []string
	serial    int
	// entries is how large each report is taken to be, taken how many judgements were taken over.
	entries, taken int
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		t: t, random: rand.New(rand.NewPCG(seed, 7)), clock: testingclock.NewFakeClock(epoch.Add(123456789)),
		vault: &keyed{state: secrets.Found}, instances: map[string]*v1alpha1.ProxyInstance{},
		reports: map[string]*v1alpha1.ProxyReport{}, sealed: map[string]bool{},
	}
	for i := range h.labs {
		metrics, err := NewMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		prober := NewProber(h.clock, func(string, bool) {})
		prober.random = func() float64 { return 0.5 }
		s := &shelf{endpoints: map[string]*v1alpha1.ModelEndpoint{}, policies: map[string]*v1alpha1.RoutingPolicy{}, present: map[string]bool{}}
		l := &lab{shelf: s, NamespaceReconciler: &NamespaceReconciler{
			Reader: s, Vault: h.vault, Clock: h.clock, Metrics: metrics, Prober: prober,
			Absence:  &Absence{Live: s, Clock: h.clock},
			Statuses: &StatusWriter{Client: s, Recorder: &events.FakeRecorder{}, Metrics: metrics}, Pacer: NewPacer(), Leases: NewLeases(),
		}}
		h.labs[i] = l
		l.books(NewBooks())
		l.Books.ReplaceReports(nil)
	}
	for n := range 4 {
		h.specify(n)
	}
	for range 3 {
		h.comes()
	}
	return h
}

func (l *lab) books(b *Books) {
	l.Books = b
	if l.Fleet == nil {
		l.Fleet = NewFleet(b)
	}
	l.Fleet.books = b
}

// chance is true once in n times, pick one of them.
func (h *history) chance(n int) bool { return h.random.IntN(n) == 0 }

func pick[T any](h *history, all ...T) T { return all[h.random.IntN(len(all))] }

// anInstance is one of the ProxyInstances; nil when there is none.
func (h *history) anInstance() *v1alpha1.ProxyInstance {
	names := slices.Sorted(maps.Keys(h.instances))
	if len(names) == 0 {
		return nil
	}
	return h.instances[pick(h, names...)]
}

func (h *history) anEndpoint() *v1alpha1.ModelEndpoint {
	return h.labs[0].shelf.endpoints[pick(h, slices.Sorted(maps.Keys(h.labs[0].shelf.endpoints))...)]
}

// at is a time near now: whoever says it may have a clock that is wrong.
func (h *history) at() *metav1.MicroTime {
	return new(metav1.NewMicroTime(h.clock.Now().Add(-time.Second + pick(h, 0, -time.Minute, -10*time.Minute, 30*time.Second, 90*time.Second, 3*time.Minute))))
}

// specify gives an endpoint another spec.
func (h *history) specify(n int) {
	name := fmt.Sprintf("endpoint-%d", n)
	spec := endpoint("team", name, priced)
	if h.chance(2) {
		withLimits(pick[int64](h, 0, 20, 1000), pick[int64](h, 0, 1000), pick[v1alpha1.Money](h, "", "0.02", "1"))(spec)
	}
	if h.chance(2) {
		if spec.Spec.Limits == nil {
			spec.Spec.Limits = &v1alpha1.Limits{}
		}
		spec.Spec.Limits.OnControlPlaneLoss = pick(h, v1alpha1.FailOpen, "")
		spec.Spec.Limits.Rate = &v1alpha1.RateLimit{RequestsPerMinute: new(pick[int64](h, 10, 600))}
	}
	spec.Spec.Provider = pick(h, "openai", "openai", "acme")
	if h.chance(2) {
		withSecret(spec)
	}
	if h.chance(8) {
		suspend(spec)
	}
	if h.chance(4) {
		spec.Spec.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "30 * * * *", Duration: "20m"}}
	}
	if h.chance(2) {
		spec.Spec.Probe = &v1alpha1.Probe{Type: pick(h, v1alpha1.ProbeModels, v1alpha1.ProbeCompletion), Interval: new(v1alpha1.Duration("10s"))}
	}
	labels := map[string]string{"tier": pick(h, "a", "b")}
	for _, l := range h.labs {
		e := l.shelf.endpoints[name]
		if e == nil {
			e = endpoint("team", name)
			e.UID, e.ResourceVersion = types.UID(fmt.Sprintf("uid-%d-%d", n, h.serial)), "1"
		} else {
			e = e.DeepCopy()
		}
		e.Spec, e.Labels = *spec.Spec.DeepCopy(), labels
		e.Generation++
		bump(e)
		l.shelf.endpoints[name] = e
	}
	h.serial++
}

// label changes nothing but a label, which is no other generation.
func (h *history) label() {
	name, tier := h.anEndpoint().Name, pick(h, "a", "b")
	for _, l := range h.labs {
		e := l.shelf.endpoints[name].DeepCopy()
		e.Labels = map[string]string{"tier": tier}
		bump(e)
		l.shelf.endpoints[name] = e
	}
}

// govern gives a policy another spec, or takes it away.
func (h *history) govern() {
	name := pick(h, "strict", "lax")
	gone := h.chance(4)
	p := policy("team", name)
	if h.chance(2) {
		p.Spec.Tiers = []v1alpha1.Tier{{Match: &v1alpha1.EndpointMatch{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "a"}}}}}
	}
	p.Spec.Deactivation = &v1alpha1.Deactivation{ConsecutiveFailures: new(pick[int32](h, 2, 5))}
	if h.chance(2) {
		p.Spec.Deactivation.ErrorRate = &v1alpha1.ErrorRate{Threshold: "0.5", Window: new(pick[v1alpha1.Duration](h, "10s", "30s", "2m"))}
	}
	for _, l := range h.labs {
		before := l.shelf.policies[name]
		if gone {
			delete(l.shelf.policies, name)
			continue
		}
		next := p.DeepCopy()
		next.UID, next.ResourceVersion = types.UID(fmt.Sprintf("policy-%s-%d", name, h.serial)), "1"
		if before != nil {
			next.UID, next.ResourceVersion, next.Generation, next.Status = before.UID, before.ResourceVersion, before.Generation, before.Status
		}
		next.Generation++
		bump(next)
		l.shelf.policies[name] = next
	}
	h.serial++
}

// comes starts a proxy, perhaps under the name of another.
func (h *history) comes() {
	name := fmt.Sprintf("proxy-%d", h.random.IntN(5))
	h.serial++
	p := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: "turnout", Name: name, UID: types.UID(fmt.Sprintf("proxy-%03d", h.serial))}}
	if before := h.instances[name]; before != nil {
		h.present(string(before.UID), false)
	}
	h.instances[name] = p
	h.present(string(p.UID), true)
	h.labs[0].Books.SetInstance(p)
}

func (h *history) present(uid string, is bool) {
	for _, l := range h.labs {
		if is {
			l.shelf.present[uid] = true
		} else {
			delete(l.shelf.present, uid)
		}
	}
}

// says changes what a proxy says, or is told.
func (h *history) says(change func(*v1alpha1.ProxyInstance)) {
	if p := h.anInstance(); p != nil {
		p = p.DeepCopy()
		change(p)
		h.instances[p.Name] = p
		h.labs[0].Books.SetInstance(p)
	}
}

func (h *history) signal() {
	e := h.anEndpoint()
	s := v1alpha1.EndpointSignal{UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Epoch: 1}
	if e.Status.ModelState != nil {
		s.Epoch = max(e.Status.ModelState.Epoch-pick[int64](h, 0, 0, 0, 1), 1)
	}
	if h.chance(2) {
		s.Failures = int64(1 + h.random.IntN(5))
		s.Requests, s.Connect = s.Failures, pick(h, 0, s.Failures, s.Failures)
		s.Outage = pick(h, s.Connect, s.Failures)
		s.Since, s.LastFailure, s.Message = h.at(), h.at(), "503 from the provider"
	}
	if h.chance(2) {
		s.LastSuccess, s.Successes = h.at(), int64(1+h.random.IntN(5))
	}
	if h.chance(6) {
		s.RateLimitedUntil = new(metav1.NewMicroTime(h.clock.Now().Add(5 * time.Minute)))
	}
	if h.chance(6) {
		s.Statements = []v1alpha1.ProviderStatement{{Reason: pick(h, v1alpha1.DeactivationQuotaExhausted, v1alpha1.DeactivationProviderAuthFailure), Time: *h.at()}}
	}
	h.says(func(p *v1alpha1.ProxyInstance) {
		p.Status.Signals = slices.DeleteFunc(p.Status.Signals, func(o v1alpha1.EndpointSignal) bool { return o.UID == s.UID })
		if !h.chance(4) {
			p.Status.Signals = append(p.Status.Signals, s)
		}
	})
}

// unreachable has one proxy fail to connect to an endpoint, which others use. Then the operator finds out that it
// cannot either, or the others have not used it for a while.
func (h *history) unreachable() {
	e, lonely := h.anEndpoint(), h.anInstance()
	if lonely == nil || e.Status.ModelState == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.instances)) {
		p := h.instances[name].DeepCopy()
		p.Status.Signals = slices.DeleteFunc(p.Status.Signals, func(o v1alpha1.EndpointSignal) bool { return o.UID == string(e.UID) })
		if name == lonely.Name {
			at := new(metav1.NewMicroTime(h.clock.Now().Add(-time.Second)))
			p.Status.Signals = append(p.Status.Signals, v1alpha1.EndpointSignal{
				UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Epoch: max(e.Status.ModelState.Epoch, 1),
				Failures: 6, Requests: 6, Connect: 6, Outage: 6, Since: at, LastFailure: at, Message: "no connection",
			})
		} else {
			h.count(p, e)
		}
		h.instances[name] = p
		h.labs[0].Books.SetInstance(p)
	}
	for range 3 { // with what is written in between
		h.look()
	}
	if h.chance(2) {
		h.confirm(string(e.UID))
	} else {
		h.clock.Step(75 * time.Second)
	}
	h.look()
}

// confirm lets the operator find that it cannot connect to an endpoint.
func (h *history) confirm(uid string) {
	for _, l := range h.labs {
		if s := l.Prober.subjects[uid]; s != nil {
			s.confirmed = h.clock.Now()
		}
	}
}

func (h *history) ask() {
	e := h.anEndpoint()
	start := h.clock.Now().UTC().Truncate(24 * time.Hour)
	if h.chance(4) {
		start = start.Add(24 * time.Hour)
	}
	limit := pick(h, v1alpha1.LimitRequests, v1alpha1.LimitTokens, v1alpha1.LimitBudget)
	h.serial++
	want := int64(h.random.IntN(100)) * map[v1alpha1.LimitType]int64{v1alpha1.LimitRequests: 1, v1alpha1.LimitTokens: 10, v1alpha1.LimitBudget: dollar / 1000}[limit]
	ask := v1alpha1.EndpointAsk{UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Limits: []v1alpha1.LimitAsk{{
		Limit: limit, Start: metav1.NewTime(start), Number: int64(h.serial), Want: want, Need: pick(h, 0, want), Granted: pick(h, 0, want), Spent: pick(h, 0, want/2),
	}}}
	if h.chance(2) {
		ask.Demand = &v1alpha1.RateShare{RequestsPerMinute: new(int64(h.random.IntN(1000)))}
	}
	h.says(func(p *v1alpha1.ProxyInstance) {
		p.Status.Asks = slices.DeleteFunc(p.Status.Asks, func(o v1alpha1.EndpointAsk) bool { return o.UID == ask.UID })
		if !h.chance(3) {
			p.Status.Asks = append(p.Status.Asks, ask)
		}
	})
}

// told gives a proxy shares and leases.
func (h *history) told() {
	e := h.anEndpoint()
	h.says(func(p *v1alpha1.ProxyInstance) {
		p.Spec.Grants = []v1alpha1.EndpointGrant{{
			UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Rate: &v1alpha1.RateShare{RequestsPerMinute: new(int64(h.random.IntN(100)))},
		}}
	})
}

// count has a proxy count more of an endpoint.
func (h *history) count(p *v1alpha1.ProxyInstance, e *v1alpha1.ModelEndpoint) {
	if p == nil {
		return
	}
	key := string(p.UID)
	n := usedUp(e, int64(h.random.IntN(30)), int64(h.random.IntN(1000)), int64(h.random.IntN(dollar/50)))
	starts := metav1.NewTime(h.clock.Now().UTC().Truncate(24 * time.Hour).Add(pick(h, 0, 24*time.Hour, -24*time.Hour)))
	n.Quota, n.Budget = slices.Clone(n.Quota), slices.Clone(n.Budget)
	n.Quota[0].Start, n.Budget[0].Start = starts, starts
	at := h.at()
	epoch := int64(1)
	if e.Status.ModelState != nil {
		epoch = max(e.Status.ModelState.Epoch, 1)
	}
	n.Window = []v1alpha1.WindowBucket{{Start: h.clock.Now().Unix() / 10 * 10, Epoch: epoch, Attempts: 30, Failures: int64(h.random.IntN(30))}}
	n.LastRequest, n.Recent = at, []v1alpha1.LatencySample{{Time: *at, Total: 5}}
	n.LastFailure, n.LastFailureMessage = h.at(), "failed "+strconv.Itoa(h.random.IntN(9))
	r := &v1alpha1.ProxyReport{ObjectMeta: metav1.ObjectMeta{Namespace: "turnout", Name: key}}
	r.Spec = v1alpha1.ProxyReportSpec{Instance: p.Name, InstanceUID: string(p.UID)}
	if before := h.reports[key]; before != nil {
		r.Status.Endpoints = slices.DeleteFunc(slices.Clone(before.Status.Endpoints), func(o v1alpha1.EndpointNumbers) bool {
			return o.UID == n.UID || h.chance(10)
		})
	}
	r.Status.Endpoints = slices.Insert(r.Status.Endpoints, h.random.IntN(len(r.Status.Endpoints)+1), n)
	if !h.sealed[r.Spec.InstanceUID] {
		h.reports[key] = r
		h.labs[0].Books.SetReport(r)
	}
}

// ends lets a proxy end, and its numbers become its last, or its objects go.
func (h *history) ends() {
	p := h.anInstance()
	if p == nil {
		return
	}
	uid := string(p.UID)
	switch {
	case !p.Status.Ended:
		h.says(func(p *v1alpha1.ProxyInstance) { p.Status.Ended = true })
	case !h.sealed[uid] && h.chance(2):
		h.sealed[uid] = true
		h.labs[0].Books.Seal(uid, h.pages(uid))
	default:
		delete(h.instances, p.Name)
		h.present(uid, false)
		h.labs[0].Books.RemoveInstance(client.ObjectKeyFromObject(p))
		for _, r := range h.pages(uid) {
			if h.chance(2) {
				delete(h.reports, r.Name)
				h.labs[0].Books.RemoveReport(client.ObjectKeyFromObject(r))
			}
		}
	}
}

// blinks has the operator know a proxy for a moment by its reports alone.
func (h *history) blinks() {
	if p := h.anInstance(); p != nil {
		delete(h.instances, p.Name)
		h.labs[0].Books.RemoveInstance(client.ObjectKeyFromObject(p))
		h.look()
		h.instances[p.Name] = p
		h.labs[0].Books.SetInstance(p)
	}
}

// pages are the reports of a process.
func (h *history) pages(uid string) []*v1alpha1.ProxyReport {
	var all []*v1alpha1.ProxyReport
	for _, key := range slices.Sorted(maps.Keys(h.reports)) {
		if h.reports[key].Spec.InstanceUID == uid {
			all = append(all, h.reports[key])
		}
	}
	return all
}

// finds lets both probers find something out.
func (h *history) finds() {
	what, uid, now := h.random.IntN(5), string(h.anEndpoint().UID), h.clock.Now()
	for _, l := range h.labs {
		s := l.Prober.subjects[uid]
		if s == nil {
			continue
		}
		switch what {
		case 0:
			s.result.Failed, s.result.Message = now, "refused"
		case 1:
			s.result.Succeeded, s.result.ModelSeen = now, true
		case 2:
			s.confirmed = time.Time{}
		case 3:
			s.wants = s.probed
		default:
			s.used = append(s.used, newProbeUse(s.endpoint, modelstate.Usage{Requests: 1, Cost: 1000}, now))
		}
	}
}

// meddles has somebody else write a status.
func (h *history) meddles() {
	name := h.anEndpoint().Name
	what := h.random.IntN(3)
	for _, l := range h.labs {
		e := l.shelf.endpoints[name].DeepCopy()
		if e.Status.ModelState == nil {
			continue
		}
		switch what {
		case 0:
			e.Status.ModelState.Epoch += 2
		case 1:
			e.Status.Ledger = nil
		default:
			e.Status.Fold = nil
		}
		bump(e)
		l.shelf.endpoints[name] = e
	}
}

// passes lets time pass: some, or until just before or just when something is to change.
func (h *history) passes() {
	h.clock.Step(pick(h, 0, time.Millisecond, time.Second, time.Second, 5*time.Second, 30*time.Second, time.Minute, 11*time.Minute, 5*time.Hour))
	if seen := h.labs[0].memories["team"]; h.chance(3) {
		for _, uid := range slices.Sorted(maps.Keys(seen.endpoints)) {
			if next := seen.endpoints[uid].next; next.After(h.clock.Now()) && next.Before(h.clock.Now().Add(72*time.Hour)) {
				h.clock.SetTime(next.Add(pick[time.Duration](h, -1, 0)))
				return
			}
		}
	}
}

// happens is one thing that happens.
func (h *history) happens() {
	all := []struct {
		name   string
		weight int
		do     func()
	}{
		{"time passes", 12, h.passes},
		{"a signal", 8, h.signal},
		{"an ask", 8, h.ask},
		{"numbers", 8, func() { h.count(h.anInstance(), h.anEndpoint()) }},
		{"a proxy cannot connect", 2, h.unreachable},
		{"a grant", 3, h.told},
		{"the operator finds out", 4, h.finds},
		{"a spec", 2, func() { h.specify(h.random.IntN(4)) }},
		{"a label", 2, h.label},
		{"a policy", 2, h.govern},
		{"a Secret", 2, func() {
			h.vault.version++
			h.vault.state = pick(h, secrets.Found, secrets.Found, secrets.NotFound, secrets.Pending, secrets.AccessDenied)
		}},
		{"a proxy comes", 4, h.comes},
		{"a proxy ends", 2, h.ends},
		{"a cache is behind", 2, h.blinks},
		{"a network", 1, func() {
			h.says(func(p *v1alpha1.ProxyInstance) {
				p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionConnected, Status: pick(h, metav1.ConditionFalse, metav1.ConditionTrue)}}
			})
		}},
		{"somebody else writes", 1, h.meddles},
		{"an endpoint goes", 1, func() {
			if len(h.labs[0].shelf.endpoints) > 1 {
				name := h.anEndpoint().Name
				for _, l := range h.labs {
					delete(l.shelf.endpoints, name)
				}
			}
		}},
		{"the API server", 1, func() {
			broken := h.chance(3)
			for _, l := range h.labs {
				l.shelf.broken = broken
			}
		}},
		{"the fleet grows or shrinks", 1, func() {
			h.entries = pick(h, 1, 5000, 50_000)
		}},
	}
	sum := 0
	for _, a := range all {
		sum += a.weight
	}
	at := h.random.IntN(sum)
	for _, a := range all {
		if at -= a.weight; at < 0 {
			h.log = append(h.log, a.name)
			a.do()
			return
		}
	}
}

// afresh gives the second lab books that are made of what there is, and has it judge everything anew.
func (h *history) afresh() {
	l, books := h.labs[1], NewBooks()
	for _, r := range h.reports {
		books.SetReport(r)
	}
	books.ReplaceReports(slices.Collect(maps.Values(h.reports)))
	for _, p := range h.instances {
		books.SetInstance(p)
	}
	for uid := range h.sealed {
		if h.labs[0].Books.final[uid] {
			books.Seal(uid, h.pages(uid))
		}
	}
	l.books(books)
	last := l.memories["team"]
	last.chart = nil
	for _, j := range last.endpoints {
		j.settled = false
	}
	if l.memories != nil {
		l.memories["team"] = last
	}
}

// look has both look, and compares what they come to.
func (h *history) look() {
	h.t.Helper()
	h.afresh()
	before := maps.Clone(h.labs[0].memories["team"].endpoints)
	var errs [2]error
	for i, l := range h.labs {
		for _, p := range l.Books.pages {
			p.entries = h.entries
		}
		_, errs[i] = l.Reconcile(h.t.Context(), lookAt("team"))
	}
	type finding struct {
		Stored, Wanted v1alpha1.ModelEndpointStatus
		Confirm        bool
		Shares         map[string]quota.Amounts
		Values         []string
		Dial           bool
	}
	var found [2]map[string]finding
	for i, l := range h.labs {
		found[i] = map[string]finding{}
		for uid, j := range l.memories["team"].endpoints {
			f := finding{Wanted: j.object.Status, Confirm: j.confirm, Shares: l.Leases.namespaces["team"][uid].shares}
			if j.wanted != nil {
				f.Wanted = *j.wanted
			}
			f.Stored = l.shelf.endpoints[j.object.Name].Status
			for _, v := range j.values {
				f.Values = append(f.Values, fmt.Sprint(v))
			}
			if s := l.Prober.subjects[uid]; s != nil {
				f.Dial = s.dial
			}
			found[i][uid] = f
			if i == 0 && before[uid] == j {
				h.taken++
			}
		}
	}
	log := h.log[max(len(h.log)-30, 0):]
	if (errs[0] == nil) != (errs[1] == nil) {
		h.t.Fatalf("errors differ: %v, %v; after %q", errs[0], errs[1], log)
	}
	if diff := cmp.Diff(found[1], found[0]); diff != "" {
		h.t.Fatalf("after %q, the endpoints (-judged anew +taken over):\n%s", log, diff)
	}
	if diff := cmp.Diff(h.labs[1].shelf.policies, h.labs[0].shelf.policies); diff != "" {
		h.t.Fatalf("after %q, the policies (-judged anew +taken over):\n%s", log, diff)
	}
}

// What is taken over from the look before is what would be found by looking at everything anew, whatever happened.
func TestLooksTakeOverWhatStillHolds(t *testing.T) {
	taken := 0
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range 200 {
				for range h.random.IntN(3) {
					h.happens()
				}
				h.look()
			}
			taken += h.taken
		})
	}
	if taken < 40*200 {
		t.Errorf("%d judgements were taken over, too few to prove anything", taken)
	}
}
