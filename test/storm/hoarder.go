// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// hoarder is a proxy that does wrong what the one under test must not: it takes an answer as fast as the provider
// gives it, however slowly its caller reads.
type hoarder roleEndpoint

// ServeHTTP implements http.Handler.
func (h hoarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, longest))
	if err != nil {
		return
	}
	body = bytes.Replace(body, []byte(policyInOrder), []byte(upstreamModel), 1)
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, h.URL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Authorization", "Bearer "+h.Key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }() // it ends with the caller
	var hoard hoard
	go func() {
		_, _ = io.Copy(&hoard, response.Body) // an answer that breaks off is the caller's to notice
		hoard.end()
	}()
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	for chunk := hoard.take(); chunk != nil; chunk = hoard.take() {
		if _, err := w.Write(chunk); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
	}
}

// hoard is what has come and was not given away yet.
type hoard struct {
	mu    sync.Mutex
	more  sync.Cond
	held  []byte
	ended bool
}

// Write implements io.Writer.
func (h *hoard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, p...)
	h.more.L = &h.mu
	h.more.Broadcast()
	return len(p), nil
}

func (h *hoard) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.more.L = &h.mu
	h.more.Broadcast()
}

// take waits for something and gives a piece of it; nil at the end.
func (h *hoard) take() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.more.L = &h.mu
	for len(h.held) == 0 && !h.ended {
		h.more.Wait()
	}
	if len(h.held) == 0 {
		return nil
	}
	chunk := h.held[:min(len(h.held), 4<<10)]
	h.held = h.held[len(chunk):]
	return chunk
}
