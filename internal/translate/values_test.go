// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// The API admits any time that can be written. Taking its zone off can leave a year that cannot.
func TestTimesThatCannotBeWrittenAgainAreNone(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		none bool
	}{
		"an ordinary one":                      {"2026-11-25T00:00:00.000000+01:00", false},
		"one that is in the year 10000 in UTC": {"9999-12-31T23:59:59.000000-23:00", true},
		"one that is before the year 0 in UTC": {"0000-01-01T00:00:00.000000+23:00", true},
		"one that is before the year 1 in UTC": {"0001-01-01T00:00:00.000000+23:00", true},
		"the time that stands for none at all": {"0001-01-01T00:00:00.000000Z", true},
	} {
		t.Run(name, func(t *testing.T) {
			var from v1alpha1.EndpointNumbers
			text := `{"lastFailure":"` + tt.text + `","recent":[{"time":"` + tt.text + `"}],"quota":[{"start":"` + tt.text + `"}]}`
			if err := json.Unmarshal([]byte(text), &from); err != nil {
				t.Fatal(err)
			}
			n := Numbers(&from)
			for _, at := range []time.Time{n.LastFailure, n.Recent[0].At, n.Quota[0].Start} {
				if at.IsZero() != tt.none {
					t.Errorf("read as %s", at)
				}
			}
		})
	}
}
