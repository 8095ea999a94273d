// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
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
	// names are those of the processes, by their UIDs.
	names map[string]types.NamespacedName
	pages map[types.NamespacedName]*page
	// final are the UIDs of the processes whose pages are sealed and hold their last content.
	final map[string]bool
	// late are reports that watches brought of such processes and that were not among those.
	late map[types.NamespacedName]*page
	// dossiers are all of that by the endpoints it is about: by namespace and UID.
	dossiers map[string]map[string]*dossier
	// roster is who there is, turnover says that it may have changed since.
	roster   *roster
	turnover bool
	// read says that the reports have been read once.
	read bool
}

// process is a ProxyInstance.
type process struct {
	uid string
	// ended is a process of which nothing follows.
	ended bool
	words map[place]*word
}

// page is a ProxyReport.
type page struct {
	uid         string
	instance    types.NamespacedName
	instanceUID string
	numbers     map[string][]*counted
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

func newCounted(proxy string, from *v1alpha1.EndpointNumbers) *counted {
	n := translate.Numbers(from)
	return &counted{
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
		names:         map[string]types.NamespacedName{},
		pages:         map[types.NamespacedName]*page{},
		final:         map[string]bool{},
		late:          map[types.NamespacedName]*page{},
		dossiers:      map[string]map[string]*dossier{},
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
	if last == nil {
		last = &process{}
	}
	delete(b.names, last.uid)
	b.processes[key], b.names[next.uid] = next, key
	b.turnover = b.turnover || last.uid != next.uid || last.ended != next.ended
	news := b.hear(last, next)
	for _, namespace := range b.countedIn(last, next) {
		news[namespace] = news[namespace] || false
	}
	b.mu.Unlock()
	b.tell(news)
}

// hear puts what a process says in the place of what it said before, or what the process before it did. It returns
// the namespaces that have news, and whether they are urgent. b.mu is held.
func (b *Books) hear(last, next *process) map[string]bool {
	news := map[string]bool{}
	same := last.uid == next.uid
	for at, before := range last.words {
		if next.words[at] == nil || !same {
			b.learn(news, at, last.uid, before, &word{})
		}
	}
	for at, after := range next.words {
		before := last.words[at]
		if before == nil || !same {
			before = &word{}
		}
		b.learn(news, at, next.uid, before, after)
	}
	return news
}

// learn takes in what a process says of one endpoint. Signals are urgent, and what somebody waits for. b.mu is held.
func (b *Books) learn(news map[string]bool, at place, proxy string, before, after *word) {
	if reflect.DeepEqual(before, after) {
		return
	}
	b.dossier(at, func(d dossier) dossier { return d.hear(proxy, after) })
	signals := !reflect.DeepEqual(before.signals, after.signals)
	if asks := !reflect.DeepEqual(before.asks, after.asks); signals || asks {
		news[at.namespace] = news[at.namespace] || signals || after.pressing
	}
}

func (b *Books) tell(news map[string]bool) {
	for _, namespace := range slices.Sorted(maps.Keys(news)) {
		b.Changed(namespace, news[namespace])
	}
}

// Instance names the ProxyInstance of that UID; false when it is not known.
func (b *Books) Instance(uid string) (types.NamespacedName, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, known := b.names[uid]
	return key, known
}

// countedIn are the namespaces in which a process has counted, when it has just ended.
func (b *Books) countedIn(last, next *process) []string {
	if !next.ended || last.ended && last.uid == next.uid {
		return nil
	}
	namespaces := next.grantedIn()
	for _, p := range b.pages {
		if p.instanceUID == next.uid {
			namespaces = append(namespaces, keys(p.numbers)...)
		}
	}
	return namespaces
}

// grantedIn are the namespaces of the endpoints that a process was told of leases on, once it has ended.
func (p *process) grantedIn() []string {
	var namespaces []string
	for at, w := range p.words {
		if w.granted != "" {
			namespaces = append(namespaces, at.namespace)
		}
	}
	return namespaces
}

// newProcess reads a ProxyInstance. One that blames its own network has nothing to say about the health of endpoints.
func newProcess(instance *v1alpha1.ProxyInstance) *process {
	p := &process{uid: string(instance.UID), ended: ended(instance), words: map[place]*word{}}
	p.lease(instance)
	if p.ended || meta.IsStatusConditionFalse(instance.Status.Conditions, v1alpha1.ConditionConnected) {
		return p
	}
	for i := range instance.Status.Signals {
		signal := translate.Signal(p.uid, &instance.Status.Signals[i])
		w := p.of(signal.Namespace, signal.Endpoint)
		w.signals = append(w.signals, signal)
	}
	return p
}

// of is what the process says of an endpoint.
func (p *process) of(namespace, uid string) *word {
	at := place{namespace, uid}
	if p.words[at] == nil {
		p.words[at] = &word{}
	}
	return p.words[at]
}

// lease reads what the process says about leases, and what it was told of them.
func (p *process) lease(instance *v1alpha1.ProxyInstance) {
	grants := make(map[string]*v1alpha1.EndpointGrant, len(instance.Spec.Grants))
	for i := range instance.Spec.Grants {
		g := &instance.Spec.Grants[i]
		grants[g.UID] = g
		if p.ended {
			p.of(g.Namespace, g.UID).granted = g.Name
		} else if g.Rate != nil {
			p.of(g.Namespace, g.UID).share = translate.Grants(instance.Spec.Grants[i : i+1])[0].Share
		}
	}
	for i := range instance.Status.Asks {
		ask := translate.Ask(&instance.Status.Asks[i])
		w := p.of(ask.Namespace, ask.UID)
		w.asks = append(w.asks, ask)
		w.pressing = w.pressing || pressing(&ask, grants[ask.UID])
	}
}

// pressing reports whether somebody waits for what is asked, or for what is given back.
func pressing(ask *quota.EndpointAsk, told *v1alpha1.EndpointGrant) bool {
	return slices.ContainsFunc(ask.Asks, func(a quota.Ask) bool {
		return a.Presses() || told != nil && slices.ContainsFunc(told.Limits, func(g v1alpha1.LimitGrant) bool {
			return g.Wanted && string(g.Limit) == a.Limit.String() && g.Start.Time.Equal(a.Start)
		})
	})
}

// ended reports whether nothing follows from a process: it has said so itself, its successor has, or the
// operator has found it gone.
func ended(instance *v1alpha1.ProxyInstance) bool {
	return instance.Status.Ended || !instance.DeletionTimestamp.IsZero()
}

// RemoveInstance forgets a ProxyInstance that is gone.
func (b *Books) RemoveInstance(key types.NamespacedName) {
	b.mu.Lock()
	news := map[string]bool{}
	if last := b.processes[key]; last != nil {
		delete(b.processes, key)
		delete(b.names, last.uid)
		b.hear(last, &process{})
		for at := range last.words {
			news[at.namespace] = false
		}
	}
	b.prune()
	b.mu.Unlock()
	b.tell(news)
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
	touched := b.turn(key, next)
	_, known := b.processes[next.instance]
	b.mu.Unlock()
	if !known {
		b.Stray(next.instance)
	}
	b.tellOf(touched)
}

// turn puts a version of a page in the place of the one before; nil takes it out. It returns the namespaces whose
// numbers differ. b.mu is held.
func (b *Books) turn(key types.NamespacedName, next *page) (touched []string) {
	last := b.pages[key]
	b.turnover = b.turnover || last == nil || next == nil || last.instanceUID != next.instanceUID
	if next == nil {
		delete(b.pages, key)
	} else {
		next.keep(last)
		b.pages[key] = next
	}
	return b.file(last, next)
}

// tellOf tells of namespaces with news that can wait.
func (b *Books) tellOf(namespaces []string) {
	slices.Sort(namespaces)
	for _, namespace := range slices.Compact(namespaces) {
		b.Changed(namespace, false)
	}
}

func newPage(report *v1alpha1.ProxyReport) *page {
	p := &page{
		uid:         string(report.UID),
		instance:    types.NamespacedName{Namespace: report.Namespace, Name: report.Spec.Instance},
		instanceUID: report.Spec.InstanceUID,
		numbers:     map[string][]*counted{},
		entries:     len(report.Status.Endpoints),
	}
	for i := range report.Status.Endpoints {
		from := &report.Status.Endpoints[i]
		p.numbers[from.Namespace] = append(p.numbers[from.Namespace], newCounted(p.instanceUID, from))
	}
	return p
}

// RemoveReport forgets a ProxyReport that is gone.
func (b *Books) RemoveReport(key types.NamespacedName) {
	b.mu.Lock()
	touched := b.turn(key, nil)
	delete(b.late, key)
	b.prune()
	b.mu.Unlock()
	b.tellOf(touched)
}

// prune forgets that processes were final of which nothing is left.
func (b *Books) prune() {
	b.turnover = true
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
	if p := b.processes[b.names[uid]]; p != nil {
		touched = p.grantedIn()
	}
	for key, p := range b.pages {
		if p.instanceUID == uid {
			touched = append(touched, keys(p.numbers)...)
			if fresh[key] == nil {
				b.turn(key, nil)
			}
		}
	}
	for key, p := range fresh {
		touched = append(touched, keys(p.numbers)...)
		b.turn(key, p)
	}
	b.final[uid], b.turnover = true, true
	maps.DeleteFunc(b.late, func(_ types.NamespacedName, p *page) bool { return p.instanceUID == uid })
	b.mu.Unlock()
	b.tellOf(touched)
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

// named are the endpoints that the reports of a process name, and those that it was told of leases on. final says
// that the reports hold its last content.
func (b *Books) named(uid string) (all []named, final bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.processes[b.names[uid]]; p != nil {
		for at, w := range p.words {
			if w.granted != "" {
				all = append(all, named{key: types.NamespacedName{Namespace: at.namespace, Name: w.granted}, uid: at.uid})
			}
		}
	}
	for _, p := range b.pages {
		if p.instanceUID != uid {
			continue
		}
		for namespace, list := range p.numbers {
			for i := range list {
				all = append(all, named{key: types.NamespacedName{Namespace: namespace, Name: list[i].name}, uid: list[i].endpoint})
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

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for key := range m {
		out = append(out, key)
	}
	return out
}
