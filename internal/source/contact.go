// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import "time"

// grace is how long requests for news may fail before the connection counts as lost. Watches end and start
// again all day, and an API server that is replaced by its neighbour is no news either.
const grace = 3 * time.Second

// contact knows whether news from the API server can still arrive. Each stream of news (one kind in one
// namespace) is in order when its latest request was answered well; an open watch is such a request. The zero
// value has no stream that is in trouble. It has no clock of its own.
type contact struct {
	troubles map[string]trouble
}

// trouble is an unbroken row of failures of one stream.
type trouble struct {
	since time.Time
	err   error
}

// answered notes the outcome of a stream's request; nil means that it was answered well.
func (c *contact) answered(stream string, err error, now time.Time) {
	if err == nil {
		delete(c.troubles, stream)
		return
	}
	if _, known := c.troubles[stream]; known {
		return // The first failure is the one to show: a message that changes with each try is a write each.
	}
	if c.troubles == nil {
		c.troubles = map[string]trouble{}
	}
	c.troubles[stream] = trouble{since: now, err: err}
}

// oldest returns the trouble that has lasted longest.
func (c *contact) oldest() (worst trouble, found bool) {
	stream := ""
	for name, t := range c.troubles {
		earlier := t.since.Before(worst.since) || t.since.Equal(worst.since) && name < stream
		if !found || earlier {
			worst, stream, found = t, name, true
		}
	}
	return worst, found
}

// lost returns why the connection counts as lost at now; nil when it does not.
func (c *contact) lost(now time.Time) error {
	worst, found := c.oldest()
	if found && now.Sub(worst.since) >= grace {
		return worst.err
	}
	return nil
}

// verdict is when lost may change its answer by itself; ok is false when it will not.
func (c *contact) verdict(now time.Time) (at time.Time, ok bool) {
	worst, found := c.oldest()
	at = worst.since.Add(grace)
	return at, found && at.After(now)
}
