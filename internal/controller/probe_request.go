// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/turnout-ai/turnout/internal/capability"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// maxProbeBody bounds what is read of an answer. Lists of models are long at providers of hundreds.
	maxProbeBody = 4 << 20
	// maxProbeHead bounds its head.
	maxProbeHead = 64 << 10
	// maxProbeProblem bounds the sentence about a failure, in bytes.
	maxProbeProblem = 400
	// bytesPerToken is how many bytes of a request make a token, where the provider does not say.
	bytesPerToken = 4
	// probeText is what a completing probe says.
	probeText = "ping"
	// operationEmbeddings is the path of embeddings.
	operationEmbeddings = "/embeddings"
)

// found is what one probe came to.
type found struct {
	// problem is a sentence; empty when the probe succeeded. Nothing of what the provider said is in it.
	problem   string
	modelSeen bool
	// counts says that the probe is a request like any other, attempted that something may have been sent;
	// usage is what it used then.
	counts, attempted bool
	usage             modelstate.Usage
}

// probe asks the endpoint's provider once.
func probe(ctx context.Context, endpoint *routing.Endpoint, spec translate.ProbeSpec, c clock.PassiveClock) found {
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	out := found{counts: spec.Type == translate.ProbeCompletion}
	request, err := newProbeRequest(ctx, endpoint, spec, &out)
	if err != nil {
		out.problem = "the request cannot be made: the url or the path of the probe is not valid"
		return out
	}
	client := probeClient(endpoint)
	defer client.CloseIdleConnections()
	begun := c.Now()
	answer, err := client.Do(request)
	if err != nil {
		out.problem = clip(describe(err, spec.Timeout), maxProbeProblem)
		out.charge(endpoint, request.ContentLength, nil)
		return out
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxProbeBody))
	switch {
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		out.problem = fmt.Sprintf("%d from %s", answer.StatusCode, endpoint.Host)
		out.charge(endpoint, 0, nil)
		return out
	case err != nil:
		out.problem = fmt.Sprintf("the answer of %s broke off after %s", endpoint.Host, c.Since(begun).Round(time.Millisecond))
		out.charge(endpoint, request.ContentLength, nil)
		return out
	}
	out.charge(endpoint, request.ContentLength, body)
	switch spec.Type {
	case translate.ProbeModels:
		out.modelSeen = listsModel(body, endpoint.Model)
	case translate.ProbeCompletion:
		out.modelSeen = true
	case translate.ProbePath:
	}
	return out
}

// newProbeRequest makes the request. A path is asked for without the credential: it is often served by
// something in front of the provider.
func newProbeRequest(ctx context.Context, endpoint *routing.Endpoint, spec translate.ProbeSpec, out *found) (*http.Request, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { out.attempted = true }})
	method, path := http.MethodGet, endpoint.BasePath+"/models"
	var body io.Reader = http.NoBody
	switch spec.Type {
	case translate.ProbePath:
		path = spec.Path
	case translate.ProbeCompletion:
		operation, text := completion(endpoint)
		method, path, body = http.MethodPost, endpoint.BasePath+operation, bytes.NewReader(text)
	case translate.ProbeModels:
	}
	request, err := http.NewRequestWithContext(ctx, method, endpoint.Scheme+"://"+endpoint.Address+path, body)
	if err != nil {
		return nil, err
	}
	request.Host = endpoint.Host
	request.Header.Set("User-Agent", "turnout-operator")
	request.Header.Set("Accept-Encoding", "identity")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	if endpoint.Credential.Header != "" && spec.Type != translate.ProbePath {
		request.Header[endpoint.Credential.Header] = []string{endpoint.Credential.Value.Reveal()}
	}
	return request, nil
}

// completion is the smallest request that has the model do something.
func completion(endpoint *routing.Endpoint) (operation string, body []byte) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	var text any = struct {
		Model     string    `json:"model"`
		Messages  []message `json:"messages"`
		MaxTokens int       `json:"max_tokens"`
	}{endpoint.Model, []message{{"user", probeText}}, 1}
	operation = "/chat/completions"
	if onlyRepresents(endpoint) {
		operation = operationEmbeddings
		text = struct {
			Model string `json:"model"`
			Input string `json:"input"`
		}{endpoint.Model, probeText}
	}
	body, err := json.Marshal(text)
	if err != nil {
		body = []byte("{}") // Strings and numbers can always be written.
	}
	return operation, body
}

// expectedUse is what a completing probe uses at most, as far as one can say beforehand.
func expectedUse(endpoint *routing.Endpoint) modelstate.Usage {
	operation, body := completion(endpoint)
	use := modelstate.Usage{Requests: 1, Tokens: modelstate.Tokens{Input: tokensOf(int64(len(body)))}}
	if operation != operationEmbeddings {
		use.Tokens.Output = 1
	}
	if endpoint.Priced {
		use.Cost = endpoint.Price.Cost(use.Tokens.Input, 0, use.Tokens.Output)
	}
	return use
}

// tokensOf estimates the tokens of a request by its length.
func tokensOf(size int64) int64 { return (size + bytesPerToken - 1) / bytesPerToken }

// onlyRepresents reports whether the endpoint makes embeddings and does not chat.
func onlyRepresents(endpoint *routing.Endpoint) bool {
	representation, err := capability.Resolve("representation")
	if err != nil || len(endpoint.Nodes) == 0 {
		return false
	}
	for _, node := range endpoint.Nodes {
		if !representation.Contains(node) {
			return false
		}
	}
	return true
}

// probeClient speaks to an endpoint as proxies do: HTTP/1.1, verified as its spec says, never to an address
// where clouds keep credentials, without following redirects, without a proxy of the environment.
func probeClient(endpoint *routing.Endpoint) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer().DialContext,
			TLSClientConfig:        tlsConfig(endpoint),
			TLSHandshakeTimeout:    routing.DefaultTimeouts.TLSHandshake,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxProbeHead,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func dialer() *net.Dialer {
	return &net.Dialer{Timeout: routing.DefaultTimeouts.Connect, Control: refuseMetadata}
}

// refuseMetadata sees the address after resolution, so that no name can lead to a cloud's credentials where an
// address in a URL could not.
func refuseMetadata(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q cannot be checked: %w", address, err)
	}
	if problem := routing.AddressProblem(ap.Addr()); problem != "" {
		return errors.New(problem)
	}
	return nil
}

func tlsConfig(endpoint *routing.Endpoint) *tls.Config {
	host, _, err := net.SplitHostPort(endpoint.Address)
	if err != nil {
		host = endpoint.Address
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         cmp.Or(endpoint.TLS.ServerName, host),
		RootCAs:            endpoint.TLS.Roots,
		InsecureSkipVerify: endpoint.TLS.InsecureSkipVerify, //nolint:gosec // the user asks for it
	}
}

// connect tries whether a connection can be made, and sends nothing on it.
func connect(ctx context.Context, endpoint *routing.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, routing.DefaultTimeouts.Connect+routing.DefaultTimeouts.TLSHandshake)
	defer cancel()
	conn, err := dialer().DialContext(ctx, "tcp", endpoint.Address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if endpoint.Scheme != "https" {
		return nil
	}
	return tls.Client(conn, tlsConfig(endpoint)).HandshakeContext(ctx)
}

// describe says in words why there is no answer. Nothing that the provider has sent is in it: a broken answer
// may repeat the key.
func describe(err error, timeout time.Duration) string {
	var netError net.Error
	switch dial, isDial := errors.AsType[*net.OpError](err); {
	case isDial && dial.Op == "dial":
		return "no connection: " + dial.Error()
	case isTLS(err):
		return "no connection: the certificate cannot be verified, or TLS is not spoken there"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netError) && netError.Timeout():
		return fmt.Sprintf("no answer within %s", timeout)
	default:
		return "no valid answer: the connection broke, or HTTP is not spoken there"
	}
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	return strings.Contains(err.Error(), "tls: ")
}

// listsModel reports whether a list of models has this one.
func listsModel(body []byte, model string) bool {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list) != nil {
		return false
	}
	for i := range list.Data {
		if list.Data[i].ID == model {
			return true
		}
	}
	return false
}

// charge counts an attempt. body is a successful answer; nil when there was none. sent is the size of the
// request, for an estimate where nobody says what it cost; 0 when the provider has refused it.
func (f *found) charge(endpoint *routing.Endpoint, sent int64, body []byte) {
	if !f.counts || !f.attempted {
		return
	}
	f.usage.Requests = 1
	var said struct {
		Usage *struct {
			Prompt     int64 `json:"prompt_tokens"`
			Completion int64 `json:"completion_tokens"`
			Input      struct {
				Cached int64 `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
			Output struct {
				Reasoning int64 `json:"reasoning_tokens"`
			} `json:"completion_tokens_details"`
		} `json:"usage"`
	}
	known := body != nil && json.Unmarshal(body, &said) == nil && said.Usage != nil
	switch {
	case known:
		f.usage.Tokens = modelstate.Tokens{
			Input: max(said.Usage.Prompt, 0), CachedInput: max(said.Usage.Input.Cached, 0),
			Output: max(said.Usage.Completion, 0), Reasoning: max(said.Usage.Output.Reasoning, 0),
		}
	case sent > 0:
		f.usage.Tokens = modelstate.Tokens{Input: tokensOf(sent)}
		if body != nil {
			f.usage.Tokens.Output = 1
		}
	default:
		return
	}
	if endpoint.Priced {
		f.usage.Cost = endpoint.Price.Cost(f.usage.Tokens.Input, f.usage.Tokens.CachedInput, f.usage.Tokens.Output)
	}
	if !known {
		f.usage.Estimated = modelstate.Estimate{Requests: 1, Tokens: f.usage.Tokens, Cost: f.usage.Cost}
	}
}
