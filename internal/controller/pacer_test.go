// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// simulate lets endpoints change all the time for as long as said, each asking when it was told to, and returns
// how many writes there were, how many bytes, and the longest an endpoint had to wait between two.
func simulate(endpoints, size int, length time.Duration) (writes, bytes int, longest time.Duration, last time.Duration) {
	p := NewPacer()
	now := earlier
	due := make([]time.Time, endpoints)
	written := make([]time.Time, endpoints)
	for end := now.Add(length); now.Before(end); now = now.Add(time.Second) {
		for i := range due {
			if due[i].After(now) {
				continue
			}
			uid := types.UID(strconv.Itoa(i))
			wait, ok := p.Ask(uid, now)
			if !ok {
				due[i] = now.Add(wait)
				continue
			}
			p.Wrote(uid, size, true, now)
			if !written[i].IsZero() {
				longest = max(longest, now.Sub(written[i]))
			}
			written[i] = now
			writes++
			bytes += size
		}
	}
	return writes, bytes, longest, p.Interval(now)
}

func TestNumbersArePaced(t *testing.T) {
	const length = 20 * time.Minute
	seconds := int(length / time.Second)
	for name, tc := range map[string]struct {
		endpoints, size          int
		wantInterval             time.Duration
		wantLongest, wantAtLeast time.Duration
	}{
		"few endpoints are written every ten seconds":              {endpoints: 20, size: 4096, wantInterval: 10 * time.Second, wantLongest: 15 * time.Second},
		"many wait for each other":                                 {endpoints: 500, size: 4096, wantInterval: 50 * time.Second, wantLongest: 75 * time.Second},
		"two thousand get their turn every 200 seconds":            {endpoints: 2000, size: 4096, wantInterval: 200 * time.Second, wantLongest: 300 * time.Second},
		"large statuses wait for bytes rather than for writes":     {endpoints: 200, size: 200_000, wantInterval: 80 * time.Second, wantLongest: 160 * time.Second},
		"one larger than a second's worth is written all the same": {endpoints: 1, size: 900_000, wantInterval: 10 * time.Second, wantLongest: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			writes, bytes, longest, interval := simulate(tc.endpoints, tc.size, length)
			if most := numbersPerSecond * (seconds + burst); writes > most {
				t.Errorf("%d writes, at most %d are allowed", writes, most)
			}
			if most := numbersBytesPerSecond*(seconds+burst) + tc.size; bytes > most {
				t.Errorf("%d bytes, at most %d are allowed", bytes, most)
			}
			if writes < tc.endpoints*int(length/tc.wantLongest) {
				t.Errorf("%d writes are too few", writes)
			}
			if d := interval - tc.wantInterval; d < -tc.wantInterval/50 || d > tc.wantInterval/50 {
				t.Errorf("the interval is %s, want %s", interval, tc.wantInterval)
			}
			if longest > tc.wantLongest {
				t.Errorf("an endpoint waited for %s, want at most %s", longest, tc.wantLongest)
			}
		})
	}
}

func TestThePaceForgetsEndpointsThatAreQuiet(t *testing.T) {
	p := NewPacer()
	for i := range 1000 {
		p.Ask(types.UID(strconv.Itoa(i)), earlier)
	}
	if got := p.Interval(earlier); got != 100*time.Second {
		t.Errorf("the interval is %s with 1000 endpoints", got)
	}
	if got := p.Interval(earlier.Add(time.Hour)); got != minNumbersInterval {
		t.Errorf("the interval is %s an hour later", got)
	}
}

func TestATransitionResetsThePaceAndIsNotHeldUp(t *testing.T) {
	p := NewPacer()
	p.Wrote("a", 4096, false, earlier)
	if wait, ok := p.Ask("a", earlier.Add(4*time.Second)); ok || wait != 6*time.Second {
		t.Errorf("asked 4s after a transition: %s, %v", wait, ok)
	}
	if _, ok := p.Ask("a", earlier.Add(10*time.Second)); !ok {
		t.Error("10s after a transition numbers must still wait")
	}
}

func TestReportsStretchWithTheFleet(t *testing.T) {
	fleet := func(proxies, endpoints int) *Books {
		b := NewBooks()
		for i := range proxies {
			instance := &v1alpha1.ProxyInstance{}
			instance.Namespace, instance.Name, instance.UID = "proxies", "proxy-"+strconv.Itoa(i), types.UID(strconv.Itoa(i))
			b.SetInstance(instance)
			report := reportOf(proxy{instance})
			report.Status.Endpoints = make([]v1alpha1.EndpointNumbers, endpoints)
			b.SetReport(report)
		}
		return b
	}
	for name, tc := range map[string]struct {
		proxies, endpoints int
		want               time.Duration
	}{
		"a small fleet reports every five seconds":  {3, 50, 5 * time.Second},
		"a hundred proxies are ten writes a second": {100, 10, 10 * time.Second},
		"what counts is bytes as well":              {100, 2000, 320 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := fleet(tc.proxies, tc.endpoints)
			f := NewFleet(b)
			proxies, interval := f.Settings()
			if int(proxies) != tc.proxies || interval != tc.want {
				t.Errorf("%d proxies every %s, want %d every %s", proxies, interval, tc.proxies, tc.want)
			}
			if share := b.load().share(interval); share > 1 {
				t.Errorf("that is %.2f times what is allowed", share)
			}
		})
	}
	t.Run("it does not go back and forth at a bound", func(t *testing.T) {
		b := fleet(100, 1)
		f := NewFleet(b)
		f.Settings()
		for range 49 { // 51 proxies would just fit into five seconds
			b.mu.Lock()
			for key := range b.processes {
				delete(b.processes, key)
				break
			}
			b.mu.Unlock()
		}
		if _, interval := f.Settings(); interval != 10*time.Second {
			t.Errorf("the interval is %s at 51 proxies", interval)
		}
		if _, interval := NewFleet(fleet(40, 1)).Settings(); interval != 5*time.Second {
			t.Errorf("the interval is %s at 40 proxies", interval)
		}
	})
}
