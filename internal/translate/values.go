// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"math"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/pricing"
)

// A status that its own schema refuses is never written at all, and with it nothing else that it says. So
// everything on its way out is cut to what the schema admits: sentences and lists to their longest, numbers to
// their range, times to what they are written with. On the way in anything goes.

// whole is t in whole seconds, for the beginnings of things.
func whole(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.NewTime(t.UTC().Truncate(time.Second))
}

// wholeOrNil is whole, or nil when there is no time.
func wholeOrNil(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(whole(t))
}

// end is t in whole seconds and not before it, for the ends of things: nobody comes back too early for having
// read about it. Nil when there is none.
func end(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewTime(ceil(t.UTC(), time.Second)))
}

// micro is t in microseconds.
func micro(t time.Time) metav1.MicroTime {
	if t.IsZero() {
		return metav1.MicroTime{}
	}
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}

// microOrNil is micro, or nil when there is no time.
func microOrNil(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return new(micro(t))
}

// microEnd is the end of something in microseconds, not before it.
func microEnd(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewMicroTime(ceil(t.UTC(), time.Microsecond)))
}

func ceil(t time.Time, unit time.Duration) time.Time {
	if cut := t.Truncate(unit); !cut.Equal(t) {
		return cut.Add(unit)
	}
	return t.Truncate(unit) // without the monotonic reading
}

// fromWhole and the like read times. The zone that the decoder gave them means nothing.
func fromWhole(t *metav1.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return readable(t.UTC())
}

func fromMicro(t *metav1.MicroTime) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return readable(t.UTC())
}

// readable is t if it can be written again, and else none: a year of four digits may have another number of them
// once its zone is taken off.
func readable(t time.Time) time.Time {
	if year := t.Year(); year < 1 || year > 9998 {
		return time.Time{}
	}
	return t
}

// The longest texts that the schema admits, in characters.
const (
	maxMessage = 1024 // of a reason
	maxDetail  = 512  // of a failure
)

// clip is the beginning of text, of so many characters at most, and valid UTF-8: what comes from a provider
// may be anything.
func clip(text string, length int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= length {
		return text
	}
	letters := []rune(text)
	if len(letters) <= length {
		return text
	}
	return string(letters[:length-1]) + "…"
}

// newest are the last of a list that stands oldest first, so many at most.
func newest[T any](list []T, most int) []T { return list[max(len(list)-most, 0):] }

// first are the first of a list, so many at most.
func first[T any](list []T, most int) []T { return list[:min(len(list), most)] }

// mapped translates a list; nil when it is empty.
func mapped[From, To any](list []From, translate func(*From) To) []To {
	if len(list) == 0 {
		return nil
	}
	out := make([]To, len(list))
	for i := range list {
		out[i] = translate(&list[i])
	}
	return out
}

// count is n as a count: never negative.
func count(n int64) int64 { return max(n, 0) }

// within is n between least and most.
func within[T int | int64](n, least, most T) int32 { return int32(min(max(n, least), most)) }

// Money reads an amount in nano-dollars. What cannot be read, and what is absent, is none.
func Money(text v1alpha1.Money) int64 {
	nanos, err := pricing.Parse(string(text))
	if err != nil {
		return 0
	}
	return nanos
}

// APIMoney writes an amount in nano-dollars.
func APIMoney(nanos int64) v1alpha1.Money { return v1alpha1.Money(pricing.Format(nanos)) }

// moneyOrNone is APIMoney, or nothing for nothing.
func moneyOrNone(nanos int64) v1alpha1.Money {
	if nanos <= 0 {
		return ""
	}
	return APIMoney(nanos)
}

// A Ratio is written with four digits behind the point, and is parts of a million inside.
const (
	million     = 1_000_000
	ratioUnit   = 100 // the smallest that can be written, in parts of a million
	ratioDigits = 4
)

// Ratio reads a share as parts of a million; false when it is none.
func Ratio(text v1alpha1.Ratio) (int64, bool) {
	// The pattern of a Ratio is that of Money with a bound.
	nanos, err := pricing.Parse(string(text))
	parts := nanos / (pricing.Dollar / million)
	if err != nil || parts > million {
		return 0, false
	}
	return parts, true
}

// APIRatio writes parts of a million as a share, to the nearest ten-thousandth; more than nothing is never
// written as nothing.
func APIRatio(parts int64) v1alpha1.Ratio {
	parts = min(max(parts, 0), million)
	steps := (parts + ratioUnit/2) / ratioUnit
	if parts > 0 {
		steps = max(steps, 1)
	}
	return v1alpha1.Ratio(pricing.Format(steps * ratioUnit * (pricing.Dollar / million)))
}

// APIDuration writes a length of time in whole milliseconds, rounded up, at most 99999h.
func APIDuration(d time.Duration) v1alpha1.Duration {
	d = min(max(d, 0), maxDuration)
	ms := int64((d + time.Millisecond - 1) / time.Millisecond)
	var text strings.Builder
	for _, unit := range [...]struct {
		suffix string
		length int64
	}{{"h", 3_600_000}, {"m", 60_000}, {"s", 1000}, {"ms", 1}} {
		if n := ms / unit.length; n > 0 {
			text.WriteString(strconv.FormatInt(n, 10) + unit.suffix)
		}
		ms %= unit.length
	}
	if text.Len() == 0 {
		return "0s"
	}
	return v1alpha1.Duration(text.String())
}

// maxDuration is the longest that five digits of hours can say, and that is enough.
const maxDuration = 99999 * time.Hour

// counter is n for a field of 32 bits.
func counter(n int) int32 { return within(n, 0, math.MaxInt32) }
