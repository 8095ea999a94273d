// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"maps"
	"slices"
	"time"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// reference is the machine once more, written down as plainly as possible: a set of reasons, and rules that are
// tried one after the other until none applies. It says nothing to people.
type reference struct {
	epoch, earlier, count int64
	config                string
	reasons               map[Reason]because
	trial                 *Trial
	trips                 int
	basis                 Basis
	distrust              bool
	moved                 time.Time
	probe                 Probe
	// mutant is a rule that is broken on purpose; see TestTheReferenceCatchesMutants.
	mutant string
}

// because is what is known of a reason that holds.
type because struct {
	since, until time.Time
	trial        bool
	policies     map[string]bool
}

// shown is the reason that is shown; 0 when the endpoint is Active.
func (r *reference) shown() Reason {
	if len(r.reasons) == 0 {
		return 0
	}
	return slices.Min(slices.Collect(maps.Keys(r.reasons)))
}

func (r *reference) has(reasons ...Reason) bool {
	return slices.ContainsFunc(reasons, func(reason Reason) bool { _, ok := r.reasons[reason]; return ok })
}

// sick are the reasons of health that hold, by precedence.
func (r *reference) sick() []Reason {
	var sick []Reason
	for reason := range r.reasons {
		if reason >= QuotaExhausted {
			sick = append(sick, reason)
		}
	}
	slices.Sort(sick)
	return sick
}

// cooling reports whether a trip was counted for what holds.
func (r *reference) cooling() bool {
	for _, reason := range []Reason{QuotaExhausted, ProviderOutage, ModelNotFound, ErrorThreshold} {
		if b, ok := r.reasons[reason]; ok && b.trial {
			return true
		}
	}
	return false
}

func ceil(t time.Time) time.Time {
	if t.Nanosecond() == 0 {
		return t
	}
	return t.Add(time.Duration(1e9 - t.Nanosecond()))
}

func floor(t time.Time) time.Time { return t.Add(-time.Duration(t.Nanosecond())) }

func (r *reference) judge(in *Input, now time.Time) {
	shown := r.shown()
	switch {
	case r.config == "" || r.epoch == 0:
		r.epoch = max(r.epoch, 1)
	case r.config != in.Configuration:
		maps.DeleteFunc(r.reasons, func(reason Reason, _ because) bool { return reason >= QuotaExhausted })
		*r = reference{epoch: r.epoch + 1, reasons: r.reasons, moved: r.moved, mutant: r.mutant}
	}
	r.config = in.Configuration
	for {
		epoch := r.epoch
		r.probes(in)
		r.ends(in, now)
		r.withdrawal(in, now)
		r.begins(in, now)
		r.law(in, now)
		r.pass(in, now)
		if r.epoch == epoch {
			break
		}
	}
	r.counts(in)
	if r.shown() != shown {
		r.moved = now.Truncate(time.Microsecond)
	}
}

// current are the signals of the current epoch.
func (r *reference) current(in *Input) []Signal {
	var current []Signal
	for _, s := range in.Evidence.Signals {
		if s.Epoch == r.epoch || r.mutant == "older evidence counts" && s.Epoch <= r.epoch {
			current = append(current, s)
		}
	}
	return current
}

// streaks are the signals whose failures count: since the newest success of anybody else.
func (r *reference) streaks(in *Input) []Signal {
	var counted []Signal
	current := r.current(in)
	for i, s := range current {
		counts := s.Failures > 0
		for k, other := range current {
			if k != i && !other.LastSuccess.IsZero() && !s.Since.After(other.LastSuccess) && r.mutant != "successes of others are ignored" {
				counts = false
			}
		}
		if counts {
			counted = append(counted, s)
		}
	}
	return counted
}

func sum(signals []Signal, of func(Signal) int64) int64 {
	var n int64
	for _, s := range signals {
		n += of(s)
	}
	return n
}

func (r *reference) counts(in *Input) {
	for _, s := range r.current(in) {
		if !s.LastSuccess.IsZero() {
			r.earlier = 0
		}
	}
	r.count = r.earlier + sum(r.streaks(in), func(s Signal) int64 { return s.Failures })
}

func (r *reference) nextEpoch(in *Input) {
	r.counts(in)
	r.earlier = r.count
	r.epoch++
	r.distrust = false
}

func (r *reference) probes(in *Input) {
	news := in.Probe
	if news.FailureThreshold == 0 {
		r.probe = Probe{}
		return
	}
	last := r.probe.LastFailure
	if news.Succeeded.After(last) {
		r.probe = Probe{}
	}
	if news.Failed.After(last) && news.Failed.After(news.Succeeded) {
		r.probe.Failures++
		r.probe.LastFailure, r.probe.Message = news.Failed, news.Message
	}
}

func (r *reference) ends(in *Input, now time.Time) {
	newer := func(t, since time.Time) bool { return !t.IsZero() && t.Sub(since) >= time.Second && !t.After(now) }
	over := map[Reason]because{}
	broken := false
	for _, reason := range r.sick() {
		b := r.reasons[reason]
		byTime := !b.until.IsZero() && !now.Before(b.until)
		byNews := false
		switch reason {
		case ProviderAuthFailure:
			byNews = newer(in.Probe.Succeeded, b.since) || newer(in.Siblings.CredentialAccepted, b.since)
		case ModelNotFound:
			byNews = in.Probe.ModelSeen && newer(in.Probe.Succeeded, b.since)
			b.trial = b.trial && (byTime || !byNews)
		case ProviderOutage:
			byNews = newer(in.Siblings.ProviderSucceeded, b.since)
		case ProbeFailed:
			byNews = r.probe.Failures == 0
		default:
		}
		if byTime || byNews {
			over[reason] = b
			broken = broken || !byTime
		}
	}
	if len(over) == 0 {
		return
	}
	owed, latest, names := false, time.Time{}, map[string]bool{}
	for reason, b := range over {
		delete(r.reasons, reason)
		if b.until.After(latest) {
			latest = b.until
		}
		if b.trial {
			owed = true
			maps.Copy(names, b.policies)
		}
	}
	if _, ok := over[ErrorThreshold]; ok {
		r.basis = Basis{}
	}
	if broken {
		latest = floor(now)
	}
	if left := r.sick(); len(left) > 0 {
		if owed {
			r.owe(left[0], names)
		} else if !slices.ContainsFunc(left, func(reason Reason) bool { return r.reasons[reason].trial }) {
			r.trips = 0
		}
		return
	}
	r.nextEpoch(in)
	if owed && r.mutant != "no trial" {
		r.trial = trialFor(in.Units, names, latest)
	} else {
		r.trips = 0
	}
}

func (r *reference) owe(reason Reason, names map[string]bool) {
	b := r.reasons[reason]
	all := maps.Clone(names)
	maps.Copy(all, b.policies)
	b.trial, b.policies = true, all
	r.reasons[reason] = b
}

func trialFor(units []Unit, names map[string]bool, since time.Time) *Trial {
	var meant []Unit
	for _, u := range units {
		if names[u.Policy] {
			meant = append(meant, u)
		}
	}
	if len(meant) == 0 {
		meant = units
	}
	t := &Trial{Since: since, InitialPercent: 100, Successes: 1, Policies: slices.Sorted(maps.Keys(names))}
	for _, u := range meant {
		t.InitialPercent = min(t.InitialPercent, u.InitialPercent)
		t.Ramp = max(t.Ramp, u.Ramp)
		t.Successes = max(t.Successes, u.Successes)
	}
	return t
}

func (r *reference) knowsBetter(in *Input, basis Basis) bool {
	for _, s := range in.Evidence.Signals {
		if s.Epoch == basis.Epoch && s.LastSuccess.After(basis.Time) {
			return true
		}
		if s.Epoch == basis.Epoch+1 && s.PreviousSuccess.After(basis.Time) {
			return true
		}
	}
	return false
}

func (r *reference) withdrawal(in *Input, now time.Time) {
	b, ok := r.reasons[ErrorThreshold]
	if !ok || r.basis == (Basis{}) || !r.knowsBetter(in, r.basis) || r.mutant == "never withdrawn" {
		return
	}
	delete(r.reasons, ErrorThreshold)
	if !r.cooling() && r.trips > 0 {
		r.trips--
	}
	r.nextEpoch(in)
	r.earlier, r.basis, r.distrust = 0, Basis{}, r.mutant != "trust after a withdrawal"
	if r.trips > 0 && !r.cooling() {
		if left := r.sick(); len(left) > 0 {
			r.owe(left[0], b.policies)
		} else {
			r.trial = trialFor(in.Units, b.policies, floor(now))
		}
	}
}

// rest is the cooldown of a unit after so many trips.
func (r *reference) rest(u Unit) time.Duration {
	doublings := r.trips
	if r.cooling() {
		doublings--
	}
	rest := u.Cooldown
	for range doublings {
		if rest < u.MaxCooldown {
			rest *= 2
		}
	}
	if r.mutant == "no cap" {
		return rest
	}
	return min(rest, u.MaxCooldown)
}

func (r *reference) longestRest(units []Unit) time.Duration {
	var longest time.Duration
	for _, u := range units {
		longest = max(longest, r.rest(u))
	}
	return longest
}

func (r *reference) begins(in *Input, now time.Time) {
	var ask time.Time
	for _, s := range r.current(in) {
		if s.RateLimitedUntil.After(ask) {
			ask = s.RateLimitedUntil
		}
	}
	var mostAsk, leastRest time.Duration
	for i, u := range in.Units {
		mostAsk = max(mostAsk, u.MaxRetryAfter)
		if i == 0 || u.RestToStandby < leastRest {
			leastRest = u.RestToStandby
		}
	}
	if b, ok := r.reasons[RateLimited]; ok {
		until := ceil(ask)
		if most := b.since.Add(mostAsk); until.After(most) {
			until = ceil(most)
		}
		if until.After(b.until) {
			b.until = until
			r.reasons[RateLimited] = b
		}
	}

	begun := map[Reason]because{}
	cooled := ceil(now.Add(r.longestRest(in.Units)))
	for _, s := range r.current(in) {
		for _, said := range s.Statements {
			if r.has(said.Reason) {
				continue
			}
			b := begun[said.Reason]
			switch said.Reason {
			case QuotaExhausted:
				if said.Until.After(b.until) {
					b.until = said.Until
				}
			case ModelNotFound:
				b.until, b.trial = cooled, true
			default:
			}
			begun[said.Reason] = b
		}
	}
	if b, ok := begun[QuotaExhausted]; ok {
		most := now.Add(MaxQuotaReset)
		switch {
		case b.until.After(now):
		case in.QuotaReset.After(now):
			b.until = in.QuotaReset
		default:
			b.until, b.trial = cooled, true
		}
		if b.until.After(most) {
			b.until = most
		}
		b.until = ceil(b.until)
		begun[QuotaExhausted] = b
	}
	if in.Siblings.Unauthorized && !r.has(ProviderAuthFailure) {
		begun[ProviderAuthFailure] = because{}
	}
	if common := ceil(in.Siblings.OutageUntil); in.Siblings.Outage && !r.has(ProviderOutage) && (common.IsZero() || common.After(now)) {
		own := cooled
		if b, ok := r.reasons[ErrorThreshold]; ok {
			own = b.until
		}
		if own.After(common) {
			common = own
		}
		begun[ProviderOutage] = because{until: common, trial: true}
	}
	if _, out := begun[ProviderOutage]; !out && !r.has(ProviderOutage, ErrorThreshold) {
		if b, basis, ok := r.failing(in, now); ok {
			begun[ErrorThreshold] = b
			r.basis = basis
		}
	}
	if until := now.Add(mostAsk); ask.Sub(now) > leastRest && !r.has(RateLimited) && ceil(until).After(now) && !ask.IsZero() {
		if ask.Before(until) {
			until = ask
		}
		if ceil(until).After(now) {
			begun[RateLimited] = because{until: ceil(until)}
		}
	}
	if in.Probe.FailureThreshold > 0 && r.probe.Failures >= in.Probe.FailureThreshold && !r.has(ProbeFailed) {
		begun[ProbeFailed] = because{}
	}
	r.enter(in, begun, now)
}

func (r *reference) enter(in *Input, begun map[Reason]because, now time.Time) {
	if len(begun) == 0 {
		return
	}
	r.nextEpoch(in)
	tripped := false
	for _, b := range begun {
		tripped = tripped || b.trial
	}
	if tripped && (!r.cooling() || r.mutant == "each reason doubles") {
		r.trips++
	}
	first := slices.Min(slices.Collect(maps.Keys(begun)))
	for reason, b := range begun {
		b.since = floor(now)
		r.reasons[reason] = b
	}
	if r.trial != nil {
		names := map[string]bool{}
		for _, name := range r.trial.Policies {
			names[name] = true
		}
		r.owe(first, names)
		r.trial = nil
	}
}

// failing decides about the thresholds.
func (r *reference) failing(in *Input, now time.Time) (because, Basis, bool) {
	streaks := r.streaks(in)
	var all []Signal
	for _, s := range r.current(in) {
		if s.Failures > 0 {
			all = append(all, s)
		}
	}
	failures := sum(streaks, func(s Signal) int64 { return s.Failures })
	requests := sum(streaks, func(s Signal) int64 { return s.Requests })
	basis := Basis{Epoch: r.epoch}
	for _, s := range streaks {
		for _, t := range []time.Time{s.Since, s.LastFailure} {
			if t.After(basis.Time) {
				basis.Time = t
			}
		}
	}
	rated := false
	b := because{trial: true, policies: map[string]bool{}}
	var rest time.Duration
	tripped := false
	for _, u := range in.Units {
		window, known := in.Evidence.Window[u.Policy]
		byRate := known && (in.Evidence.WindowEpoch == r.epoch || r.mutant == "an older window counts") && u.ErrorRate > 0 && window.Attempts >= u.MinimumRequests && window.Attempts > 0 &&
			window.Failures*1_000_000 >= u.ErrorRate*window.Attempts && r.credible(in, all)
		byCount := failures >= u.ConsecutiveFailures && requests >= 2
		if r.mutant == "one request is enough" {
			byCount = failures >= u.ConsecutiveFailures
		}
		if r.trial != nil {
			byCount = failures > 0 && (slices.Contains(r.trial.Policies, u.Policy) || !slices.ContainsFunc(in.Units,
				func(u Unit) bool { return slices.Contains(r.trial.Policies, u.Policy) }))
		}
		byCount = byCount && failures > 0 && r.credible(in, streaks) && !r.knowsBetter(in, basis)
		if !byRate && !byCount {
			continue
		}
		tripped, rated = true, rated || byRate
		rest = max(rest, r.rest(u))
		if u.Policy != "" {
			b.policies[u.Policy] = true
		}
	}
	if rated {
		basis = Basis{}
	}
	b.until = ceil(now.Add(rest))
	return b, basis, tripped
}

// credible reports whether failures are more than one proxy's word, where that is not enough.
func (r *reference) credible(in *Input, streaks []Signal) bool {
	proxies := map[string]bool{}
	var since time.Time
	connect := true
	for _, s := range streaks {
		if since.IsZero() || s.Since.Before(since) {
			since = s.Since
		}
		proxies[s.Proxy] = true
		connect = connect && s.Connect >= s.Failures
	}
	if len(proxies) != 1 || !connect && !r.distrust || r.mutant == "one proxy is believed" {
		return true
	}
	others := 0
	for _, busy := range in.Evidence.Busy {
		if !proxies[busy] {
			others++
		}
	}
	return others == 0 || connect && !in.Evidence.Confirmed.IsZero() && !in.Evidence.Confirmed.Before(since)
}

func (r *reference) law(in *Input, now time.Time) {
	set := func(reason Reason, holds bool, until time.Time) {
		b, held := r.reasons[reason]
		if !holds {
			delete(r.reasons, reason)
			return
		}
		if !held {
			b.since = floor(now)
		}
		b.until = until
		r.reasons[reason] = b
	}
	set(Manual, in.Suspended, time.Time{})
	var until time.Time
	if end := ceil(in.MaintenanceUntil); end.After(now) {
		until = end
	}
	set(MaintenanceWindow, in.InMaintenance, until)
	for reason := BudgetExceeded; reason <= RequestLimit; reason++ {
		holds := false
		for _, l := range in.Limits {
			if l.Reason != reason {
				continue
			}
			until = ceil(l.Until)
			b, held := r.reasons[reason]
			held = held && b.until.Equal(until) && r.mutant != "a limit ends with what is out"
			holds = until.After(now) && l.Left <= 0 && (l.Out <= 0 || held)
		}
		set(reason, holds, until)
	}
}

func (r *reference) pass(in *Input, now time.Time) {
	if r.trial == nil {
		return
	}
	good := sum(r.current(in), func(s Signal) int64 { return s.Successes })
	if good < int64(r.trial.Successes) || now.Sub(r.trial.Since) < r.trial.Ramp && r.mutant != "no ramp" {
		return
	}
	r.nextEpoch(in)
	r.trial, r.trips, r.earlier = nil, 0, 0
}

// state writes the reference as a State, without messages.
func (r *reference) state() State {
	s := State{
		Epoch: r.epoch, Configuration: r.config, Trial: r.trial, Trips: r.trips, EarlierFailures: r.earlier,
		FailureCount: r.count, Evidence: r.basis, Withdrawn: r.distrust, LastTransition: r.moved, Probe: r.probe,
	}
	for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
		b := r.reasons[reason]
		s.Verdicts = append(s.Verdicts, Verdict{
			Reason: reason, Since: b.since, Until: b.until, Trial: b.trial,
			Policies: slices.Sorted(maps.Keys(b.policies)),
		})
	}
	return s
}
