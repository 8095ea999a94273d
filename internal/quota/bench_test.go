// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkTakeAndPut(b *testing.B) {
	p := full(1 << 40)
	b.ReportAllocs()
	for b.Loop() {
		p.Take(1)
		p.Put(1)
	}
}

func BenchmarkTakeAndPutBesideOthers(b *testing.B) {
	p := full(1 << 40)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Take(1)
			p.Put(1)
		}
	})
}

func BenchmarkTakeRefused(b *testing.B) {
	p := NewPurse(requests(1).Key, 0)
	b.ReportAllocs()
	for b.Loop() {
		p.Take(1)
	}
}

func BenchmarkRateTake(b *testing.B) {
	var r Rate
	r.Set(1_000_000)
	now := noon.UnixNano()
	b.ReportAllocs()
	for b.Loop() {
		now += int64(time.Second)
		r.Take(now, 1500)
	}
}

func BenchmarkOutputsAdd(b *testing.B) {
	var o Outputs
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		o.Add(i % 4096)
	}
}

func BenchmarkAskNothing(b *testing.B) {
	p := full(1 << 40)
	now := noon
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		p.Take(1)
		p.Ask(now, pace)
	}
}

// BenchmarkDecide has a hundred proxies, every other of which wishes for something.
func BenchmarkDecide(b *testing.B) {
	term := requests(1_000_000)
	var parties []Party
	account := Account{Key: term.Key, End: term.End, Closed: 1000}
	for i := range 100 {
		name := fmt.Sprintf("0a1b2c3d-0000-4000-8000-%012d", i)
		account.Leases = append(account.Leases, Lease{Instance: name, Granted: 2000, Returned: int64(i), Answered: 1})
		p := Party{Instance: name, Used: int64(1000 + i)}
		if i%2 == 0 {
			p.Ask = &Ask{Key: term.Key, Granted: 2000, Returned: int64(i), Spent: 1900, Number: 2, Want: 4000, Need: int64(i%4) * 1005}
		}
		parties = append(parties, p)
	}
	stored, terms := Ledger{Accounts: []Account{account}}, []Term{term}
	b.ReportAllocs()
	for b.Loop() {
		if d := stored.Decide(terms, func(Key) []Party { return parties }, noon); !d.Urgent {
			b.Fatal("nothing was granted")
		}
	}
}

func BenchmarkShares(b *testing.B) {
	demands := make([]int64, 100)
	for i := range demands {
		demands[i] = int64(i * i)
	}
	b.ReportAllocs()
	for b.Loop() {
		Shares(60_000, 120, demands)
	}
}

// full is a purse with something in it.
func full(amount int64) *Purse {
	p := NewPurse(requests(amount).Key, 0)
	p.Grant(Grant{Key: p.Key(), Granted: amount})
	return p
}
