// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/translate"
)

// Books hold what all proxies say, as plain values and by the namespace of the endpoints they speak of, so that
// a look at a namespace neither reads nor parses what other namespaces do. Watches feed them; the objects
// themselves are not kept, because a fleet's reports are by far the largest thing in the operator's memory.
type Books struct {
	// Changed is told of a namespace whose endpoints have news; urgent when they are signals.
	Changed func(namespace string, urgent bool)
	// Stray is told of a report whose ProxyInstance is not known, or was thought to have no more.
	Stray func(instance types.NamespacedName)
	// instancesRead reports whether the ProxyInstances have been read once.
	instancesRead func() bool

	mu sync.Mutex
	// Everything below is guarded by mu. The slices inside never change once they are in.
	processes map[types.NamespacedName]*process
	pages     map[types.NamespacedName]*page
	// final are the UIDs of the processes whose pages are sealed and hold their last content.
	final map[string]bool
	// late are reports that watches brought of such processes and that were not among those.
	late map[types.NamespacedName]*page
	// read says that the reports have been read once.
	read bool
}

// process is a ProxyInstance.
type process struct {
	uid string
	// ended is a process of which nothing follows.
	ended   bool
	signals map[string][]modelstate.Signal
}

// page is a ProxyReport.
type page struct {
	uid         string
	instance    types.NamespacedName
	instanceUID string
	numbers     map[string][]counted
	entries     int
}

// counted is what one proxy has counted of one endpoint: modelstate.Numbers, with histograms that hold only
// classes in which something was counted. There may be hundreds of thousands of them.
type counted struct {
	endpoint, name            string
	quota, budget             []modelstate.PeriodUsage
	window                    []modelstate.Bucket
	firstToken, total         []v1alpha1.LatencyClass
	recent                    []modelstate.Sample
	lastRequest, lastFailure  time.Time
	lastFailureMessage, proxy string
}

func newCounted(proxy string, from *v1alpha1.EndpointNumbers) counted {
	n := translate.Numbers(from)
	return counted{
		proxy: proxy, endpoint: n.Endpoint, name: n.Name,
		quota: n.Quota, budget: n.Budget, window: n.Window, recent: n.Recent,
		firstToken: from.FirstToken, total: from.Total,
		lastRequest: n.LastRequest, lastFailure: n.LastFailure, lastFailureMessage: n.LastFailureMessage,
	}
}

// NewBooks makes empty books.
func NewBooks() *Books {
	return &Books{
		Changed:       func(string, bool) {},
		Stray:         func(types.NamespacedName) {},
		instancesRead: func() bool { return true },
		processes:     map[types.NamespacedName]*process{},
		pages:         map[types.NamespacedName]*page{},
		final:         map[string]bool{},
		late:          map[types.NamespacedName]*page{},
	}
}

// HasRead reports whether everything that proxies say has been read once. Before that totals would be too small,
// and failures would be forgotten.
func (b *Books) HasRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read && b.instancesRead()
}

// SetInstance takes in a ProxyInstance that is new or has changed.
func (b *Books) SetInstance(instance *v1alpha1.ProxyInstance) {
	key := client.ObjectKeyFromObject(instance)
	next := newProcess(instance)
	b.mu.Lock()
	last := b.processes[key]
	b.processes[key] = next
	lazy := b.countedIn(last, next)
	b.mu.Unlock()
	if last == nil {
		last = &process{}
	}
	for _, namespace := range differing(last.signals, next.signals) {
		b.Changed(namespace, true)
	}
	for _, namespace := range lazy {
		b.Changed(namespace, false)
	}
}

// countedIn are the namespaces in which a process has counted, when it has just ended.
func (b *Books) countedIn(last, next *process) []string {
	if !next.ended || last != nil && last.ended && last.uid == next.uid {
		return nil
	}
	var namespaces []string
	for _, p := range b.pages {
		if p.instanceUID == next.uid {
			namespaces = append(namespaces, keys(p.numbers)...)
		}
	}
	return namespaces
}

// newProcess reads a ProxyInstance. One that blames its own network has nothing to say about endpoints.
func newProcess(instance *v1alpha1.ProxyInstance) *process {
	p := &process{uid: string(instance.UID), ended: ended(instance), signals: map[string][]modelstate.Signal{}}
	if p.ended || meta.IsStatusConditionFalse(instance.Status.Conditions, v1alpha1.ConditionConnected) {
		return p
	}
	for i := range instance.Status.Signals {
		from := &instance.Status.Signals[i]
		p.signals[from.Namespace] = append(p.signals[from.Namespace], translate.Signal(p.uid, from))
	}
	return p
}

// ended reports whether nothing follows from a process: it has said so itself, its successor has, or the
// operator has found it gone.
func ended(instance *v1alpha1.ProxyInstance) bool {
	return instance.Status.Ended || !instance.DeletionTimestamp.IsZero()
}

// RemoveInstance forgets a ProxyInstance that is gone.
func (b *Books) RemoveInstance(key types.NamespacedName) {
	b.mu.Lock()
	last := b.processes[key]
	delete(b.processes, key)
	b.prune()
	b.mu.Unlock()
	if last == nil {
		return
	}
	for namespace := range last.signals {
		b.Changed(namespace, false)
	}
}

// SetReport takes in a ProxyReport that is new or has changed. Once a process' reports are sealed, what a watch
// brings late of them is passed over. One that was not among them may have come to be just then, or be gone for
// long: it has to be sealed, too, and does not count before.
func (b *Books) SetReport(report *v1alpha1.ProxyReport) {
	next := newPage(report)
	key := client.ObjectKeyFromObject(report)
	b.mu.Lock()
	last := b.pages[key]
	if b.final[next.instanceUID] {
		if last == nil {
			b.late[key] = next
		}
		b.mu.Unlock()
		if last == nil {
			b.Stray(next.instance)
		}
		return
	}
	b.pages[key] = next
	_, known := b.processes[next.instance]
	b.mu.Unlock()
	if !known {
		b.Stray(next.instance)
	}
	b.turned(last, next)
}

func newPage(report *v1alpha1.ProxyReport) *page {
	p := &page{
		uid:         string(report.UID),
		instance:    types.NamespacedName{Namespace: report.Namespace, Name: report.Spec.Instance},
		instanceUID: report.Spec.InstanceUID,
		numbers:     map[string][]counted{},
		entries:     len(report.Status.Endpoints),
	}
	for i := range report.Status.Endpoints {
		from := &report.Status.Endpoints[i]
		p.numbers[from.Namespace] = append(p.numbers[from.Namespace], newCounted(p.instanceUID, from))
	}
	return p
}

// turned tells the namespaces whose numbers differ between two versions of a page; either may be nil.
func (b *Books) turned(last, next *page) {
	var before, after map[string][]counted
	if last != nil {
		before = last.numbers
	}
	if next != nil {
		after = next.numbers
	}
	for _, namespace := range differing(before, after) {
		b.Changed(namespace, false)
	}
}

// RemoveReport forgets a ProxyReport that is gone.
func (b *Books) RemoveReport(key types.NamespacedName) {
	b.mu.Lock()
	last := b.pages[key]
	delete(b.pages, key)
	delete(b.late, key)
	b.prune()
	b.mu.Unlock()
	b.turned(last, nil)
}

// prune forgets that processes were final of which nothing is left.
func (b *Books) prune() {
	if len(b.final) == 0 {
		return
	}
	left := map[string]bool{}
	for _, p := range b.processes {
		left[p.uid] = true
	}
	for _, list := range []map[types.NamespacedName]*page{b.pages, b.late} {
		for _, p := range list {
			left[p.instanceUID] = true
		}
	}
	for uid := range b.final {
		if !left[uid] {
			delete(b.final, uid)
		}
	}
}

// ReplaceReports takes in a complete list, as after a reconnection.
func (b *Books) ReplaceReports(reports []*v1alpha1.ProxyReport) {
	fresh := make(map[types.NamespacedName]bool, len(reports))
	for _, report := range reports {
		fresh[client.ObjectKeyFromObject(report)] = true
		b.SetReport(report)
	}
	b.mu.Lock()
	var gone []types.NamespacedName
	for _, list := range []map[types.NamespacedName]*page{b.pages, b.late} {
		for key := range list {
			if !fresh[key] {
				gone = append(gone, key)
			}
		}
	}
	b.mu.Unlock()
	for _, key := range gone {
		b.RemoveReport(key)
	}
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
}

// Seal takes in the last content of all pages of a process, as the API server gave it. From then on looks may
// take it into the books of endpoints.
func (b *Books) Seal(uid string, reports []*v1alpha1.ProxyReport) {
	fresh := make(map[types.NamespacedName]*page, len(reports))
	for _, report := range reports {
		fresh[client.ObjectKeyFromObject(report)] = newPage(report)
	}
	b.mu.Lock()
	var touched []string
	for key, p := range b.pages {
		if p.instanceUID == uid {
			touched = append(touched, keys(p.numbers)...)
			if fresh[key] == nil {
				delete(b.pages, key)
			}
		}
	}
	for key, p := range fresh {
		touched = append(touched, keys(p.numbers)...)
		b.pages[key] = p
	}
	b.final[uid] = true
	maps.DeleteFunc(b.late, func(_ types.NamespacedName, p *page) bool { return p.instanceUID == uid })
	b.mu.Unlock()
	slices.Sort(touched)
	for _, namespace := range slices.Compact(touched) {
		b.Changed(namespace, false)
	}
}

// Pages are the reports known of a process.
func (b *Books) Pages(uid string) []types.NamespacedName {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []types.NamespacedName
	for _, list := range []map[types.NamespacedName]*page{b.pages, b.late} {
		for key, p := range list {
			if p.instanceUID == uid {
				all = append(all, key)
			}
		}
	}
	return all
}

// named are the endpoints that the reports of a process name. final says that they hold its last content.
func (b *Books) named(uid string) (all []named, final bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pages {
		if p.instanceUID != uid {
			continue
		}
		for namespace, list := range p.numbers {
			for i := range list {
				all = append(all, named{types.NamespacedName{Namespace: namespace, Name: list[i].name}, list[i].endpoint})
			}
		}
	}
	return all, b.final[uid]
}

// Strays are the UIDs of processes of that name of which there are reports.
func (b *Books) Strays(instance types.NamespacedName) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var uids []string
	for _, list := range []map[types.NamespacedName]*page{b.pages, b.late} {
		for _, p := range list {
			if p.instance == instance && !slices.Contains(uids, p.instanceUID) {
				uids = append(uids, p.instanceUID)
			}
		}
	}
	slices.Sort(uids)
	return uids
}

// Unowned are the ProxyInstances that are not known and of which there are reports.
func (b *Books) Unowned() []types.NamespacedName {
	b.mu.Lock()
	defer b.mu.Unlock()
	unowned := map[types.NamespacedName]bool{}
	for _, p := range b.pages {
		if b.processes[p.instance] == nil {
			unowned[p.instance] = true
		}
	}
	return slices.Collect(maps.Keys(unowned))
}

// testimony is everything that proxies say about the endpoints of one namespace.
type testimony struct {
	// signals are those of processes that live and trust their network, by the UID of the endpoint.
	signals map[string][]modelstate.Signal
	// numbers are those of all processes, by the UID of the endpoint, in the order of the processes' UIDs.
	numbers map[string][]*counted
	// ended are the UIDs of processes that are gone, final those of them whose numbers are their last; known
	// are all of which there is an object.
	ended, final, known map[string]bool
}

// of is what proxies say about the endpoints of a namespace.
func (b *Books) of(namespace string) testimony {
	t := testimony{
		signals: map[string][]modelstate.Signal{}, numbers: map[string][]*counted{},
		ended: map[string]bool{}, final: map[string]bool{}, known: map[string]bool{},
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.processes {
		t.known[p.uid] = true
		if p.ended {
			t.ended[p.uid] = true
		}
		for _, s := range p.signals[namespace] {
			t.signals[s.Endpoint] = append(t.signals[s.Endpoint], s)
		}
	}
	for _, p := range b.pages {
		t.known[p.instanceUID] = true
		t.final[p.instanceUID] = b.final[p.instanceUID]
		list := p.numbers[namespace]
		for i := range list {
			t.numbers[list[i].endpoint] = append(t.numbers[list[i].endpoint], &list[i])
		}
	}
	t.sort()
	return t
}

// sort puts everything into an order, so that equal books give equal statuses.
func (t *testimony) sort() {
	for _, list := range t.signals {
		slices.SortFunc(list, func(a, b modelstate.Signal) int { return strings.Compare(a.Proxy, b.Proxy) })
	}
	for _, list := range t.numbers {
		slices.SortFunc(list, func(a, b *counted) int { return strings.Compare(a.proxy, b.proxy) })
	}
}

// load is how much the processes that live have to write.
type load struct {
	proxies, pages, entries int
}

// load is how much all processes that live have to write each time they report.
func (b *Books) load() load {
	b.mu.Lock()
	defer b.mu.Unlock()
	var l load
	alive := map[string]bool{}
	for _, p := range b.processes {
		if !p.ended {
			alive[p.uid] = true
			l.proxies++
		}
	}
	for _, p := range b.pages {
		if alive[p.instanceUID] {
			l.pages++
			l.entries += p.entries
		}
	}
	return l
}

// differing are the keys whose lists differ, sorted.
func differing[T any](before, after map[string][]T) []string {
	var out []string
	for key, list := range after {
		if !reflect.DeepEqual(before[key], list) {
			out = append(out, key)
		}
	}
	for key := range before {
		if _, still := after[key]; !still {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for key := range m {
		out = append(out, key)
	}
	return out
}
