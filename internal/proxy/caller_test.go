// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/routing"
)

// leaves sends a request on a connection of its own, waits until the provider has it, and closes.
func leaves(t *testing.T, r *rig, stream bool) {
	t.Helper()
	body := chatBody
	if stream {
		body = streamBody
	}
	address := strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the provider never got the request", func() bool { return r.sims["a"].Sim.State().InFlight == 1 })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// rawProvider answers with a fixed text and remembers what it was sent.
func rawProvider(t *testing.T, answer string) (url string, got <-chan *http.Request) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	requests := make(chan *http.Request, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				requests <- request
				_, _ = conn.Write([]byte(answer))
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/v1", requests
}

const rawAnswer = `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`

// The caller's credential is for Turnout. A provider that saw it could use it.
func TestNothingOfTheCallersReachesTheProviderButWhatIsListed(t *testing.T) {
	url, got := rawProvider(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: canary=1\r\n"+
		"Openai-Organization: org-canary\r\nOpenai-Project: proj-canary\r\nX-Request-Id: req-1\r\nServer: canary\r\nContent-Length: %d\r\n\r\n%s", len(rawAnswer), rawAnswer))
	r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL = url })
	const canary = "canary-7f3a"
	answer := r.post("/chat/completions", chatBody,
		"Authorization", "Bearer "+canary, "X-Api-Key", canary, "Api-Key", canary, "Cookie", "a="+canary,
		"Proxy-Authorization", canary, "X-Forwarded-For", canary, "Openai-Organization", canary, "X-Custom", canary,
		"Accept-Encoding", "gzip, br", "Connection", "keep-alive, x-custom", "Te", "trailers",
		"Traceparent", "00-1-1-01", "Idempotency-Key", "once")
	if answer.status != 200 {
		t.Fatalf("status %d: %s", answer.status, answer.body)
	}
	request := <-got
	for name, values := range request.Header {
		if strings.Contains(strings.Join(values, " "), canary) {
			t.Errorf("header %s of the caller reached the provider", name)
		}
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer sk-a", "Accept-Encoding": "identity", "Traceparent": "00-1-1-01", "Idempotency-Key": "once",
	} {
		if v := request.Header.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	for _, name := range []string{"Set-Cookie", "Openai-Organization", "Openai-Project", "Server"} {
		if v := answer.header.Get(name); v != "" {
			t.Errorf("the provider's %s reached the caller: %q", name, v)
		}
	}
	if answer.header.Get("X-Request-Id") != "req-1" || answer.header.Get("X-Turnout-Request-Id") == "" {
		t.Errorf("ids of the request are missing: %v", answer.header)
	}
	if strings.Contains(r.log.String(), canary) {
		t.Error("the caller's credential is in the access log")
	}
}

// A provider that encodes its answers although it was asked not to must not blind the books or the caller.
func TestAnEncodedAnswerIsDecoded(t *testing.T) {
	for _, compress := range []modelsim.Compression{modelsim.CompressAlwaysGzip, modelsim.CompressAlwaysBr} {
		delivery(t, string(compress), func(t *testing.T, stream bool) {
			config := modelsim.DefaultConfig()
			config.Compress = compress
			sim, err := modelsim.Start(context.Background(), config, "127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sim.Close)
			r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL = sim.URL() + "/v1" })
			got := r.chat(stream)
			if got.status != 200 || got.err != nil || got.content() == "" || got.header.Get("Content-Encoding") != "" {
				t.Fatalf("status %d, error %v, encoding %q, body %q", got.status, got.err, got.header.Get("Content-Encoding"), got.body)
			}
			if !stream {
				eventually(t, "the usage of an encoded answer is not known", func() bool {
					return r.metric("turnout_tokens_total", "endpoint", "a", "type", "output") == 32
				})
			}
		})
	}
}

func TestWhatIsWrongWithARequestIsSaidInASentence(t *testing.T) {
	r := newRigWith(t, "a", proxy.Options{MaxBody: 2048, BodyBudget: 4096}, nil)
	long := `{"model":"chat","messages":[{"role":"user","content":"` + strings.Repeat("x", 3000) + `"}]}`
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		wantStatus int
		wantCode   string
		wantText   string
	}{
		"a name that nobody serves":        {"/chat/completions", `{"model":"chta","messages":[]}`, nil, 404, "model_not_found", "chat"},
		"a body that is no JSON":           {"/chat/completions", `{"model":"chat"`, nil, 400, "invalid_body", ""},
		"a model that is named twice":      {"/chat/completions", `{"model":"chat","mod\u0065l":"other","messages":[]}`, nil, 400, "invalid_body", "model"},
		"a model in other letters":         {"/chat/completions", `{"model":"chat","MODEL":"other","messages":[]}`, nil, 400, "invalid_body", "model"},
		"no body":                          {"/chat/completions", ``, nil, 400, "invalid_body", ""},
		"a body that is too large":         {"/chat/completions", long, nil, 413, "request_too_large", "max-body-bytes"},
		"a body that is encoded":           {"/chat/completions", chatBody, []string{"Content-Encoding", "gzip"}, 415, "unsupported_content_encoding", "plain JSON"},
		"a header that only looks like us": {"/chat/completions", chatBody, []string{"X-Turnout-Endpoint", "a"}, 400, "unknown_header", "X-Turnout-Endpoint"},
		"a path that does not exist":       {"/responses", chatBody, nil, 404, "unknown_url", "/v1/chat/completions"},
		"an operation nobody offers":       {"/embeddings", `{"model":"chat","input":"x"}`, nil, 404, "model_not_found", "chat"},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.post(c.path, c.body, c.headers...)
			if got.status != c.wantStatus || got.code() != c.wantCode || !strings.Contains(got.body, c.wantText) {
				t.Errorf("status %d, body %s; want %d, %s and %q", got.status, got.body, c.wantStatus, c.wantCode, c.wantText)
			}
			if got.header.Get("X-Should-Retry") != "false" {
				t.Error("the caller's library will repeat it for nothing")
			}
		})
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/chat/completions", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.do(request); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET: status %d, Allow %q", got.status, got.header.Get("Allow"))
	}
	if got := r.chat(false); got.status != 200 {
		t.Errorf("a good request after all the bad ones: %d", got.status)
	}
	if n := r.metric("turnout_request_body_bytes"); n != 0 {
		t.Errorf("%v bytes of bodies are still counted", n)
	}
}

// Bodies that are held for failover must not add up without end.
func TestAllBodiesTogetherAreBounded(t *testing.T) {
	r := newRigWith(t, "a", proxy.Options{MaxBody: 4096, BodyBudget: 4096}, nil)
	big := `{"model":"chat","messages":[{"role":"user","content":"` + strings.Repeat("x", 3000) + `"}]}`
	r.fault("a", "hang", 1)
	ctx, leave := context.WithCancel(t.Context())
	first, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/chat/completions", strings.NewReader(big))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(first)
		left <- err
	}()
	eventually(t, "the provider never got the request", func() bool { return r.requests("a") == 1 })
	if got := r.post("/chat/completions", big); got.status != 503 || got.code() != "body_budget_exhausted" || got.header.Get("Retry-After") == "" {
		t.Errorf("status %d, %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
	leave()
	if err := <-left; err == nil {
		t.Error("the hanging request was answered")
	}
	eventually(t, "the body of a caller that left is still counted", func() bool { return r.metric("turnout_request_body_bytes") == 0 })
	if got := r.post("/chat/completions", big); got.status != 200 {
		t.Errorf("after it: %d %s", got.status, got.body)
	}
}

// A body is paid for as it arrives: what is only announced must not keep others out.
func TestAnAnnouncedBodyHoldsNoMemory(t *testing.T) {
	r := newRigWith(t, "a", proxy.Options{MaxBody: 1 << 20, BodyBudget: 1 << 20}, nil)
	address := strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1")
	for range 8 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat(" ", 9000)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the uploads never began", func() bool { return r.metric("turnout_request_body_bytes") >= 8*9000 })
	if got := r.chat(false); got.status != 200 {
		t.Errorf("eight callers that announce a mebibyte each keep another out: %d %s", got.status, got.body)
	}
}

// Once an answer is committed nothing may hold the request's body, or a slow reader keeps it in memory.
func TestACommittedStreamLetsGoOfTheBody(t *testing.T) {
	// The simulated provider would keep the body in this very process; this one forgets it.
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-request.Context().Done()
	}))
	t.Cleanup(provider.Close)
	r := newRig(t, "a", func(in *routing.Input) {
		in.Endpoints[0].URL, in.Policies[0].Timeouts.Idle = provider.URL+"/v1", time.Hour
	})
	big := `{"model":"chat","stream":true,"user":"somebody","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
		strings.Repeat("AAAA", 2<<20) + `"}}]}]}`
	before := heap()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range 4 {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/chat/completions", strings.NewReader(big))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 200 {
			t.Fatalf("status %d", response.StatusCode)
		}
	}
	eventually(t, "four bodies of 8 MiB are still in memory", func() bool { return heap() < before+20<<20 })
	if n := r.metric("turnout_request_body_bytes"); n != 0 {
		t.Errorf("%v bytes are still counted", n)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestABodyOfUnknownLengthIsTaken(t *testing.T) {
	r := newRig(t, "a", nil)
	body := `{"model":"chat","messages":[{"role":"user","content":"` + strings.Repeat("y", 300_000) + `"}]}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/chat/completions", struct{ *strings.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = -1
	if got := r.do(request); got.status != 200 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if n := r.metric("turnout_request_body_bytes"); n != 0 {
		t.Errorf("%v bytes of bodies are still counted", n)
	}
}

// A bare name belongs to the caller's namespace: no tenant can take another's traffic.
func TestNamesBelongToTheirNamespace(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) {
		other := in.Endpoints[0]
		other.Key.Namespace, other.UID = "team", "uid-team-a"
		in.Endpoints = append(in.Endpoints, other)
		policy := in.Policies[0]
		policy.Key.Namespace, policy.UID, policy.Models = "team", "policy-team", []string{"chat", "theirs"}
		in.Policies = append(in.Policies, policy)
	})
	for model, want := range map[string]int{"chat": 200, "theirs": 404, "team/theirs": 200, "team/chat": 200, "default/theirs": 404} {
		if got := r.post("/chat/completions", strings.Replace(chatBody, "chat", model, 1)); got.status != want {
			t.Errorf("model %q: status %d, want %d (%s)", model, got.status, want, got.body)
		}
	}
}

func TestALargeAnswerIsPassedOnWhole(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) {
		in.Endpoints[0].Model, in.Endpoints[0].Capabilities = "sim-embed", []string{"text-embeddings"}
	})
	inputs := strings.Repeat(`"some text",`, 200) + `"the end"`
	got := r.post("/embeddings", `{"model":"chat","input":[`+inputs+`]}`)
	if got.status != 200 || got.err != nil || len(got.body) <= 1<<20 {
		t.Fatalf("status %d, error %v, %d bytes; want more than 1 MiB", got.status, got.err, len(got.body))
	}
	if n := strings.Count(got.body, `"object":"embedding"`); n != 201 || !strings.HasSuffix(strings.TrimSpace(got.body), "}") {
		t.Errorf("%d embeddings, want 201", n)
	}
}

func TestTheOfficialClientIsServed(t *testing.T) {
	r := newRig(t, "a b", func(in *routing.Input) {
		embed := in.Endpoints[1]
		embed.Key.Name, embed.UID, embed.Model, embed.Capabilities = "embed", "uid-embed", "sim-embed", []string{"text-embeddings"}
		in.Endpoints = append(in.Endpoints, embed)
		in.Policies = append(in.Policies, routing.PolicySpec{
			Key: routing.Key{Namespace: "default", Name: "embed"}, UID: "policy-embed", Models: []string{"embed"},
			Capability: "embeddings", Timeouts: calmTimeouts, Attempts: 3, Deadline: in.Policies[0].Deadline,
		})
	})
	r.sims["a"].Refuse(0)
	client := openai.NewClient(option.WithBaseURL(r.url), option.WithAPIKey("the caller's"), option.WithMaxRetries(0))
	ask := openai.ChatCompletionNewParams{Model: "chat", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")}}

	answer, err := client.Chat.Completions.New(t.Context(), ask)
	if err != nil || answer.Choices[0].Message.Content == "" {
		t.Fatalf("chat: %v, %v", answer, err)
	}
	stream, chunks := client.Chat.Completions.NewStreaming(t.Context(), ask), 0
	for stream.Next() {
		chunks++
	}
	if stream.Err() != nil || chunks < 10 {
		t.Fatalf("stream: %d chunks, %v", chunks, stream.Err())
	}
	vectors, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: "embed", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("text")},
	})
	if err != nil || len(vectors.Data[0].Embedding) == 0 {
		t.Fatalf("embeddings: %v", err)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) < 2 {
		t.Fatalf("models: %v, %v", models, err)
	}
	if _, err := client.Models.Get(t.Context(), "chat"); err != nil {
		t.Errorf("model: %v", err)
	}
	legacy, err := client.Completions.New(t.Context(), openai.CompletionNewParams{
		Model: "chat", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once")},
	})
	if err != nil || legacy.Choices[0].Text == "" {
		t.Errorf("completions: %v", err)
	}
}

// exchangeRaw sends bytes on a connection of its own and returns what comes back until it is closed.
func exchangeRaw(t *testing.T, r *rig, text string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("the answer ends with %v", err)
	}
	return string(answer)
}

func TestAStreamNeedsHTTP11(t *testing.T) {
	r := newRig(t, "a", nil)
	head := "POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
	if got := exchangeRaw(t, r, fmt.Sprintf(head, len(streamBody), streamBody)); !strings.Contains(got, " 505 ") || !strings.Contains(got, "proxy_http_version 1.1") {
		t.Errorf("a stream by HTTP/1.0: %q, want 505 and the remedy", got)
	}
	if got := exchangeRaw(t, r, fmt.Sprintf(head, len(chatBody), chatBody)); !strings.Contains(got, " 200 ") || strings.Contains(got, "chunked") {
		t.Errorf("a whole answer by HTTP/1.0: %q", got)
	}
}

// A refusal must reach a caller that is still sending: a connection closed with bytes unread is reset, and the
// caller's library would send everything again.
func TestARefusalReachesACallerThatIsStillSending(t *testing.T) {
	r := newRigWith(t, "a", proxy.Options{MaxBody: 1 << 10, BodyBudget: 1 << 20}, nil)
	large := `{"model":"chat","messages":[{"role":"user","content":"` + strings.Repeat("x", 8<<20) + `"}]}`
	for i := range 10 {
		if got := r.post("/chat/completions", large); got.status != http.StatusRequestEntityTooLarge {
			t.Fatalf("try %d: status %d", i, got.status)
		}
	}
}

// What is refused before it is read must not be logged with the words of the request before it.
func TestTheLogNeverShowsAnotherCallersWords(t *testing.T) {
	r := newRig(t, "a", nil)
	for range 20 {
		r.post("/chat/completions", strings.Replace(chatBody, `"chat"`, `"a-secret-name"`, 1))
		r.post("/chat/completions", chatBody, "X-Turnout-Nothing", "1")
	}
	eventually(t, "the refusals were not logged", func() bool { return strings.Count(r.log.String(), `"error":"unknown_header"`) == 20 })
	for line := range strings.SplitSeq(r.log.String(), "\n") {
		if strings.Contains(line, "unknown_header") && strings.Contains(line, "a-secret-name") {
			t.Fatalf("another request's model is logged: %s", line)
		}
	}
}
