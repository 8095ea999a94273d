// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
)

// The content codings.
const (
	codingGzip = "gzip"
	codingBr   = "br"
)

// streamEncoder encodes a stream; Flush makes everything written so far readable.
type streamEncoder interface {
	io.WriteCloser
	Flush() error
}

// identityEncoder is the streamEncoder that changes nothing.
type identityEncoder struct{ io.Writer }

func (identityEncoder) Flush() error { return nil }
func (identityEncoder) Close() error { return nil }

// coding is the content coding of an answer; empty is none. Preferences by q-values are not weighed: providers'
// front ends do not either, but a coding that is refused with q=0 is not used.
func (s *Sim) coding(r *http.Request) string {
	switch s.config.Compress {
	case CompressAlwaysGzip:
		return codingGzip
	case CompressAlwaysBr:
		return codingBr
	case CompressNegotiate:
		accepted := map[string]bool{}
		for offer := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
			name, quality, _ := strings.Cut(strings.TrimSpace(offer), ";")
			accepted[strings.ToLower(name)] = strings.ReplaceAll(quality, " ", "") != "q=0"
		}
		switch {
		case accepted[codingBr]:
			return codingBr
		case accepted[codingGzip]:
			return codingGzip
		}
	case CompressOff:
	}
	return ""
}

// encoder returns the encoder of an answer and sets its headers.
func (s *Sim) encoder(header http.Header, r *http.Request, w io.Writer) streamEncoder {
	if s.config.Compress == CompressNegotiate {
		header.Set("Vary", "Accept-Encoding")
	}
	coding := s.coding(r)
	if coding == "" {
		return identityEncoder{w}
	}
	header.Set("Content-Encoding", coding)
	if coding == codingBr {
		return brotli.NewWriterLevel(w, brotli.DefaultCompression)
	}
	return gzip.NewWriter(w)
}

// compress encodes a whole body and sets its headers. An empty body stays empty.
func (s *Sim) compress(header http.Header, r *http.Request, body []byte) []byte {
	if len(body) == 0 || s.config.Compress == CompressOff {
		return body
	}
	var out bytes.Buffer
	encoder := s.encoder(header, r, &out)
	// A bytes.Buffer does not fail.
	_, _ = encoder.Write(body)
	_ = encoder.Close()
	return out.Bytes()
}
