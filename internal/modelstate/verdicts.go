// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"time"
)

// begin finds the reasons of health that begin to hold. All of one moment are one transition and one trip.
func (j *judging) begin() {
	j.extend()
	var begun [8]*Verdict
	fresh := append(begun[:0], j.quotaExhausted(), j.authFailure(), j.outage(), j.modelNotFound())
	if fresh[2] == nil { // one incident, one reason
		fresh = append(fresh, j.errorThreshold())
	}
	fresh = append(fresh, j.rateLimited(), j.probeFailed())
	fresh = slices.DeleteFunc(fresh, func(v *Verdict) bool { return v == nil })
	if len(fresh) == 0 {
		return
	}
	j.advance()
	if !j.s.resting() && slices.ContainsFunc(fresh, func(v *Verdict) bool { return v.Trial }) {
		j.s.Trips = min(j.s.Trips+1, maxTrips)
	}
	if trial := j.s.Trial; trial != nil {
		// A trial that is broken off is not passed: it is gone through after this.
		fresh[0].Trial = true
		fresh[0].Policies = union(fresh[0].Policies, trial.Policies)
		j.s.Trial = nil
	}
	verdicts := slices.Clone(j.s.Verdicts)
	for _, v := range fresh {
		v.Since, v.Message = second(j.now), cut(v.Message, maxMessage)
		verdicts = append(verdicts, *v)
		j.change(Deactivated, v.Reason, v.Message)
	}
	slices.SortStableFunc(verdicts, func(a, b Verdict) int { return int(a.Reason) - int(b.Reason) })
	j.s.Verdicts = verdicts
}

// maxTrips keeps the count within what the API can carry. The cooldown has long reached its cap.
const maxTrips = 1 << 20

// statement merges what proxies heard the provider say for a reason in this epoch: the newest message, and the
// latest end. Nothing when the reason holds already.
func (j *judging) statement(reason Reason) (Statement, bool) {
	var merged Statement
	if j.s.find(reason) != nil {
		return merged, false
	}
	for i := range j.in.Evidence.Signals {
		signal := &j.in.Evidence.Signals[i]
		if signal.Epoch != j.s.Epoch {
			continue
		}
		for _, said := range signal.Statements {
			if said.Reason != reason {
				continue
			}
			if merged.Reason == 0 || said.At.After(merged.At) || said.At.Equal(merged.At) && said.Message > merged.Message {
				merged.Reason, merged.At, merged.Message = reason, said.At, said.Message
			}
			merged.Until = later(merged.Until, said.Until)
		}
	}
	return merged, merged.Reason != 0
}

// quotaExhausted is the provider's word that its own quota is spent, until it says, or the calendar does, or a
// cooldown is over.
func (j *judging) quotaExhausted() *Verdict {
	said, ok := j.statement(QuotaExhausted)
	if !ok {
		return nil
	}
	v := &Verdict{Reason: QuotaExhausted}
	most := j.now.Add(MaxQuotaReset)
	switch {
	case said.Until.After(j.now):
		v.Until = secondUp(earlier(said.Until, most))
	case j.in.QuotaReset.After(j.now):
		v.Until = secondUp(earlier(j.in.QuotaReset, most))
	default:
		v.Until, v.Trial = j.cooledDown(), true
	}
	v.Message = "the provider says that its quota is spent" + saying(said.Message) + "; tried again at " + clock(v.Until, j.now)
	return v
}

// authFailure is a credential that is refused here, or known to be refused elsewhere.
func (j *judging) authFailure() *Verdict {
	if j.s.find(ProviderAuthFailure) != nil {
		return nil
	}
	const back = "; comes back when the Secret changes or a probe succeeds"
	if said, ok := j.statement(ProviderAuthFailure); ok {
		return &Verdict{
			Reason:  ProviderAuthFailure,
			Message: "the provider refuses the credential" + saying(said.Message) + back,
		}
	}
	if j.in.Siblings.Unauthorized {
		return &Verdict{
			Reason:  ProviderAuthFailure,
			Message: "the credential is refused elsewhere" + saying(j.in.Siblings.UnauthorizedMessage) + back,
		}
	}
	return nil
}

// outage is a provider all of whose endpoints fail.
func (j *judging) outage() *Verdict {
	common := secondUp(j.in.Siblings.OutageUntil)
	over := !common.IsZero() && !common.After(j.now)
	if !j.in.Siblings.Outage || over || j.s.find(ProviderOutage) != nil {
		return nil
	}
	own := j.cooledDown()
	if resting := j.s.find(ErrorThreshold); resting != nil {
		own = resting.Until // of the same incident
	}
	until := later(common, own)
	if !until.After(j.now) {
		return nil
	}
	return &Verdict{
		Reason: ProviderOutage, Until: until, Trial: true,
		Message: "all endpoints of the provider fail" + saying(j.in.Siblings.OutageMessage) +
			"; tried again when a probe of any succeeds, or at " + clock(until, j.now),
	}
}

// modelNotFound is the provider's word that it does not have the model.
func (j *judging) modelNotFound() *Verdict {
	said, ok := j.statement(ModelNotFound)
	if !ok {
		return nil
	}
	until := j.cooledDown()
	return &Verdict{
		Reason: ModelNotFound, Until: until, Trial: true,
		Message: "the provider does not know the model" + saying(said.Message) +
			"; tried again when spec.model changes, a probe succeeds, or at " + clock(until, j.now),
	}
}

// cooledDown is the end of a trip now that no policy's threshold decided.
func (j *judging) cooledDown() time.Time {
	return secondUp(j.now.Add(longestCooldown(j.units, j.exponent())))
}

// asked is how long proxies were asked to leave the provider alone in this epoch.
func (j *judging) asked() time.Time {
	var until time.Time
	for i := range j.in.Evidence.Signals {
		if signal := &j.in.Evidence.Signals[i]; signal.Epoch == j.s.Epoch {
			until = later(until, signal.RateLimitedUntil)
		}
	}
	return until
}

// longestAsk is the most that a provider may ask for.
func (j *judging) longestAsk() time.Duration {
	var most time.Duration
	for i := range j.units {
		most = max(most, j.units[i].MaxRetryAfter)
	}
	return most
}

// rateLimited is a rest that the provider asked for and that is too long to be left to each proxy.
func (j *judging) rateLimited() *Verdict {
	asked := j.asked()
	if asked.IsZero() || j.s.find(RateLimited) != nil {
		return nil
	}
	tooLong := func(u Unit) bool { return asked.Sub(j.now) > u.RestToStandby }
	until := secondUp(earlier(asked, j.now.Add(j.longestAsk())))
	if !slices.ContainsFunc(j.units, tooLong) || !until.After(j.now) {
		return nil
	}
	return &Verdict{Reason: RateLimited, Until: until, Message: rateLimitedMessage(until, j.now)}
}

func rateLimitedMessage(until, now time.Time) string {
	return "the provider asks to be left alone until " + clock(until, now)
}

// extend lets a longer ask lengthen a rest that holds already: the same rest, so no transition. From its
// beginning to its end it is capped like one ask, or a proxy that repeats itself could make it last for ever.
func (j *judging) extend() {
	v := j.s.find(RateLimited)
	if v == nil {
		return
	}
	until := secondUp(earlier(j.asked(), v.Since.Add(j.longestAsk())))
	if !until.After(v.Until) {
		return
	}
	j.s.Verdicts = slices.Clone(j.s.Verdicts)
	v = j.s.find(RateLimited)
	v.Until, v.Message = until, rateLimitedMessage(until, j.now)
}

// probeFailed is what the operator's own probes found.
func (j *judging) probeFailed() *Verdict {
	if j.s.Probe.Failures == 0 || j.s.Probe.Failures < j.in.Probe.FailureThreshold || j.s.find(ProbeFailed) != nil {
		return nil
	}
	return &Verdict{
		Reason:  ProbeFailed,
		Message: probesFailed(j.s.Probe.Failures) + lastFailure(j.s.Probe.Message) + "; comes back when one succeeds",
	}
}
