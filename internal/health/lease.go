// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/quota"
)

// Asks returns what there is to say about leases, the most urgent first, and gives back what is not needed. interval
// is how often this process reports: it says for how long to plan. What is said is said until the operator has it.
func (r *Registry) Asks(now time.Time, interval time.Duration) []quota.EndpointAsk {
	r.interval.Store(int64(interval))
	pace := r.pace()
	type urgent struct {
		quota.EndpointAsk
		urgency int
	}
	var all []urgent
	for _, w := range r.walletsInUse() {
		if ask, urgency := w.asks(now, pace); urgency != nothing {
			ask.Asks = ask.Asks[:min(len(ask.Asks), maxAsks)]
			all = append(all, urgent{ask, urgency})
		}
	}
	slices.SortFunc(all, func(a, b urgent) int {
		return cmp.Or(cmp.Compare(b.urgency, a.urgency), strings.Compare(a.UID, b.UID))
	})
	var asks []quota.EndpointAsk
	for i := range all {
		asks = append(asks, all[i].EndpointAsk)
	}
	r.forgetWallets()
	return asks
}

// Granted takes in what the operator has granted, all of it, and how many proxies there are. Whoever waits for more
// is woken.
func (r *Registry) Granted(grants []quota.EndpointGrant, proxies int, _ time.Time) {
	r.proxies.Store(int64(proxies))
	byUID := make(map[string]*quota.EndpointGrant, len(grants))
	for i := range grants {
		byUID[grants[i].UID] = &grants[i]
	}
	none := &quota.EndpointGrant{}
	wanted := false
	for _, w := range r.walletsInUse() {
		g := byUID[w.uid]
		if g == nil {
			g = none
		}
		wanted = w.granted(g.Grants, g.Share) || wanted
	}
	if wanted {
		r.notify()
	}
}

// Disowned drops every grant: the instance they were made to counts as gone, and all of them as used. Attempts under
// way settle into the purses that they were admitted out of; those that begin from now on need new grants.
func (r *Registry) Disowned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives.Add(1)
	for _, w := range r.wallets {
		w.disown()
	}
	for _, b := range r.books {
		b.quota.renew()
		b.budget.renew()
	}
}

// Retire gives back at once whatever is granted and not used, from now on: this process is about to end. It goes on
// asking for what an attempt needs.
func (r *Registry) Retire() {
	r.retired.Store(true)
	for _, w := range r.walletsInUse() {
		w.retire()
	}
	r.notify()
}

// pace is for how long this process plans.
func (r *Registry) pace() quota.Pace { return quota.PaceOf(time.Duration(r.interval.Load())) }

// Spread sets which moment of its own a process asks for the first grants of periods at: any number, a random one if
// nobody sets it. Who wants to see the same happen again sets the same.
func (r *Registry) Spread(by uint64) { r.spread.Store(by) }

// own is a moment of this process' own within the time in which the next period may be asked for. It leaves time to
// be heard before the period begins.
func (r *Registry) own(uid string, limit quota.Limit, start int64) int64 {
	const spread = quota.Early - time.Minute
	h := fnv.New64a()
	_, _ = h.Write([]byte(uid)) // never fails
	_, _ = h.Write([]byte{byte(limit)})
	return int64((h.Sum64() + r.spread.Load() + uint64(start)) % uint64(spread))
}

// walletsInUse returns all wallets, in no order.
func (r *Registry) walletsInUse() []*wallet {
	r.mu.Lock()
	defer r.mu.Unlock()
	wallets := make([]*wallet, 0, len(r.wallets))
	for _, w := range r.wallets {
		wallets = append(wallets, w)
	}
	return wallets
}

// forgetWallets drops those of endpoints that are in no table once they are empty, and beyond a bound those that
// have been in none for longest.
func (r *Registry) forgetWallets() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []*wallet
	for uid, w := range r.wallets {
		switch present, empty := w.state(); {
		case present:
		case empty:
			delete(r.wallets, uid)
		default:
			gone = append(gone, w)
		}
	}
	if len(gone) <= keptWallets {
		return
	}
	slices.SortFunc(gone, func(a, b *wallet) int { return a.absentSince().Compare(b.absentSince()) })
	for _, w := range gone[:len(gone)-keptWallets] {
		delete(r.wallets, w.uid)
	}
}

// state reports whether the endpoint is in the table, and whether there is no purse.
func (w *wallet) state() (present, empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.present, len(w.entries) == 0
}

func (w *wallet) absentSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.absent
}
