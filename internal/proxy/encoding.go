// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
)

// decoded returns the plain body of an answer. Providers are asked not to encode; one that does all the same
// is decoded, since its answer must be read for usage and errors, and the caller may not take the encoding.
func decoded(body io.Reader, encoding []byte) (io.Reader, error) {
	switch {
	case len(encoding) == 0, isHeader(encoding, "identity"):
		return body, nil
	case isHeader(encoding, "gzip"):
		return &lateReader{open: func() (io.Reader, error) { return gzip.NewReader(body) }}, nil
	case isHeader(encoding, "deflate"):
		return &lateReader{open: func() (io.Reader, error) { return zlib.NewReader(body) }}, nil
	case isHeader(encoding, "br"):
		return brotli.NewReader(body), nil
	}
	return nil, fmt.Errorf("the answer is encoded as %q", encoding)
}

// lateReader opens its reader at the first read: opening reads, and must happen under the read's deadline.
type lateReader struct {
	open   func() (io.Reader, error)
	reader io.Reader
}

// Read implements io.Reader.
func (l *lateReader) Read(p []byte) (int, error) {
	if l.reader == nil {
		reader, err := l.open()
		if err != nil {
			return 0, err
		}
		l.reader = reader
	}
	return l.reader.Read(p)
}
