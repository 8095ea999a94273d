// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package pricing

import (
	"math"
	"math/big"
	"regexp"
	"testing"
)

func TestCost(t *testing.T) {
	// $2.50 a million tokens in, $0.25 of them cached, $10 out, as many providers charge.
	usual := Price{Input: 2_500_000_000, CachedInput: 250_000_000, Output: 10_000_000_000}
	for name, tc := range map[string]struct {
		price                 Price
		input, cached, output int64
		want                  int64
	}{
		"nothing used costs nothing":                  {price: usual},
		"a million tokens cost the price":             {price: usual, input: 1_000_000, want: 2_500_000_000},
		"input and output add up":                     {price: usual, input: 1000, output: 500, want: 2_500_000 + 5_000_000},
		"cached input is part of input":               {price: usual, input: 1000, cached: 400, want: 600*2500 + 400*250},
		"more cached than read is all of it":          {price: usual, input: 10, cached: 1000, want: 10 * 250},
		"what is free costs nothing":                  {input: 1_000_000, cached: 3, output: 1_000_000},
		"a request has a price of its own":            {price: Price{Request: 5_000_000}, want: 5_000_000},
		"half a nano-dollar is rounded up":            {price: Price{Input: 500_000}, input: 1, want: 1},
		"less than half is not":                       {price: Price{Input: 499_999}, input: 1, want: 0},
		"parts are added up before they are rounded":  {price: Price{Input: 250_000, Output: 250_000}, input: 1, output: 1, want: 1},
		"negative counts and prices are none":         {price: Price{Input: 1_000_000, Output: -5, Request: -7}, input: -3, cached: -2, output: 9},
		"the largest count at the largest price":      {price: Price{Input: Max}, input: math.MaxInt64, want: math.MaxInt64},
		"a sum above the largest is the largest":      {price: Price{Input: 1_000_000, Request: Max}, input: math.MaxInt64, want: math.MaxInt64},
		"three products at their largest do not wrap": {price: Price{Input: math.MaxInt64, CachedInput: math.MaxInt64, Output: math.MaxInt64}, input: math.MaxInt64, cached: math.MaxInt64 / 2, output: math.MaxInt64, want: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.price.Cost(tc.input, tc.cached, tc.output); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// exact is what Cost promises, in fractions of any size.
func exact(p Price, input, cached, output int64) int64 {
	part := func(tokens, price int64) *big.Rat {
		return new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(max(tokens, 0)), big.NewInt(max(price, 0))), big.NewInt(1_000_000))
	}
	input = max(input, 0)
	cached = min(max(cached, 0), input)
	sum := part(input-cached, p.Input)
	sum.Add(sum, part(cached, p.CachedInput))
	sum.Add(sum, part(output, p.Output))
	sum.Add(sum, big.NewRat(1, 2))
	whole := new(big.Int).Div(sum.Num(), sum.Denom())
	whole.Add(whole, big.NewInt(max(p.Request, 0)))
	if !whole.IsInt64() {
		return math.MaxInt64
	}
	return whole.Int64()
}

func FuzzCost(f *testing.F) {
	f.Add(int64(2_500_000_000), int64(250_000_000), int64(10_000_000_000), int64(0), int64(1234), int64(1000), int64(77))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(3), int64(math.MaxInt64))
	f.Add(int64(499_999), int64(1), int64(500_000), int64(-1), int64(1), int64(-1), int64(1))
	f.Add(int64(1), int64(1), int64(1), int64(1), int64(math.MaxInt64), int64(0), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, in, cachedIn, out, request, input, cached, output int64) {
		p := Price{Input: in, CachedInput: cachedIn, Output: out, Request: request}
		if got, want := p.Cost(input, cached, output), exact(p, input, cached, output); got != want {
			t.Errorf("%+v for %d, %d, %d: got %d, want %d", p, input, cached, output, got, want)
		}
	})
}

func TestParseAndFormat(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		nanos int64
		// short is how it is written, when that differs.
		short string
	}{
		"nothing":                       {text: "0"},
		"nothing, with digits":          {text: "0.00", short: "0"},
		"dollars":                       {text: "15", nanos: 15 * Dollar},
		"cents":                         {text: "1.25", nanos: 1_250_000_000},
		"zeros at the end mean nothing": {text: "2.50", nanos: 2_500_000_000, short: "2.5"},
		"a nano-dollar":                 {text: "0.000000001", nanos: 1},
		"zeros behind the point":        {text: "1.000000005", nanos: 1_000_000_005},
		"the largest":                   {text: "999999999.999999999", nanos: Max},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.text)
			if err != nil || got != tc.nanos {
				t.Errorf("Parse gives %d, %v, want %d", got, err, tc.nanos)
			}
			want := tc.short
			if want == "" {
				want = tc.text
			}
			if got := Format(tc.nanos); got != want {
				t.Errorf("Format gives %s, want %s", got, want)
			}
		})
	}
}

func TestWhatIsNoAmountIsRefusedWithASentence(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "a sign": "-1", "another sign": "+1", "a currency": "$1", "an exponent": "1e3", "a comma": "1,5",
		"nothing before the point": ".5", "nothing behind it": "1.", "two points": "1.2.3", "leading zeros": "01",
		"ten digits": "1000000000", "ten digits behind the point": "0.0000000001", "white space": "1 ", "other digits": "١",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Parse(text); err == nil {
				t.Errorf("%q is %d", text, got)
			}
		})
	}
	const want = `"2,50 $" is not an amount of US dollars; write a decimal number with at most nine digits before the point and nine behind it, such as 2.50, without a sign, a currency or an exponent`
	if _, err := Parse("2,50 $"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAnAmountThatCannotBeWrittenIsTheNearestThatCan(t *testing.T) {
	for nanos, want := range map[int64]string{-1: "0", math.MinInt64: "0", Max + 1: "999999999.999999999", math.MaxInt64: "999999999.999999999"} {
		if got := Format(nanos); got != want {
			t.Errorf("%d is %s, want %s", nanos, got, want)
		}
	}
}

// schema is the pattern of Money in the API.
var schema = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})([.][0-9]{1,9})?$`)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0", "2.50", "0.000000001", "999999999.999999999", "1e9", "-0", "00", "1_000", ".", "1.0000000000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text)
		if admitted := schema.MatchString(text); admitted != (err == nil) {
			t.Fatalf("%q: the schema admits it: %v, but Parse says %v", text, admitted, err)
		}
		if err != nil {
			return
		}
		want, _ := new(big.Rat).SetString(text)
		if new(big.Rat).SetFrac64(got, Dollar).Cmp(want) != 0 {
			t.Fatalf("%q is %d", text, got)
		}
		written := Format(got)
		if again, err := Parse(written); err != nil || again != got || len(written) > len(text) {
			t.Fatalf("%q is written as %q, which is %d (%v)", text, written, again, err)
		}
	})
}

func BenchmarkCost(b *testing.B) {
	p := Price{Input: 2_500_000_000, CachedInput: 250_000_000, Output: 10_000_000_000, Request: 1}
	b.ReportAllocs()
	for b.Loop() {
		p.Cost(12_345, 6789, 321)
	}
}

func BenchmarkFormat(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Format(1_234_567_890)
	}
}
