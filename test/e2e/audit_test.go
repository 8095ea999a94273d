// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

func decode[T any](f *fleet, text []byte) (out T) {
	f.t.Helper()
	f.must(json.Unmarshal(text, &out))
	return out
}

// reports are the newest contents of all ProxyReports there ever were, and where their proxies listened.
type reports struct {
	mu sync.Mutex
	// pages are by UID of the report; instances by UID of the ProxyInstance. Both are guarded by mu.
	pages     map[types.UID]*v1alpha1.ProxyReport
	instances map[string]*v1alpha1.ProxyInstance
}

// watchReports keeps every report that appears, for after it is gone.
func (f *fleet) watchReports() *reports {
	f.t.Helper()
	scheme := f.client.Scheme()
	watcher, err := client.NewWithWatch(f.cluster.Config(), client.Options{Scheme: scheme})
	f.must(err)
	r := &reports{pages: map[types.UID]*v1alpha1.ProxyReport{}, instances: map[string]*v1alpha1.ProxyInstance{}}
	for _, list := range []client.ObjectList{&v1alpha1.ProxyReportList{}, &v1alpha1.ProxyInstanceList{}} {
		stream, err := watcher.Watch(f.t.Context(), list, client.InNamespace("default"))
		f.must(err)
		f.t.Cleanup(stream.Stop)
		go func() {
			for event := range stream.ResultChan() {
				r.note(event.Object)
			}
		}()
	}
	return r
}

func (r *reports) note(object any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch o := object.(type) {
	case *v1alpha1.ProxyReport:
		r.pages[o.UID] = o
	case *v1alpha1.ProxyInstance:
		r.instances[string(o.UID)] = o
	}
}

// account is what one proxy process has reported of one endpoint, and when.
type account struct {
	usage v1alpha1.PeriodUsage
	at    time.Time
}

// accounts are the last words of all processes about an endpoint, by the UID of the ProxyInstance.
func (r *reports) accounts(endpoint string) map[string]account {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]account{}
	for _, page := range r.pages {
		for i := range page.Status.Endpoints {
			e := &page.Status.Endpoints[i]
			if e.Name != endpoint {
				continue
			}
			a := account{at: page.Status.Time.Time}
			for _, period := range e.Quota {
				add(&a.usage, period, 1)
			}
			out[page.Spec.InstanceUID] = a
		}
	}
	return out
}

// address is where the process of an instance listened.
func (r *reports) address(uid string) (address string, created time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.instances[uid]; i != nil {
		return i.Status.Address, i.CreationTimestamp.Time
	}
	return "", time.Time{}
}

// add adds sign times b to a.
func add(a *v1alpha1.PeriodUsage, b v1alpha1.PeriodUsage, sign int64) {
	tokens := func(a *v1alpha1.TokenCounts, b v1alpha1.TokenCounts) {
		a.Input += sign * b.Input
		a.CachedInput += sign * b.CachedInput
		a.Output += sign * b.Output
		a.Reasoning += sign * b.Reasoning
	}
	a.Requests += sign * b.Requests
	tokens(&a.Tokens, b.Tokens)
	a.Cost = sum(a.Cost, b.Cost, sign)
	if b.Estimated != nil {
		if a.Estimated == nil {
			a.Estimated = &v1alpha1.EstimatedUsage{}
		}
		a.Estimated.Requests += sign * b.Estimated.Requests
		tokens(&a.Estimated.Tokens, b.Estimated.Tokens)
		a.Estimated.Cost = sum(a.Estimated.Cost, b.Estimated.Cost, sign)
	}
}

func rational(m v1alpha1.Money) *big.Rat {
	r, ok := new(big.Rat).SetString(cmp.Or(string(m), "0"))
	if !ok {
		panic(m)
	}
	return r
}

func sum(a, b v1alpha1.Money, sign int64) v1alpha1.Money {
	r := new(big.Rat).Mul(rational(b), new(big.Rat).SetInt64(sign))
	return v1alpha1.Money(r.Add(rational(a), r).FloatString(9))
}

// exact is the part of a usage that providers have confirmed.
func exact(u v1alpha1.PeriodUsage) (tokens v1alpha1.TokenCounts, cost *big.Rat) {
	tokens, cost = u.Tokens, rational(u.Cost)
	if e := u.Estimated; e != nil {
		tokens.Input -= e.Tokens.Input
		tokens.CachedInput -= e.Tokens.CachedInput
		tokens.Output -= e.Tokens.Output
		tokens.Reasoning -= e.Tokens.Reasoning
		cost.Sub(cost, rational(e.Cost))
	}
	return tokens, cost
}

// price is what one attempt costs by the prices of the test: the sum first, rounded half up once.
func price(t ledger.Tokens) *big.Rat {
	per := func(n int, price string) *big.Rat {
		return new(big.Rat).Mul(big.NewRat(int64(n), 1_000_000), rational(v1alpha1.Money(price)))
	}
	total := per(t.Prompt-t.Cached, "2.5")
	total.Add(total, per(t.Cached, "0.3333"))
	total.Add(total, per(t.Completion, "10.01"))
	nano := new(big.Rat).Mul(total, big.NewRat(1_000_000_000, 1))
	nano.Add(nano, big.NewRat(1, 2))
	whole := new(big.Int).Div(nano.Num(), nano.Denom())
	cost := new(big.Rat).SetFrac(whole, big.NewInt(1_000_000_000))
	return cost.Add(cost, rational("0.000001"))
}

// audit holds the books against the providers' ledgers.
type audit struct {
	fleet    *fleet
	books    *reports
	crew     *crew
	provider *killed
	// explained are the attempts whose usage no proxy has confirmed, by the reason.
	explained map[string][]string
}

// logLine is what the audit reads of an access log.
type logLine struct {
	ID        string `json:"request_id"`
	Endpoint  string `json:"endpoint"`
	Attempts  int    `json:"attempts"`
	Status    int    `json:"status"`
	Error     string `json:"error"`
	Input     int    `json:"gen_ai.usage.input_tokens"`
	Output    int    `json:"gen_ai.usage.output_tokens"`
	Estimated bool   `json:"turnout.usage_estimated"`
}

// endpoint audits one endpoint, whose provider has its name.
func (a *audit) endpoint(name string) {
	f := a.fleet
	a.settled(name)
	accounts := a.books.accounts(name)
	entries, err := ledger.Read(f.providers[name].ledger)
	f.must(err)
	if again := entries.Repeated(); len(again) > 0 {
		f.t.Errorf("%s was sent attempts twice: %v", name, again)
	}
	byPrefix := map[string][]ledger.Entry{}
	for _, e := range entries.Entries {
		prefix, _, _ := strings.Cut(e.Records[0].Attempt, "-")
		byPrefix[prefix] = append(byPrefix[prefix], e)
	}
	for _, l := range a.crew.lives {
		lines, prefix := a.accessLog(l)
		account, ok := a.account(accounts, l)
		switch {
		case prefix == "":
			f.t.Errorf("%s has served nobody", l.Name())
		case !ok && len(byPrefix[prefix]) > 0 && l.killed.IsZero():
			f.t.Errorf("%s has reported nothing of %s, which has served it %d times", l.Name(), name, len(byPrefix[prefix]))
		case l.killed.IsZero():
			a.ordered(name, l, lines, byPrefix[prefix], account)
		default:
			a.cutShort(name, l, byPrefix[prefix], account)
		}
	}
}

// settled waits until the status of an endpoint holds exactly what all proxies have said last. All of it is in
// the base by now.
func (a *audit) settled(name string) {
	f := a.fleet
	f.t.Helper()
	f.await("waiting for the books of "+name+" to hold all reports", func(ctx context.Context) error {
		var want v1alpha1.PeriodUsage
		for _, account := range a.books.accounts(name) {
			add(&want, account.usage, 1)
		}
		e := &v1alpha1.ModelEndpoint{}
		if err := f.client.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, e); err != nil {
			return err
		}
		if e.Status.ModelState == nil {
			return errors.New("it has no state yet")
		}
		have := v1alpha1.PeriodUsage{}
		if usage := e.Status.ModelState.Usage; usage != nil { // nil: nobody has used it
			for _, period := range []*v1alpha1.PeriodUsage{usage.Quota, usage.PreviousQuota} {
				if period != nil {
					add(&have, *period, 1)
				}
			}
		}
		normal := func(u v1alpha1.PeriodUsage) string {
			add(&u, v1alpha1.PeriodUsage{Estimated: &v1alpha1.EstimatedUsage{}}, 1)
			u.Start = metav1.Time{}
			text, _ := json.Marshal(u)
			return string(text)
		}
		if normal(have) != normal(want) {
			return fmt.Errorf("status holds %s, the proxies have said %s", normal(have), normal(want))
		}
		return nil
	})
}

// account is what a process has said last, if anything.
func (a *audit) account(accounts map[string]account, l *life) (account, bool) {
	best, found := account{}, false
	for uid, account := range accounts {
		address, created := a.books.address(uid)
		// Several lives share an address, one after the other: the one whose process ran then is meant.
		if address == l.address && a.owner(address, created) == l {
			best, found = account, true
		}
	}
	return best, found
}

// owner is the process that listened at an address when an instance was created.
func (a *audit) owner(address string, created time.Time) *life {
	var owner *life
	for _, l := range a.crew.lives {
		if l.address == address && !l.started.After(created.Add(time.Second)) {
			owner = l
		}
	}
	return owner
}

// accessLog reads the lines of a process, and the prefix of its attempts' ids.
func (a *audit) accessLog(l *life) (lines []logLine, prefix string) {
	text, err := os.ReadFile(l.accessLog)
	a.fleet.must(err)
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("}\n")) {
			continue // cut short by the kill
		}
		entry := decode[logLine](a.fleet, line)
		prefix, _, _ = strings.Cut(entry.ID, "-")
		lines = append(lines, entry)
	}
	return lines, prefix
}

// ordered audits a process that ended in order: attempt by attempt what it logged is what the provider wrote
// down, and what it reported is their sum.
func (a *audit) ordered(name string, l *life, lines []logLine, entries []ledger.Entry, have account) {
	t := a.fleet.t
	open := map[string]ledger.Entry{}
	for _, e := range entries {
		open[e.Records[0].Attempt] = e
	}
	var want v1alpha1.TokenCounts
	cost := new(big.Rat)
	for _, line := range lines {
		if line.Endpoint != name || line.Error != "" || line.Status != 200 || line.Estimated {
			continue
		}
		id := fmt.Sprintf("%s.%d", line.ID, line.Attempts)
		entry, ok := open[id]
		if !ok {
			t.Errorf("%s: attempt %s was answered, and is not in the ledger of %s", l.Name(), id, name)
			continue
		}
		delete(open, id)
		used := entry.Last().Tokens
		if entry.Last().Event != ledger.Finished || used.Prompt != line.Input || used.Completion != line.Output {
			t.Errorf("%s: attempt %s used %d and %d tokens by the log, and %+v by the ledger", l.Name(), id, line.Input, line.Output, entry.Last())
		}
		want.Input += int64(used.Prompt)
		want.CachedInput += int64(used.Cached)
		want.Output += int64(used.Completion)
		want.Reasoning += int64(used.Reasoning)
		cost.Add(cost, price(used))
	}
	if tokens, spent := exact(have.usage); tokens != want || spent.Cmp(cost) != 0 {
		t.Errorf("%s reported %+v and $%s of %s that the provider confirmed; the ledger has %+v and $%s",
			l.Name(), tokens, spent.FloatString(9), name, want, cost.FloatString(9))
	}
	if n := int64(len(entries)); have.usage.Requests < n {
		t.Errorf("%s reported %d attempts at %s, whose ledger has %d of it", l.Name(), have.usage.Requests, name, n)
	} else if lost := have.usage.Requests - n; lost > 0 {
		a.explain("sent to a provider that was killed before it read them", fmt.Sprintf("%d of %s at %s", lost, l.Name(), name))
		if name != "alpha" {
			t.Errorf("%s reported %d attempts at %s more than that has read, and nobody killed it", l.Name(), lost, name)
		}
	}
	for id, entry := range open {
		a.judge(id, name, l, entry)
	}
}

// judge explains an attempt whose usage did not reach a proxy that ended in order.
func (a *audit) judge(id, name string, l *life, entry ledger.Entry) {
	last := entry.Last()
	switch {
	case name == "alpha" && entry.Open():
		a.explain("the provider was killed while it answered", id)
	case name == "alpha" && a.provider.around(last.Time):
		a.explain("the provider was killed before its last bytes had left it", id)
	default:
		a.fleet.t.Errorf("%s: attempt %s at %s is in no book, and nothing explains why: %+v", l.Name(), id, name, last)
	}
}

// margin is how long an answer may be on its way from a provider through a proxy into a report.
const margin = time.Second

// interval is how often a proxy of a small fleet reports its numbers.
const interval = 5 * time.Second

// cutShort audits a process that was killed: it may have lost what ended after its last report, and nothing
// else.
func (a *audit) cutShort(name string, l *life, entries []ledger.Entry, have account) {
	var low, high int64 // confirmed output tokens: what must be reported, and what may be
	for _, e := range entries {
		last := e.Last()
		switch {
		case last.Event != ledger.Finished:
			a.explain("the proxy or the provider was killed while it answered", e.Records[0].Attempt)
			continue
		case name == "alpha" && a.provider.around(last.Time):
			a.explain("the provider was killed before its last bytes had left it, perhaps", e.Records[0].Attempt)
			high += int64(last.Tokens.Completion)
			continue
		}
		high += int64(last.Tokens.Completion)
		if last.Time.Before(have.at.Add(-margin)) {
			low += int64(last.Tokens.Completion)
			continue
		}
		a.explain("lost with "+l.Name()+", which was killed before its next report", e.Records[0].Attempt)
		if late := l.killed.Sub(last.Time); late > interval+margin {
			a.fleet.t.Errorf("%s lost attempt %s of %s, which ended %s before it was killed: that is more than one interval", l.Name(), e.Records[0].Attempt, name, late)
		}
	}
	if tokens, _ := exact(have.usage); tokens.Output < low || tokens.Output > high {
		a.fleet.t.Errorf("%s, killed, reported %d output tokens of %s; by the ledger it must be from %d to %d", l.Name(), tokens.Output, name, low, high)
	}
}

func (a *audit) explain(why, attempt string) {
	if a.explained == nil {
		a.explained = map[string][]string{}
	}
	a.explained[why] = append(a.explained[why], attempt)
}

// close lists every attempt that the books do not hold as confirmed, and why.
func (a *audit) close() {
	f := a.fleet
	var list strings.Builder
	for _, why := range slices.Sorted(keys(a.explained)) {
		f.t.Logf("%d attempts: %s", len(a.explained[why]), why)
		for _, id := range a.explained[why] {
			fmt.Fprintf(&list, "%s\t%s\n", id, why)
		}
	}
	path := filepath.Join(f.logDir(), "unconfirmed-attempts.tsv")
	f.must(os.WriteFile(path, []byte(list.String()), 0o600))
	if f.logDir() != filepath.Join(f.dir, "logs") {
		f.t.Logf("each is listed in %s", path)
	}
}
