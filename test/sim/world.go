// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// epoch is when all worlds begin, in Unix nanoseconds.
var epoch = time.Date(2026, 3, 2, 10, 40, 0, 0, time.UTC).UnixNano()

// moment is a time of a world as everybody knows it.
func moment(at int64) time.Time { return time.Unix(0, epoch+at).UTC() }

// unit is how all endpoints are judged.
var unit = modelstate.Unit{
	Policy: "chat", ConsecutiveFailures: 3, MinimumRequests: 20, Window: time.Minute, RestToStandby: time.Minute,
	Cooldown: 30 * time.Second, MaxCooldown: 4 * time.Minute, MaxRetryAfter: time.Hour, InitialPercent: 10, Ramp: 10 * time.Second, Successes: 2,
}

// failure is how a provider fails.
type failure uint8

// The ways in which a provider can fail.
const (
	works failure = iota
	serverError
	unconnected
	brokenOff
)

// provider is the other end of an endpoint.
type provider struct{ fails failure }

// place is a place for a proxy: a Pod, or a machine.
type place struct {
	*actor
	// inPod says that it is a Pod, of that UID as long as it is not replaced.
	inPod  bool
	podUID string
	// restarts is how often the Pod's container has.
	restarts int
	current  *proxy
	lives    int
	names    int
}

// Counts are what has happened.
type Counts struct {
	Worlds, steps, admitted, refused, crashes, grants, folds, seals, deaths, rebirths, transitions, writes, faults int
}

// add adds up.
func (c *Counts) add(o *Counts) {
	c.Worlds += o.Worlds
	c.steps += o.steps
	c.admitted += o.admitted
	c.refused += o.refused
	c.crashes += o.crashes
	c.grants += o.grants
	c.folds += o.folds
	c.seals += o.seals
	c.deaths += o.deaths
	c.rebirths += o.rebirths
	c.transitions += o.transitions
	c.writes += o.writes
	c.faults += o.faults
}

// String tells them.
func (c *Counts) String() string {
	return fmt.Sprintf("%d steps in %d worlds: %d attempts admitted and %d refused, %d ledgers that lend more, %d writes, "+
		"%d crashes, %d proxies declared dead, %d registered anew, %d pages sealed, %d times folded, %d transitions, %d things not as usual",
		c.steps, c.Worlds, c.admitted, c.refused, c.grants, c.writes,
		c.crashes, c.deaths, c.rebirths, c.seals, c.folds, c.transitions, c.faults)
}

// world is one run of everything.
type world struct {
	chance   *chance
	sabotage sabotage
	events   queue
	// now is the time since the world began, apiDown until when the API server does not answer.
	now, apiDown int64
	weather      weather
	store        *store
	audit        *audit
	replicas     [kinds]*watcher
	god          *actor
	places       []*place
	seats        []*seat
	providers    map[string]*provider
	names        []string
	requests     uint64
	breach       *breach
	counts       Counts
	telling      bool
	story        []line
	closing      bool
	// rivals says that two operators lead.
	rivals bool
	script script
}

// step counts one step.
func (w *world) step() { w.counts.steps++ }

// at plans an event.
func (w *world) at(at int64, run func()) { w.events.push(max(at, w.now), run) }

// after plans an event in a while.
func (w *world) after(d int64, run func()) { w.events.push(w.now+d, run) }

// run lets the world go on until a time, or a breach.
func (w *world) run(until int64) {
	for w.breach == nil && len(w.events.heap) > 0 && w.events.heap[0].at <= until {
		e := w.events.pop()
		w.now = e.at
		e.run()
	}
	if w.breach == nil {
		w.now = until
	}
}

// end lets go of all threads.
func (w *world) end() {
	for _, p := range w.places {
		if p.current != nil && p.current.alive {
			p.current.kill()
		}
	}
	for _, s := range w.seats {
		if s.current != nil && s.current.alive {
			s.current.kill()
		}
	}
}

// lag is how far behind a lagging API server is.
func (w *world) lag() int64 {
	drawn := w.chance.draw(0, lags, 1024)
	return int64(time.Second) + int64(below(&drawn, uint64(2*time.Minute)))
}

// crash ends a process as kill -9 does. Its place is taken by another soon.
func (w *world) crash(p *process) {
	if !p.alive || w.closing {
		return
	}
	w.counts.crashes++
	w.step()
	w.tell(p.actor, "crashes")
	for _, pl := range w.places {
		if pl.current != nil && pl.current.process == p {
			w.audit.died(pl.current, false)
			p.kill()
			w.after(int64(time.Second), func() { w.restart(pl) })
		}
	}
	for _, s := range w.seats {
		if s.current != nil && s.current.process == p {
			p.kill()
			w.after(int64(2*time.Second), func() {
				if !s.current.alive {
					w.tell(s.actor, "starts again")
					s.begin()
				}
			})
		}
	}
}

// leave is the end of a process that has said its last word.
func (w *world) leave(p *proxy, complete bool) {
	w.after(0, func() {
		if p.alive {
			w.tell(p.actor, "ends")
			w.audit.died(p, complete)
			p.kill()
			w.after(int64(3*time.Second), func() { w.replace(p.place) })
		}
	})
}

// restart starts another process in a place: in a Pod its container has restarted.
func (w *world) restart(pl *place) {
	if pl.current.alive {
		return
	}
	if pl.inPod {
		pl.restarts++
		w.editPod(pl, func(p *pod) { p.restarts, p.started = pl.restarts, moment(w.now) })
	}
	w.tell(pl.actor, "starts again in its place")
	pl.begin()
}

// replace puts a new Pod in the place of one that is gone.
func (w *world) replace(pl *place) {
	if pl.current != nil && pl.current.alive {
		return
	}
	if pl.inPod {
		w.removePod(pl)
		w.createPod(pl)
	}
	w.tell(pl.actor, "starts in a new place")
	pl.begin()
}

func (w *world) createPod(pl *place) {
	w.store.by = nil
	pl.restarts = 0
	made, err := w.store.create(pods, &pod{meta: meta{name: pl.name}, started: moment(w.now)})
	if err == nil {
		pl.podUID = made.head().uid
	}
}

func (w *world) removePod(pl *place) {
	w.store.by = nil
	_ = w.store.remove(pods, pl.name, "")
}

func (w *world) editPod(pl *place, change func(*pod)) {
	w.store.by = nil
	if o, err := w.store.get(pods, pl.name); err == nil && o.head().uid == pl.podUID {
		_, _ = w.store.change(pods, o, func(o object) { change(o.(*pod)) })
	}
}

// generateName is the part of a name that the API server makes up.
func (w *world) generateName(pl *place) string {
	pl.names++
	return string(rune('a'+(pl.names-1)%26)) + strings.Repeat("x", (pl.names-1)/26)
}

// endpointOf is the stored endpoint of that UID.
func (w *world) endpointOf(uid string) *modelEndpoint {
	t := &w.store.tables[endpoints]
	for _, name := range t.names {
		if e := t.objects[name].(*modelEndpoint); e.uid == uid && !e.deleting {
			return e
		}
	}
	return nil
}

// nameOf is what an instance of that UID was called.
func (w *world) nameOf(uid string) string {
	name, _, _ := strings.Cut(uid, ".")
	return name
}

// amountOf is an amount in words.
func (w *world) amountOf(n int64, limit quota.Limit) string {
	switch {
	case limit == quota.Requests && n == 1:
		return "1 request"
	case limit == quota.Requests:
		return fmt.Sprintf("%d requests", n)
	case limit == quota.Tokens:
		return fmt.Sprintf("%d tokens", n)
	default:
		return fmt.Sprintf("$%.4f", float64(n)/1e9)
	}
}

func compare(a, b string) int { return cmp.Compare(a, b) }

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// earliest is the earlier of two times, of which a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// line is one line of a story.
type line struct {
	at    int64
	who   string
	text  string
	times int
}

// tell adds to the story. What somebody does several times in a row is told once.
func (w *world) tell(a *actor, text string) {
	if !w.telling {
		return
	}
	for i := len(w.story) - 1; i >= max(len(w.story)-4, 0); i-- {
		if l := &w.story[i]; l.who == a.name && l.text == text {
			l.times++
			return
		}
	}
	w.story = append(w.story, line{w.now, a.name, text, 1})
}

// Story is what happened, in lines.
func (w *world) tale() []string {
	out := make([]string, 0, len(w.story)+1)
	for _, l := range w.story {
		times := ""
		if l.times > 1 {
			times = fmt.Sprintf(" (%d times)", l.times)
		}
		out = append(out, fmt.Sprintf("%s %s %s%s", clock(l.at), l.who, l.text, times))
	}
	if w.breach != nil {
		out = append(out, fmt.Sprintf("%s BROKEN: %s: %s", clock(w.breach.at), w.breach.law, w.breach.detail))
	}
	return out
}

// clock is a time as the story tells it: minutes, seconds and thousandths since the world began.
func clock(at int64) string {
	d := time.Duration(at)
	return fmt.Sprintf("%02d:%02d.%03d", int(d.Minutes()), int(d.Seconds())%60, d.Milliseconds()%1000)
}

// storyOfAsks tells what a proxy asks for.
func (w *world) storyOfAsks(p *proxy, asks []quota.EndpointAsk) {
	if !w.telling {
		return
	}
	var wishes []string
	for i := range asks {
		for _, a := range asks[i].Asks {
			if a.Number > 0 && a.Want > a.Granted {
				wishes = append(wishes, w.amountOf(a.Want-a.Granted, a.Limit)+" of "+asks[i].Name)
			}
		}
	}
	if len(wishes) > 0 {
		w.tell(p.actor, "asks for "+strings.Join(wishes, ", "))
	}
}
