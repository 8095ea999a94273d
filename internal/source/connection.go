// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
)

const (
	// probeEvery and probeTimeout bound how long an API server can be silent before that is noticed: a watch
	// on which nothing arrives looks the same whether nothing happens or the other side is gone. HTTP/2's own
	// pings take three times as long.
	probeEvery   = 10 * time.Second
	probeTimeout = 5 * time.Second
	dialTimeout  = 5 * time.Second
	// queries per second, and in a burst, that one process may send. Every namespace with Secrets takes two
	// to start, so the default of 5 would make a start with 500 namespaces last for minutes.
	queries, queriesBurst = 200, 400
)

// connection is how the source reaches the API server. All its requests share one set of TCP connections, so
// that a probe speaks for the watches beside it.
type connection struct {
	config *rest.Config
	http   *http.Client
	dialer *connrotation.Dialer
	// livez is the address of the API server's own health.
	livez string
}

func newConnection(config *rest.Config) (*connection, error) {
	config = rest.CopyConfig(config)
	dial := config.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	dialer := connrotation.NewDialer(dial)
	config.Dial = dialer.DialContext
	config.QPS, config.Burst = queries, queriesBurst
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	return &connection{config: config, http: httpClient, dialer: dialer, livez: base.JoinPath("livez").String()}, nil
}

// probe returns nil when the API server answers at all, be it with a refusal.
func (c *connection) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.livez, http.NoBody)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// listen asks for a sign of life now and then, until ctx ends. Without one every stream counts as in trouble
// since the question, and all connections are closed, so that the watches on them end and start anew. While a
// stream is in trouble nothing is asked: its own tries tell as much, and must not be cut off.
func (s *Source) listen(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.troubled() {
			continue
		}
		since := time.Now()
		err := s.connection.probe(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.mu.Lock()
		for _, stream := range s.streams {
			s.contact.answered(stream, err, since)
		}
		s.mu.Unlock()
		s.wake()
		s.connection.dialer.CloseAll()
	}
}

func (s *Source) troubled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, troubled := s.contact.oldest()
	return troubled
}
