// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/routing"
)

// plan is what is to happen in a world, as its seed has it.
type plan struct {
	seed    uint64
	proxies []placePlan
	seats   []int64 // how far the clocks of operators are ahead
	models  []endpointSpec
	weather weather
	// storm is how long everything may go wrong.
	storm     int64
	happening []happening
	loads     []load
}

// placePlan is a place for a proxy.
type placePlan struct {
	inPod bool
	skew  int64
}

// happening is something that happens to somebody at a time.
type happening struct {
	at   int64
	what mishap
	// who is the place, the seat or the endpoint that it happens to, long how long it lasts.
	who  int
	long int64
	// spec is what an endpoint is to be.
	spec endpointSpec
}

// mishap is something that can go wrong, or at least another way than before.
type mishap uint8

// What can happen.
const (
	killProxy mishap = iota
	stopProxy
	losePod
	cutOffProxy
	killOperator
	pauseOperator
	secondLeader
	handOver
	apiDown
	editSpec
	recreate
	failProvider
	happenings
)

// load is a stretch of time in which somebody calls a proxy.
type load struct {
	place    int
	from, to int64
	gap      int64
	// names are the endpoints to try.
	names []string
}

var modelNames = [...]string{"alpha", "beta", "gamma"}

var zones = func() [2]*time.Location {
	kolkata, err := calendar.Zone("Asia/Kolkata")
	if err != nil {
		kolkata = time.FixedZone("half", 30*60)
	}
	return [2]*time.Location{time.UTC, kolkata}
}()

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
)

// newPlan plans a world for an occasion.
func newPlan(seed uint64, o *occasion) *plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := &plan{seed: seed, storm: minute * (12 + r.Int64N(40))}
	for range 1 + r.IntN(4) {
		p.proxies = append(p.proxies, placePlan{inPod: r.IntN(4) > 0, skew: skewOf(r)})
	}
	for range 1 + r.IntN(2) {
		p.seats = append(p.seats, skewOf(r))
	}
	for range 1 + r.IntN(len(modelNames)) {
		p.models = append(p.models, specFor(r, len(p.models)))
		if o.tight {
			p.models[len(p.models)-1].limits = routing.Limits{Tokens: 2000 + r.Int64N(4000)}
		}
	}
	switch r.IntN(5) {
	case 0: // nothing goes wrong with messages
	case 1, 2:
		p.weather = weather{calls: 40, watches: 40, lags: 300, crashes: true}
	default:
		p.weather = weather{calls: 150, watches: 150, lags: 600, crashes: true}
	}
	if r.IntN(6) > 0 {
		for range r.IntN(24) {
			p.happening = append(p.happening, p.happen(r))
		}
	}
	p.plenty(r)
	for _, what := range o.more {
		for range 5 {
			p.happening = append(p.happening, p.happenBy(r, what))
		}
	}
	return p
}

// skewOf is how far a clock is ahead: seconds, and sometimes more.
func skewOf(r *rand.Rand) int64 {
	switch r.IntN(4) {
	case 0:
		return r.Int64N(8*second) - 4*second
	case 1:
		return r.Int64N(50*second) - 25*second
	default:
		return 0
	}
}

func specFor(r *rand.Rand, at int) endpointSpec {
	s := endpointSpec{
		provider: []string{"north", "south"}[r.IntN(2)], model: fmt.Sprintf("m%d", at),
		quota:  calendar.Period{Unit: calendar.Hourly, Zone: zones[r.IntN(2)]},
		budget: calendar.Period{Unit: calendar.Hourly, Zone: zones[r.IntN(2)]},
	}
	if r.IntN(5) == 0 {
		s.quota.Unit = calendar.Daily
	}
	s.limits = limitsFor(r)
	return s
}

func limitsFor(r *rand.Rand) routing.Limits {
	var l routing.Limits
	if r.IntN(4) > 0 {
		l.Requests = 2 + r.Int64N(12)<<r.IntN(4)
	}
	if r.IntN(4) == 0 {
		l.Tokens = 2000 + r.Int64N(30_000)
	}
	if r.IntN(4) == 0 {
		l.Budget = price * (2000 + r.Int64N(30_000))
	}
	l.FailOpen = r.IntN(10) == 0
	return l
}

// happen thinks of something that happens.
func (p *plan) happen(r *rand.Rand) happening { return p.happenBy(r, mishap(r.IntN(int(happenings)))) }

// happenBy thinks of something of a kind.
func (p *plan) happenBy(r *rand.Rand, what mishap) happening {
	h := happening{at: minute + r.Int64N(p.storm), what: what}
	switch h.what {
	case killProxy, stopProxy, losePod:
		h.who, h.long = r.IntN(len(p.proxies)), second+r.Int64N(8*minute)
	case cutOffProxy:
		h.who, h.long = r.IntN(len(p.proxies)), second+r.Int64N(5*minute)<<r.IntN(4)
	case killOperator, pauseOperator, secondLeader, handOver:
		h.who, h.long = r.IntN(len(p.seats)), second/2+r.Int64N(minute)<<r.IntN(3)
	case apiDown:
		h.long = second + r.Int64N(2*minute)
	default:
		h.who, h.long = r.IntN(len(p.models)), 1+r.Int64N(3*minute)
		h.spec = p.models[h.who]
		h.spec.limits = limitsFor(r)
		switch r.IntN(5) {
		case 0:
			h.spec = specFor(r, h.who)
		case 1:
			h.spec.suspended = true
		}
	}
	return h
}

// plenty plans who calls.
func (p *plan) plenty(r *rand.Rand) {
	for place := range p.proxies {
		for range 1 + r.IntN(5) {
			l := load{place: place, from: second + r.Int64N(p.storm), gap: (10 * int64(time.Millisecond)) << r.IntN(9)}
			l.to = l.from + min(l.gap*(20+r.Int64N(300)), 20*minute)
			for _, at := range r.Perm(len(p.models))[:1+r.IntN(len(p.models))] {
				l.names = append(l.names, modelNames[at])
			}
			p.loads = append(p.loads, l)
		}
	}
}

// newWorld makes a world and everybody in it.
func newWorld(p *plan, s sabotage, only map[choice]bool) *world {
	w := &world{
		chance: &chance{seed: p.seed, only: only}, sabotage: s, weather: p.weather, providers: map[string]*provider{},
	}
	w.god = &actor{w: w, name: "somebody"}
	w.store = newStore(w)
	w.audit = newAudit(w)
	for k := range w.replicas {
		w.replicas[k] = &watcher{w: w, kind: kind(k), cache: newCache()}
		w.store.tables[k].watchers = append(w.store.tables[k].watchers, w.replicas[k])
	}
	for i := range p.models {
		w.names = append(w.names, modelNames[i])
		w.providers[modelNames[i]] = &provider{}
		_, _ = w.store.create(endpoints, &modelEndpoint{meta: meta{name: modelNames[i]}, spec: p.models[i]})
	}
	for i, skew := range p.seats {
		w.seats = append(w.seats, &seat{
			actor: &actor{w: w, id: uint8(firstSeat + i), name: "operator " + string(rune('A'+i)), skew: skew}, leads: i == 0,
		})
	}
	for i := range p.proxies {
		pl := &place{actor: &actor{w: w, id: uint8(1 + i), name: fmt.Sprintf("proxy-%d", i+1), skew: p.proxies[i].skew}, inPod: p.proxies[i].inPod}
		w.places = append(w.places, pl)
	}
	return w
}

// begin starts everybody, and has everything happen that is planned.
func (w *world) begin(p *plan) {
	w.seats = slices.DeleteFunc(w.seats, func(s *seat) bool { return w.absent(s.actor) && !s.leads })
	w.places = slices.DeleteFunc(w.places, func(pl *place) bool { return w.absent(pl.actor) })
	for _, s := range w.seats {
		w.after(0, s.begin)
	}
	for _, pl := range w.places {
		if pl.inPod {
			w.createPod(pl)
		}
		w.after(0, pl.begin)
	}
	for i := range p.happening {
		h := &p.happening[i]
		w.at(h.at, func() {
			if !w.closing && w.chance.decide(choice{0, happens, uint32(i)}, 1024) != 0 {
				w.happen(h)
			}
		})
	}
	for i := range p.loads {
		l := &p.loads[i]
		w.at(l.from, func() { w.arrive(l, uint32(i)<<16) })
	}
}

// absent reports whether somebody does not take part, so that a story has fewer people in it, and sets the clock of
// those who do.
func (w *world) absent(a *actor) bool {
	if a.skew != 0 && w.chance.decide(choice{a.id, skews, 0}, 1024) == 0 {
		a.skew = 0
	}
	return w.chance.decide(choice{a.id, exists, 0}, 1024) == 0
}

// place is the place of that number; nil when nobody is there.
func (w *world) place(n int) *place {
	for _, pl := range w.places {
		if int(pl.id) == n+1 {
			return pl
		}
	}
	return nil
}

// seat is the seat of that number; nil when nobody is there.
func (w *world) seat(n int) *seat {
	for _, s := range w.seats {
		if int(s.id) == n+firstSeat {
			return s
		}
	}
	return nil
}

// firstSeat is the number of the first operator among actors.
const firstSeat = 8

// arrive is the next request of a load.
func (w *world) arrive(l *load, nth uint32) {
	if w.closing || w.now > l.to {
		return
	}
	pl := w.place(l.place)
	if pl == nil {
		return
	}
	drawn := w.chance.decide(choice{pl.id, arrives, nth}, 1024)
	if drawn != 0 && pl.current != nil && pl.current.alive && !pl.current.ending {
		w.step()
		pl.current.serve(w.request(l.names, drawn))
	}
	gap := l.gap/2 + int64(hash(w.chance.seed, choice{pl.id, arrives, nth + 1<<31})%uint64(l.gap))
	w.after(gap, func() { w.arrive(l, nth+1) })
}

// request is one of which everything follows from what was drawn.
func (w *world) request(names []string, drawn uint64) *request {
	w.requests++
	r := &request{id: w.requests, names: names, input: 10 + int64(below(&drawn, 200)), output: 1 + int64(below(&drawn, 300))}
	switch below(&drawn, 20) {
	case 0:
		r.output *= 10
		r.takes = int64(below(&drawn, uint64(4*time.Minute)))
	case 1:
		r.takes = int64(below(&drawn, uint64(20*time.Second)))
	default:
		r.takes = int64(20*time.Millisecond) + int64(below(&drawn, uint64(time.Second)))
	}
	return r
}

// happen has something happen.
func (w *world) happen(h *happening) {
	w.counts.faults++
	switch h.what {
	case killProxy, stopProxy, losePod, cutOffProxy:
		if pl := w.place(h.who); pl != nil {
			w.happenToProxy(pl, h)
		}
	case apiDown:
		w.tell(w.god, "takes the API server down for "+time.Duration(h.long).Round(time.Second).String())
		w.apiDown = w.now + h.long
	case failProvider:
		w.failProvider(modelNames[h.who], h.long)
	case editSpec, recreate:
		w.edit(h)
	default:
		if s := w.seat(h.who); s != nil {
			w.happenToOperator(s, h)
		}
	}
}

func (w *world) happenToProxy(pl *place, h *happening) {
	switch h.what {
	case killProxy:
		w.crash(pl.current.process)
	case stopProxy:
		if p := pl.current; p.alive && !p.ending {
			p.stop()
			w.after(h.long, func() { w.crash(p.process) }) // patience ends
		}
	case losePod:
		w.losePod(pl, h.long)
	default:
		w.tell(pl.actor, "is cut off from the API server for "+time.Duration(h.long).Round(time.Second).String())
		pl.cutOff = w.now + h.long
		w.at(pl.cutOff, func() {
			if pl.current.alive && pl.connected() {
				pl.current.reporter.returned()
			}
		})
	}
}

// losePod takes the Pod of a proxy away, whose process goes on for a while, cut off.
func (w *world) losePod(pl *place, long int64) {
	if !pl.inPod || !pl.current.alive {
		return
	}
	w.tell(w.god, "takes the Pod of "+pl.name+" away; its process goes on")
	w.removePod(pl)
	pl.cutOff = max(pl.cutOff, w.now+long/2)
	p := pl.current
	w.after(long, func() {
		if p.alive && !w.closing {
			w.tell(pl.actor, "is killed")
			w.counts.crashes++
			w.audit.died(p, false)
			p.kill()
			w.after(second, func() { w.replace(pl) })
		}
	})
}

func (w *world) failProvider(name string, long int64) {
	p := w.providers[name]
	p.fails = failure(1 + long%3)
	w.tell(w.god, "has the provider of "+name+" fail")
	w.after(long, func() {
		p.fails = works
		w.tell(w.god, "heals the provider of "+name)
	})
}

// edit changes what an endpoint is to be, or puts another one in its place.
func (w *world) edit(h *happening) {
	name := modelNames[h.who]
	w.store.by = nil
	stored, err := w.store.get(endpoints, name)
	if err != nil {
		return
	}
	if h.what == editSpec {
		w.tell(w.god, fmt.Sprintf("changes %s: %s", name, h.spec.tell()))
		_, _ = w.store.change(endpoints, stored, func(o object) { o.(*modelEndpoint).spec = h.spec })
		return
	}
	w.tell(w.god, "deletes "+name)
	_ = w.store.remove(endpoints, name, "")
	w.after(h.long%int64(20*time.Second), func() { w.recreate(name, h.spec) })
}

func (w *world) recreate(name string, spec endpointSpec) {
	w.store.by = nil
	if _, err := w.store.create(endpoints, &modelEndpoint{meta: meta{name: name}, spec: spec}); err == nil {
		w.tell(w.god, fmt.Sprintf("creates %s: %s", name, spec.tell()))
	}
}

// tell is what a spec says.
func (s *endpointSpec) tell() string {
	text := "no limit"
	if l := s.limits; l.Requests+l.Tokens+l.Budget > 0 {
		text = fmt.Sprintf("%d requests, %d tokens, %d nano-dollars", l.Requests, l.Tokens, l.Budget)
	}
	if s.suspended {
		text += ", suspended"
	}
	return text + " " + s.quota.Unit.String()
}

func (w *world) happenToOperator(s *seat, h *happening) {
	switch h.what {
	case killOperator:
		w.crash(s.current.process)
	case pauseOperator:
		w.tell(s.actor, "stands still for "+time.Duration(h.long).Round(time.Second).String())
		s.paused = w.now + h.long
	case secondLeader:
		if !s.leads {
			w.tell(s.actor, "leads, too")
			w.setLeads(s, true)
			w.after(h.long, func() {
				if !w.closing {
					w.setLeads(s, false)
				}
			})
		}
	case handOver:
		for _, other := range w.seats {
			w.setLeads(other, other == s)
		}
		w.tell(s.actor, "leads now")
	default:
	}
}

func (w *world) setLeads(s *seat, leads bool) {
	s.leads = leads
	leaders := 0
	for _, other := range w.seats {
		if other.leads {
			leaders++
		}
	}
	w.rivals = leaders > 1
	if s.current != nil && s.current.alive {
		s.current.lead(leads)
	}
}

const (
	// demanding is how long everybody calls when nothing goes wrong any more, silent how long nobody does then at
	// least, settled the last part of that, in which nothing is written.
	demanding = 9 * minute
	silent    = 20 * minute
	settled   = 6 * minute
)

// close ends everything that goes wrong, and holds the laws that are about rest.
func (w *world) close(p *plan) {
	w.run(p.storm)
	if w.breach != nil {
		return
	}
	w.heal(p)
	calm := within(w.now+demanding, 5*minute, 24*minute)
	w.run(w.now + minute)
	w.demand(calm)
	w.run(calm)
	w.used()
	if w.breach != nil {
		return
	}
	end := within(calm+silent, 12*minute, 28*minute)
	w.run(end)
	if w.breach == nil && w.audit.lastWrite > end-settled {
		w.audit.broken(lawRest, "at %s %s", clock(w.audit.lastWrite), w.audit.lastDeed)
	}
	w.lastly()
}

// within is the first time from at on that lies between two minutes of a half hour, all of which periods may begin.
func within(at, from, to int64) int64 {
	const half = 30 * minute
	past := (at + epoch) % half
	switch {
	case past < from:
		return at + from - past
	case past > to:
		return at + half - past + from
	}
	return at
}

// heal brings everything back into order.
func (w *world) heal(p *plan) {
	w.tell(w.god, "ends everything that goes wrong")
	w.chance.quiet, w.closing = true, true
	w.apiDown = 0
	for i, s := range w.seats {
		s.cutOff, s.paused = 0, 0
		w.setLeads(s, i == 0)
		if !s.current.alive {
			s.begin()
		}
	}
	for i, name := range w.names {
		w.providers[name].fails = works
		w.store.by = nil
		o, err := w.store.get(endpoints, name)
		if err != nil {
			w.recreate(name, p.models[i])
			continue
		}
		if e := o.(*modelEndpoint); e.spec.suspended {
			_, _ = w.store.change(endpoints, o, func(o object) { o.(*modelEndpoint).spec.suspended = false })
		}
	}
	for _, pl := range w.places {
		w.revive(pl)
	}
	for k := range w.store.tables {
		for _, v := range slices.Clone(w.store.tables[k].watchers) {
			if v.of != nil {
				v.hurry()
			}
		}
	}
}

// revive has a proxy in its place that is not about to end.
func (w *world) revive(pl *place) {
	pl.cutOff = 0
	p := pl.current
	lost := pl.inPod && w.podOf(pl) == nil
	if p.alive && (p.ending || lost) {
		w.audit.died(p, false)
		p.kill()
	}
	switch {
	case lost:
		w.createPod(pl)
		pl.begin()
	case !p.alive:
		w.restart(pl)
	default:
		p.reporter.returned()
	}
}

func (w *world) podOf(pl *place) *pod {
	if o, err := w.store.get(pods, pl.name); err == nil && o.head().uid == pl.podUID {
		return o.(*pod)
	}
	return nil
}

// demand has everybody call every endpoint until a time.
func (w *world) demand(until int64) {
	for i, pl := range w.places {
		for k := range w.names {
			w.after(int64(i*len(w.names)+k)*second/7, func() { w.call(pl, w.names[k:k+1], 0, until) })
		}
	}
}

func (w *world) call(pl *place, names []string, nth uint32, until int64) {
	if w.now > until {
		return
	}
	if pl.current.alive {
		w.step()
		drawn := hash(w.chance.seed, choice{pl.id, settles, nth})
		r := w.request(names, drawn)
		r.takes = min(r.takes, second)
		pl.current.serve(r)
	}
	w.after(2*second, func() { w.call(pl, names, nth+1, until) })
}

// lastPart is what counts as the end of a limit: the last tenth, or the last one.
const lastPart = 10

// used holds it against everybody that there is demand, and something left, and nobody uses it.
func (w *world) used() {
	if w.breach != nil || len(w.places) == 0 {
		return
	}
	for _, name := range w.names {
		o, err := w.store.get(endpoints, name)
		if err != nil {
			continue
		}
		for _, acc := range w.unused(o.(*modelEndpoint)) {
			if acc.progress < w.now-2*minute {
				w.audit.broken(lawUsed, "%d of the %s are left of %d, and were not used since %s", w.left(acc), acc.name(), acc.limit, clock(acc.progress))
			}
		}
	}
}

// unused are the accounts of an endpoint of which somebody should use what is left; none when a limit is used up. Of
// several limits the last of one may stay: what an attempt needs of all of them would have to be with one proxy at once.
func (w *world) unused(e *modelEndpoint) (open []*account) {
	ending := false
	for _, limit := range limits {
		if e.spec.limit(limit) == 0 {
			continue
		}
		acc := w.audit.account(purseKey{e.uid, keyAt(e, limit, moment(w.now))})
		left := w.left(acc) - acc.carried
		if left <= 0 {
			return nil
		}
		open = append(open, acc)
		ending = ending || left <= max(acc.limit/lastPart, 1)
	}
	if ending && len(open) > 1 {
		return nil
	}
	return open
}

// left is what may still be used of an account: the limit without what was used, and without what instances were
// lent that are gone. What they had given back counts if they could still say so.
func (w *world) left(acc *account) int64 {
	left := acc.limit - acc.used - acc.unaware
	for uid, h := range acc.holdings {
		l := w.audit.owners[uid]
		if l == nil || !l.proxy.alive || l.proxy.instance != uid {
			back := h.returned
			if h.heard {
				back = h.given
			}
			left -= max(h.granted-back-h.used, 0)
		}
	}
	return left
}
