// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"fmt"
	"regexp"
	"strings"
)

// A document marks the place of a table with two comments: <!-- evidence:topic/table --> and
// <!-- /evidence -->. What stands between them is rendered.
var place = regexp.MustCompile(`(?s)(<!-- evidence:([a-z0-9-]+)/([a-z0-9-]+) -->\n).*?(<!-- /evidence -->)`)

// Document returns text with every table in it rendered from the records.
func Document(text string, records map[string]*Record) (string, error) {
	var failed error
	out := place.ReplaceAllStringFunc(text, func(found string) string {
		m := place.FindStringSubmatch(found)
		record := records[m[2]]
		if record == nil {
			failed = fmt.Errorf("docs/evidence/%s.json does not exist", m[2])
			return found
		}
		table, err := record.Markdown(m[3])
		if err != nil {
			failed = err
			return found
		}
		return m[1] + table + m[4]
	})
	if n := strings.Count(text, "<!-- evidence:"); failed == nil && n != len(place.FindAllString(text, -1)) {
		return text, fmt.Errorf("a place for a table is not closed by <!-- /evidence -->, or misspelt")
	}
	return out, failed
}
