// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var (
	midnight = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	noon     = midnight.Add(12 * time.Hour)
	tomorrow = midnight.AddDate(0, 0, 1)
	pace     = PaceOf(5 * time.Second)
)

// fleet is one account, its operator and its proxies, and what is stored between them. Nothing happens by itself.
type fleet struct {
	t       *testing.T
	now     time.Time
	term    Term
	stored  Ledger
	proxies []*proxy
	verdict Verdict
	// looks, ledgers and copies count the writes: those of asks, of the ledger, and of grants.
	asks, ledgers, copies int
}

// proxy is a purse, and what is stored of it.
type proxy struct {
	*Purse
	name  string
	state PartyState
	// said is its ask in the API server, told the copy of its lease, seen all copies there ever were.
	said *Ask
	told Grant
	seen []Grant
	// reported is what the operator knows to be used, used what really is, more what is set aside beside it.
	reported, used int64
	// closed says that it is in the record: the operator does not look at it any more.
	closed bool
}

func newFleet(t *testing.T, term Term, proxies int) *fleet {
	f := &fleet{t: t, now: noon, term: term}
	for range proxies {
		f.start()
	}
	return f
}

// requests is a daily limit.
func requests(amount int64) Term { return daily(Requests, amount) }

func daily(limit Limit, amount int64) Term {
	return Term{Key: Key{limit, midnight}, End: tomorrow, Amount: amount}
}

// start adds a proxy.
func (f *fleet) start() *proxy {
	p := &proxy{Purse: NewPurse(f.term.Key, 0), name: fmt.Sprintf("proxy-%03d", len(f.proxies))}
	f.proxies = append(f.proxies, p)
	return p
}

// ask has a proxy say what it has to say; it reports whether that is something new.
func (f *fleet) ask(p *proxy) bool {
	said, ok := p.Ask(f.now, pace)
	if !ok {
		p.said = nil // it leaves the status with some later write
		return false
	}
	if p.said != nil {
		same := *p.said
		same.Spent = said.Spent // That more was spent since a wish was made is not said.
		if same == said {
			return false
		}
	}
	p.said = &said
	f.asks++
	return true
}

// report has the operator know all that is used.
func (f *fleet) report() {
	for _, p := range f.proxies {
		p.reported = p.used
	}
}

// parties are the proxies as the operator knows them.
func (f *fleet) parties(Key) []Party {
	var parties []Party
	for _, p := range f.proxies {
		if !p.closed {
			parties = append(parties, Party{Instance: p.name, State: p.state, Ask: p.said, Used: p.reported})
		}
	}
	return parties
}

// decide is one look of the operator, and its write.
func (f *fleet) decide() Decision {
	d := f.stored.Decide([]Term{f.term}, f.parties, f.now)
	if !sameLedger(f.stored, d.Ledger) {
		f.ledgers++
	}
	f.stored = d.Ledger
	for _, p := range f.proxies {
		p.closed = p.closed || p.state == Final
	}
	if len(d.Verdicts) > 0 {
		f.verdict = d.Verdicts[0]
	}
	return d
}

// copy brings the lease into the proxy's spec; it reports whether that is something new.
func (f *fleet) copy(p *proxy) bool {
	account := f.account()
	if account == nil {
		return false
	}
	for i := range account.Leases {
		if l := &account.Leases[i]; l.Instance == p.name {
			if told := p.told.Merge(account.Grant(l)); told != p.told {
				told.Key = account.Key
				p.told, p.seen = told, append(p.seen, told)
				f.copies++
				return true
			}
		}
	}
	return false
}

func (f *fleet) account() *Account {
	at := slices.IndexFunc(f.stored.Accounts, func(a Account) bool { return a.compare(f.term.Key) == 0 })
	if at < 0 {
		return nil
	}
	return &f.stored.Accounts[at]
}

// committed is what is closed and what is out by the stored ledger.
func (f *fleet) committed() int64 {
	account := f.account()
	if account == nil {
		return 0
	}
	sum := account.Closed
	for i := range account.Leases {
		sum += account.Leases[i].Granted - account.Leases[i].Returned
	}
	return sum
}

// used is what really was used, by whomever.
func (f *fleet) used() int64 {
	var sum int64
	for _, p := range f.proxies {
		sum += p.used
	}
	return sum
}

// round is everything once: asks, a decision, copies, and what comes of them. It reports whether anything was written.
func (f *fleet) round() bool {
	before := f.asks + f.ledgers + f.copies
	for _, p := range f.proxies {
		f.ask(p)
	}
	f.decide()
	for _, p := range f.proxies {
		if f.copy(p) {
			p.Grant(p.told)
		}
	}
	return f.asks+f.ledgers+f.copies != before
}

func sameLedger(a, b Ledger) bool {
	return slices.EqualFunc(a.Accounts, b.Accounts, func(a, b Account) bool {
		return a.compare(b.Key) == 0 && a.End.Equal(b.End) && a.Closed == b.Closed && a.Wanted == b.Wanted && slices.Equal(a.Leases, b.Leases)
	})
}

// use takes n and uses it.
func (p *proxy) use(n int64) bool {
	taken, ok, _ := p.Take(n)
	if ok {
		p.used += taken
	}
	return ok
}
