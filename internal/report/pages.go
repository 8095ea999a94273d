// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// MaxPages is how many pages the API allows for one process.
	MaxPages = 64
	// PageEndpoints is how many endpoints share a page. An endpoint stays on its page while what is said of it
	// grows, so a page is full long before its size is at the bound: usage alone is at most 4 KB for each.
	PageEndpoints = 128
	// MaxPageBytes bounds the numbers of one page, as JSON. What does not fit is left out (see fit), usage never.
	MaxPageBytes = 512 << 10
)

// layout says which page an endpoint is on. It stays there for as long as the instance lives: on two pages at
// once it would count twice for whoever reads one before and one after.
type layout struct {
	pageOf map[string]int
}

// place puts numbers on their pages, and new endpoints on the first free place. left is how many have none.
func (l *layout) place(numbers []modelstate.Numbers) (sheets [][]modelstate.Numbers, left int) {
	for i := range numbers {
		uid := numbers[i].Endpoint
		page, known := l.pageOf[uid]
		if !known {
			if len(l.pageOf) == MaxPages*PageEndpoints {
				left++
				continue
			}
			page = len(l.pageOf) / PageEndpoints
			l.pageOf[uid] = page
		}
		for len(sheets) <= page {
			sheets = append(sheets, nil)
		}
		sheets[page] = append(sheets[page], numbers[i])
	}
	return sheets, left
}

// write turns a page's numbers into what the API takes.
func write(numbers []modelstate.Numbers) []v1alpha1.EndpointNumbers {
	sheet := make([]v1alpha1.EndpointNumbers, len(numbers))
	for i := range numbers {
		sheet[i] = translate.APINumbers(numbers[i])
	}
	return sheet
}

// dispensable are the parts of a report that decide nothing about money, the most expendable first.
var dispensable = []func(*v1alpha1.EndpointNumbers){
	func(n *v1alpha1.EndpointNumbers) { n.FirstToken, n.Total = nil, nil },
	func(n *v1alpha1.EndpointNumbers) { n.Recent, n.LastFailureMessage = nil, "" },
	func(n *v1alpha1.EndpointNumbers) { n.Window = nil },
}

// fit leaves out of a page what is dispensable until it is within the bound, in a fixed order so that the same
// numbers always look the same, and returns its size.
func fit(sheet []v1alpha1.EndpointNumbers, bound int) int {
	size := len("[]")
	sizes := make([]int, len(sheet))
	for i := range sheet {
		sizes[i] = sizeOf(&sheet[i]) + len(",")
		size += sizes[i]
	}
	for _, drop := range dispensable {
		for i := range sheet {
			if size <= bound {
				return size
			}
			drop(&sheet[i])
			smaller := sizeOf(&sheet[i]) + len(",")
			size -= sizes[i] - smaller
			sizes[i] = smaller
		}
	}
	return size
}

// sameSheet reports whether a page says what was written before. That old buckets have left the window is no
// change: whoever reads them knows what time it is, and an idle proxy must come to rest.
func sameSheet(before, now []v1alpha1.EndpointNumbers) bool {
	return slices.EqualFunc(before, now, func(b, n v1alpha1.EndpointNumbers) bool {
		b.Window = since(b.Window, n.Window)
		return equality.Semantic.DeepEqual(&b, &n)
	})
}

// since is what is left of an older window in a newer one.
func since(before, now []v1alpha1.WindowBucket) []v1alpha1.WindowBucket {
	if len(now) == 0 {
		return nil
	}
	first := slices.IndexFunc(before, func(b v1alpha1.WindowBucket) bool { return b.Start >= now[0].Start })
	if first < 0 {
		return nil
	}
	return before[first:]
}
