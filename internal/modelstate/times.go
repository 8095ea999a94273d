// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "time"

// micros cuts a time to what the API's fine times carry.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// second is the second that a time is in.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// secondUp is the first whole second that is not before a time.
func secondUp(t time.Time) time.Time {
	if cut := second(t); !cut.Equal(t) {
		return cut.Add(time.Second)
	}
	return second(t)
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
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

// overtakes reports whether news of a time contradict something that began in the second since: news of that
// same second may be older than it.
func overtakes(news, since, now time.Time) bool {
	return !news.IsZero() && !news.Before(since.Add(time.Second)) && !news.After(now)
}

// plus adds counts without running over.
func plus(a, b int64) int64 {
	const most = int64(1) << 60
	return min(min(max(a, 0), most)+min(max(b, 0), most), most)
}
