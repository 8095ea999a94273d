// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// backend is who answers behind an endpoint.
type backend interface {
	// url is the base of its API.
	url() string
	// arm lets the case begin: until then it answers everybody well, and nothing of that is counted.
	arm() error
	// requests is how many it got, left how many of those were given up by who had asked.
	requests() int
	left() int
	// busy is how many it is working on.
	busy() int
	close()
}

// start runs who answers behind an endpoint.
func (p *Provider) start() (backend, error) {
	switch {
	case p.Place != nil:
		return p.Place()
	case p.Script != nil:
		return startScripted(p.Script)
	}
	return startSimulated(p.Rules, nil)
}

// simulated is a provider of package modelsim.
type simulated struct {
	server *modelsim.Server
	rules  []modelsim.Rule
	before atomic.Int64
}

func startSimulated(rules []modelsim.Rule, secure *tls.Config) (backend, error) {
	config := modelsim.DefaultConfig()
	config.Timing.Tokens = 8
	server, err := modelsim.Start(context.Background(), config, "127.0.0.1:0", secure)
	if err != nil {
		return nil, err
	}
	return &simulated{server: server, rules: rules}, nil
}

func (s *simulated) url() string { return s.server.URL() + "/v1" }

func (s *simulated) arm() error {
	s.before.Store(s.server.Sim.State().Requests)
	for _, r := range s.rules {
		if _, err := s.server.Sim.AddRule(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulated) requests() int { return int(s.server.Sim.State().Requests - s.before.Load()) }
func (s *simulated) left() int     { return int(s.server.Sim.State().Cancelled) }
func (s *simulated) busy() int     { return int(s.server.Sim.State().InFlight) }
func (s *simulated) close()        { s.server.Close() }

// Script answers one request as it likes, and reports whether the connection may be used again.
type Script func(c *Call) (again bool)

// Call is one request to a provider with a script. What is written to it goes out as it is.
type Call struct {
	net.Conn
	// Number counts the requests from 1, Body is what was asked, At when it was there.
	Number int
	Body   string
	At     time.Time

	provider *scriptedProvider
	// lost is true once who asked was found to be gone.
	lost bool
}

// Write implements io.Writer, and counts.
func (c *Call) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.provider.written.Add(int64(n))
	c.lost = c.lost || err != nil
	return n, err
}

// say sends a whole answer of JSON. headers are further ones, each with its line's end.
func (c *Call) say(status int, headers, body string) bool {
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), headers, len(body), body)
	return err == nil
}

// begin sends the head of a stream.
func (c *Call) begin() {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n") // who is gone is noticed later
}

// send sends bytes of a stream, and reports whether anybody still takes them.
func (c *Call) send(text string) bool {
	_, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(text), text)
	return err == nil
}

// end completes the HTTP message of a stream.
func (c *Call) end() bool {
	_, err := io.WriteString(c, "0\r\n\r\n")
	return err == nil
}

// untilLeft waits until who asked is gone.
func (c *Call) untilLeft() bool {
	_, _ = c.Read(make([]byte, 1)) // nothing comes before the answer
	c.lost = true
	return false
}

// scriptedProvider is a provider that does what its script says, on a real socket.
type scriptedProvider struct {
	listener net.Listener
	script   Script
	armed    atomic.Bool
	serving  sync.WaitGroup
	written  atomic.Int64

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	calls []*Call
	// gates hold calls back until the case opens them; over is closed when the provider is.
	gates map[int]chan struct{}
	over  chan struct{}
	// going is how many calls have not ended, gone when those were noticed to be given up that were.
	going int
	gone  []time.Time
}

func startScripted(script Script) (backend, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &scriptedProvider{listener: listener, script: script, conns: map[net.Conn]bool{}, gates: map[int]chan struct{}{}, over: make(chan struct{})}
	s.serving.Go(s.accept)
	return s, nil
}

func (s *scriptedProvider) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.serving.Go(func() {
			defer func() {
				_ = conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			}()
			s.serve(conn)
		})
	}
}

// serve answers the requests of one connection.
func (s *scriptedProvider) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		c := &Call{Conn: conn, Body: string(body), At: time.Now(), provider: s}
		if !s.armed.Load() {
			if !c.say(http.StatusOK, "", wholeAnswer) {
				return
			}
			continue
		}
		s.mu.Lock()
		s.calls = append(s.calls, c)
		s.going++
		c.Number = len(s.calls)
		s.mu.Unlock()
		again := s.script(c)
		s.mu.Lock()
		s.going--
		if c.lost {
			s.gone = append(s.gone, time.Now())
		}
		s.mu.Unlock()
		if !again {
			return
		}
	}
}

func (s *scriptedProvider) url() string { return "http://" + s.listener.Addr().String() + "/v1" }
func (s *scriptedProvider) arm() error  { s.armed.Store(true); return nil }

func (s *scriptedProvider) requests() int { return len(s.heard()) }

// gate is one of the provider's gates.
func (s *scriptedProvider) gate(n int) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates[n] == nil {
		s.gates[n] = make(chan struct{})
	}
	return s.gates[n]
}

// open lets the calls through that wait at a gate.
func (s *scriptedProvider) open(n int) { close(s.gate(n)) }

// wait waits at a gate.
func (c *Call) wait(n int) {
	select {
	case <-c.provider.gate(n):
	case <-c.provider.over:
	}
}

// heard are the requests so far.
func (s *scriptedProvider) heard() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.calls)
}

func (s *scriptedProvider) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.gone)
}

// lastGone is when the provider last noticed that who had asked was gone.
func (s *scriptedProvider) lastGone() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[len(s.gone)-1]
}

func (s *scriptedProvider) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.going
}

func (s *scriptedProvider) close() {
	close(s.over)
	_ = s.listener.Close() // it is to end
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close() // the same
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// says is a script that always gives the same answer.
func says(status int, body string) Script { return saysWith(status, "", body) }

// saysWith is says with further headers, each with its line's end.
func saysWith(status int, headers, body string) Script {
	return func(c *Call) bool { return c.say(status, headers, body) }
}

// streams is a script that sends these frames and ends.
func streams(frames ...string) Script {
	return func(c *Call) bool {
		c.begin()
		return c.send(strings.Join(frames, "")) && c.end()
	}
}

// breaksAfter is a script that sends these frames and closes the connection.
func breaksAfter(frames ...string) Script {
	return func(c *Call) bool {
		c.begin()
		c.send(strings.Join(frames, ""))
		return false
	}
}

// inTurn is a script that gives each request to the next of several; the last takes all further ones.
func inTurn(scripts ...Script) Script {
	return func(c *Call) bool { return scripts[min(c.Number, len(scripts))-1](c) }
}

// gated is a script that begins once the first gate is open.
func gated(script Script) Script {
	return func(c *Call) bool {
		c.wait(0)
		return script(c)
	}
}

// answersEither is a script that answers well, whole or streamed.
func answersEither(c *Call) bool {
	if strings.Contains(c.Body, `"stream":true`) {
		return streams(role, word, finish, done)(c)
	}
	return c.say(http.StatusOK, "", wholeAnswer)
}

// Frames of a stream, and an answer in one piece.
const (
	role   = `data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	word   = `data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}` + "\n\n"
	finish = `data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usage  = `data: {"id":"x","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}` + "\n\n"
	done   = "data: [DONE]\n\n"

	wholeAnswer = `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}`
)

// apiError is an error in OpenAI's shape.
func apiError(kind, code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%s}}`, message, kind, orNull(code))
}

func orNull(code string) string {
	if code == "" {
		return "null"
	}
	return fmt.Sprintf("%q", code)
}

// Place is where no provider answers.
type Place func() (backend, error)

// nowhere is a backend that never hears of a request.
type nowhere struct {
	address string
	closing func()
}

func (n *nowhere) url() string { return n.address }
func (*nowhere) arm() error    { return nil }
func (*nowhere) requests() int { return 0 }
func (*nowhere) left() int     { return 0 }
func (*nowhere) busy() int     { return 0 }
func (n *nowhere) close()      { n.closing() }

// unresolved is a host that no resolver knows: names that end so are of another network (RFC 7686), and nobody is asked.
func unresolved() (backend, error) {
	return &nowhere{address: "http://nobody.onion/v1", closing: func() {}}, nil
}

// sorted are the keys of a table in order.
func sorted[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }

// bound is a socket that nobody listens on. As long as it lives, nobody else can.
func bound() (fd int, address string, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, "", err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, "", err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, "", err
	}
	at, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, "", fmt.Errorf("%T is no address of IPv4", name)
	}
	return fd, netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)).String(), nil //nolint:gosec // ports fit
}

// refused is a port that refuses connections.
func refused() (backend, error) {
	fd, address, err := bound()
	return &nowhere{address: "http://" + address + "/v1", closing: func() { _ = syscall.Close(fd) }}, err
}

// blackHole is a port at which connecting neither succeeds nor fails: its queue of connections is full, and nobody
// takes any.
func blackHole() (backend, error) {
	fd, address, err := bound()
	if err != nil {
		return nil, err
	}
	if err := syscall.Listen(fd, 0); err != nil {
		return nil, err
	}
	var waiting []net.Conn
	dialer := net.Dialer{Timeout: 300 * time.Millisecond}
	for full := false; !full; {
		if conn, err := dialer.DialContext(context.Background(), "tcp", address); err == nil {
			waiting = append(waiting, conn)
		} else {
			full = true
		}
	}
	return &nowhere{address: "http://" + address + "/v1", closing: func() {
		for _, conn := range waiting {
			_ = conn.Close()
		}
		_ = syscall.Close(fd)
	}}, nil
}

// silentHandshake takes connections and says nothing, so that TLS never begins.
func silentHandshake() (backend, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// The kernel takes them; nobody has to accept.
	return &nowhere{address: "https://" + listener.Addr().String() + "/v1", closing: func() { _ = listener.Close() }}, nil
}

// noTLS is a provider that speaks plain HTTP where TLS is expected.
func noTLS() (backend, error) {
	sim, err := startSimulated(nil, nil)
	if err != nil {
		return nil, err
	}
	return &nowhere{address: strings.Replace(sim.url(), "http://", "https://", 1), closing: sim.close}, nil
}

// untrusted is a provider whose certificate nobody has signed.
func untrusted() (backend, error) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	defer certified.Close()
	return startSimulated(nil, &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
}
