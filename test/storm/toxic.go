// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// toxicServer is what toxiproxy asks for to start a link; no server runs.
var toxicServer = &toxiproxy.ApiServer{Metrics: toxiproxy.NewMetricsContainer(nil)}

// climate is a set of toxics for connections to come. Toxiproxy can also add and remove toxics on connections that
// are in use, but it holds a lock while it waits for each of them, and a connection that breaks at that moment waits
// for the lock: both then wait for ever. So a set never changes once it has connections.
type climate struct {
	proxy *toxiproxy.Proxy
	// toxic: there is more than the gate.
	toxic bool
}

func newClimate(wire string, all []toxic) (*climate, error) {
	c := &climate{proxy: &toxiproxy.Proxy{Name: wire}, toxic: len(all) > 0}
	c.proxy.Toxics = toxiproxy.NewToxicCollection(c.proxy)
	gates := []toxic{
		{gateType, downstream, fmt.Sprintf(`{"wire":%q}`, wire)},
		{gateType, upstream, fmt.Sprintf(`{"wire":%q}`, wire)},
	}
	for _, t := range append(gates, all...) {
		text := fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":%s}`, t.kind, t.stream, t.attributes)
		if _, err := c.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return nil, fmt.Errorf("toxic %s: %w", text, err)
		}
	}
	return c, nil
}

// gateType is the toxic that every connection has.
const gateType = "gate"

func init() { toxics.Register(gateType, new(gateToxic)) } //nolint:gochecknoinits // where toxiproxy looks for types

// gates are *atomic.Bool by name of the wire; a gate that is shut swallows. Toxiproxy makes toxics from JSON, so they
// find their gate by name.
var gates sync.Map

// gateToxic swallows what passes while its gate is shut, also on connections that were opened before: toxiproxy's own
// timeout can only do so from the beginning of a connection.
type gateToxic struct {
	Wire string `json:"wire"`
}

// Pipe implements toxics.Toxic.
func (g *gateToxic) Pipe(stub *toxics.ToxicStub) {
	value, _ := gates.Load(g.Wire)
	shut := value.(*atomic.Bool)
	for {
		var c *stream.StreamChunk
		select {
		case <-stub.Interrupt:
			return
		case c = <-stub.Input:
		}
		if c == nil {
			stub.Close()
			return
		}
		if !shut.Load() {
			stub.Output <- c
		}
	}
}
