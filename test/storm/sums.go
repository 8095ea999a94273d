// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import "github.com/turnout-ai/turnout/internal/modelstate"

// use is what the lines of an access log say of an endpoint.
type use struct {
	tries, estimates int64
	// tokens are all, guessed the estimated ones among them.
	tokens, guessed counted
}

// counted are tokens, as far as the access log has them.
type counted struct{ input, output int64 }

func (c *counted) add(input, output int64) {
	c.input += input
	c.output += output
}

// sums compares what the proxy has added up, in its metrics and its books, with the sums of the lines.
func (a *audit) sums() {
	uses := map[string]*use{}
	attempts := map[[2]string]float64{}
	for _, l := range a.lines {
		for _, t := range l.Tries {
			if uses[t.Endpoint] == nil {
				uses[t.Endpoint] = &use{}
			}
			uses[t.Endpoint].add(t)
			attempts[[2]string{t.Endpoint, t.Outcome}]++
		}
	}
	for key, n := range a.attempts {
		if n != attempts[key] {
			a.find(nil, nil, "%s: %g attempts came to %q by the metrics, and %g by the access log", key[0], n, key[1], attempts[key])
		}
	}
	for _, n := range a.books {
		want := uses[n.Name]
		if want == nil {
			want = &use{}
		}
		if have := booked(n.Quota); !have.agrees(want) {
			a.find(nil, nil, "%s: the books hold %+v, the access log adds up to %+v", n.Name, have, *want)
		}
	}
}

func (u *use) add(t try) {
	u.tries++
	u.tokens.add(t.Input, t.Output)
	if t.Estimated {
		u.estimates++
		u.guessed.add(t.Input, t.Output)
	}
}

// booked is what the books say, over all periods.
func booked(periods []modelstate.PeriodUsage) (u use) {
	for _, p := range periods {
		u.tries += p.Requests
		u.estimates += p.Estimated.Requests
		u.tokens.add(p.Tokens.Input, p.Tokens.Output)
		u.guessed.add(p.Estimated.Tokens.Input, p.Estimated.Tokens.Output)
	}
	return u
}

// agrees reports whether the books say what the lines do. Attempts of which nothing was sent are in the lines only.
func (u use) agrees(lines *use) bool {
	return u.tries <= lines.tries && u.estimates == lines.estimates && u.tokens == lines.tokens && u.guessed == lines.guessed
}
