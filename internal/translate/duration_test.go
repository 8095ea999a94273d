// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"regexp"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

func TestDuration(t *testing.T) {
	for name, tc := range map[string]struct {
		text    v1alpha1.Duration
		want    time.Duration
		wantErr string
	}{
		"seconds":                          {text: "30s", want: 30 * time.Second},
		"milliseconds are not minutes":     {text: "250ms", want: 250 * time.Millisecond},
		"nothing at all is still a length": {text: "0s", want: 0},
		"four groups":                      {text: "1h2m3s4ms", want: time.Hour + 2*time.Minute + 3*time.Second + 4*time.Millisecond},
		"groups may repeat":                {text: "1m1m", want: 2 * time.Minute},
		"the longest that can be written":  {text: "99999h99999h99999h99999h", want: 4 * 99999 * time.Hour},
		"empty": {
			wantErr: `"" is not a duration; write up to four groups of at most five digits and a unit of h, m, s or ms, such as 1m30s`,
		},
		"days do not exist": {
			text: "1d", wantErr: `"1d" is not a duration; write up to four groups of at most five digits and a unit of h, m, s or ms, such as 1m30s`,
		},
		"what is too long to show is cut": {
			text:    "01234567890123456789012345678901234567890123456789",
			wantErr: `"01234567890123456789012345678901" is not a duration; write up to four groups of at most five digits and a unit of h, m, s or ms, such as 1m30s`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Duration(tc.text)
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("got %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// FuzzDuration compares with the two definitions there are: the pattern in the schema says which texts are
// durations, the standard library says how long they are.
func FuzzDuration(f *testing.F) {
	pattern := regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)
	for _, seed := range []string{"30s", "1h2m3s4ms", "250ms", "1.5s", "-1s", "1d", "", "1m1", "123456s", "1s1s1s1s1s", "5mm", "1s\n", "٣s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Duration(v1alpha1.Duration(text))
		if valid := pattern.MatchString(text); valid != (err == nil) {
			t.Fatalf("%q: the schema admits it: %v, but Duration says %v", text, valid, err)
		}
		if err != nil {
			return
		}
		want, err := time.ParseDuration(text)
		if err != nil || got != want {
			t.Fatalf("%q: got %v, want %v (%v)", text, got, want, err)
		}
	})
}
