// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// spoken is what was said in one choice, of a whole answer or of a stream.
type spoken struct {
	Reasoning, Content, Refusal string
	Call, Arguments             string
	Finish                      string
}

// said is a message, or a delta of one.
type said struct {
	Content          *string
	Refusal          *string
	Reasoning        *string
	ReasoningContent *string `json:"reasoning_content"`
	ToolCalls        []struct {
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

// spokenIn joins what a whole answer or a stream says in its first choice; order is what each frame brings.
func spokenIn(t *testing.T, body string) (out spoken, order []string) {
	t.Helper()
	parts := []string{body}
	if strings.HasPrefix(body, "data: ") || strings.HasPrefix(body, ": ") {
		parts = frames(body)
	}
	for _, part := range parts {
		if strings.HasPrefix(part, ":") {
			order = append(order, "comment")
			continue
		}
		if part == "[DONE]" {
			order = append(order, "done")
			continue
		}
		var c struct {
			Choices []struct {
				Message, Delta said
				FinishReason   *string `json:"finish_reason"`
			}
			Usage        *struct{}
			PromptFilter []struct{} `json:"prompt_filter_results"`
		}
		decode(t, part, &c)
		for _, choice := range c.Choices {
			order = append(order, out.add(&choice.Message)...)
			order = append(order, out.add(&choice.Delta)...)
			if choice.FinishReason != nil {
				out.Finish = *choice.FinishReason
				order = append(order, out.Finish)
			}
		}
		switch {
		case c.PromptFilter != nil:
			order = append(order, "filter")
		case c.Usage != nil:
			order = append(order, "usage")
		}
	}
	return out, order
}

func (o *spoken) add(s *said) (brought []string) {
	take := func(name string, text *string, to *string) {
		if text != nil && *text != "" {
			*to += *text
			brought = append(brought, name)
		}
	}
	take("reasoning", s.Reasoning, &o.Reasoning)
	take("reasoning", s.ReasoningContent, &o.Reasoning)
	take("content", s.Content, &o.Content)
	take("refusal", s.Refusal, &o.Refusal)
	for _, call := range s.ToolCalls {
		take("call", &call.Function.Name, &o.Call)
		take("arguments", &call.Function.Arguments, &o.Arguments)
	}
	return brought
}

func TestFaultsThatSay(t *testing.T) {
	server, path := startWithLedger(t, nil)
	plain, _ := spokenIn(t, post(t, server, chatPath, chatBody).body)
	words := strings.SplitAfter(plain.Content, " ")
	first := func(n int) string { return strings.TrimSuffix(strings.Join(words[:n], ""), " ") }
	tests := []struct {
		name, fault string
		want        spoken
		wantOrder   string // of the stream
		wantTokens  ledger.Tokens
	}{
		{
			name: "reasoning before the text", fault: "reasoning;count=2",
			want: spoken{Reasoning: "*", Content: first(4), Finish: "length"}, wantOrder: "reasoning reasoning content content content content length usage done",
			wantTokens: ledger.Tokens{Completion: 6, Reasoning: 2},
		},
		{
			name: "reasoning in another field", fault: "reasoning;count=1;field=reasoning",
			want: spoken{Reasoning: "*", Content: first(5), Finish: "length"}, wantOrder: "reasoning content content content content content length usage done",
			wantTokens: ledger.Tokens{Completion: 6, Reasoning: 1},
		},
		{
			name: "reasoning that spends all there is", fault: "reasoning;count=9",
			want: spoken{Reasoning: "*", Finish: "length"}, wantOrder: "reasoning reasoning reasoning reasoning reasoning reasoning length usage done",
			wantTokens: ledger.Tokens{Completion: 6, Reasoning: 6},
		},
		{
			name: "a call of a tool", fault: "tool-call",
			want:      spoken{Call: "get_weather", Arguments: "*", Finish: "tool_calls"},
			wantOrder: "call arguments arguments arguments arguments tool_calls usage done", wantTokens: ledger.Tokens{Completion: 4},
		},
		{
			name: "a refusal", fault: "refusal",
			want:      spoken{Refusal: "I can't help with that.", Finish: "stop"},
			wantOrder: "refusal refusal refusal refusal refusal refusal stop usage done", wantTokens: ledger.Tokens{Completion: 6},
		},
		{
			name: "an answer that is filtered before content", fault: "filtered",
			want: spoken{Finish: "content_filter"}, wantOrder: "content_filter usage done",
		},
		{
			name: "an answer that is filtered after content", fault: "filtered;after=2",
			want: spoken{Content: first(2), Finish: "content_filter"}, wantOrder: "content content content_filter usage done",
			wantTokens: ledger.Tokens{Completion: 2},
		},
		{
			name: "an answer that Azure filters", fault: "filtered;after=1;shape=azure",
			want: spoken{Content: first(1), Finish: "content_filter"}, wantOrder: "filter content content_filter usage done",
			wantTokens: ledger.Tokens{Completion: 1},
		},
		{name: "an empty answer", fault: "empty-answer", want: spoken{Finish: "stop"}, wantOrder: "stop usage done"},
		{
			name: "an empty answer that reasoning has spent", fault: "empty-answer;finish=length",
			want: spoken{Finish: "length"}, wantOrder: "length usage done", wantTokens: ledger.Tokens{Completion: 6, Reasoning: 6},
		},
		{
			name: "comments before a stream", fault: "silent;wait=3ms;pause=2ms",
			want: spoken{Content: plain.Content, Finish: "length"}, wantOrder: "comment comment content content content content content content length usage done",
			wantTokens: ledger.Tokens{Completion: 6},
		},
		{
			name: "comments behind the role, and a call", fault: "silent;wait=1ms;role=true;says=refusal",
			want: spoken{Refusal: "I can't help with that.", Finish: "stop"}, wantOrder: "comment refusal refusal refusal refusal refusal refusal stop usage done",
			wantTokens: ledger.Tokens{Completion: 6},
		},
		{
			name: "a pause before the head", fault: "hang;wait=1ms",
			want: spoken{Content: plain.Content, Finish: "length"}, wantOrder: "content content content content content content length usage done",
			wantTokens: ledger.Tokens{Completion: 6},
		},
		{
			name: "pauses between contents", fault: "slow;pause=1ms;says=reasoning",
			want: spoken{Reasoning: "*", Content: first(2), Finish: "length"}, wantOrder: "reasoning reasoning reasoning reasoning content content length usage done",
			wantTokens: ledger.Tokens{Completion: 6, Reasoning: 4},
		},
	}
	for _, tt := range tests {
		for _, body := range []string{chatBody, streamBody} {
			t.Run(fmt.Sprintf("%s, streamed: %v", tt.name, body == streamBody), func(t *testing.T) {
				attempt := t.Name()
				got := post(t, server, chatPath, body, modelsim.HeaderFault, tt.fault, modelsim.HeaderAttempt, attempt)
				if got.status != 200 || got.err != nil {
					t.Fatalf("%d %v %s", got.status, got.err, got.body)
				}
				words, order := spokenIn(t, got.body)
				if tt.want.Reasoning == "*" && words.Reasoning != "" {
					words.Reasoning = "*"
				}
				if tt.want.Arguments == "*" && json.Valid([]byte(words.Arguments)) {
					words.Arguments = "*"
				}
				if diff := cmp.Diff(tt.want, words); diff != "" {
					t.Errorf("said (-want +got):\n%s", diff)
				}
				if got := strings.Join(order, " "); body == streamBody && got != tt.wantOrder {
					t.Errorf("frames %q, want %q", got, tt.wantOrder)
				}
				last := readLedger(t, path).Attempt(attempt)[0].Last()
				tt.wantTokens.Prompt = last.Tokens.Prompt
				if diff := cmp.Diff(tt.wantTokens, last.Tokens); diff != "" || last.Event != ledger.Finished {
					t.Errorf("booked as %s (-want +got):\n%s", last.Event, diff)
				}
			})
		}
	}
}

func TestATextCompletionCannotReason(t *testing.T) {
	server := start(t, nil)
	for fault, wantStatus := range map[string]int{"reasoning": 400, "cut;says=tool-call": 400, "filtered;after=1": 200, "empty-answer": 200} {
		got := post(t, server, completionPath, `{"model":"sim-small","prompt":"Once"}`, modelsim.HeaderFault, fault)
		if got.status != wantStatus || wantStatus == 400 && text(got.failure(t).Code) != "invalid_script" {
			t.Errorf("%s: %d %s, want %d", fault, got.status, got.body, wantStatus)
		}
	}
	if got := post(t, server, embeddingPath, `{"model":"sim-embed","input":"x"}`, modelsim.HeaderFault, "empty-answer"); got.status != 400 {
		t.Errorf("an embedding without content: %d %s, want 400", got.status, got.body)
	}
}

func TestAToolCallCallsWhatIsOffered(t *testing.T) {
	body := strings.Replace(chatBody, `"max_tokens":6`, `"tools":[{"type":"function","function":{"name":"first"}},{"type":"function","function":{"name":"second"}}],"tool_choice":"auto"`, 1)
	got, _ := spokenIn(t, post(t, start(t, nil), chatPath, body, modelsim.HeaderFault, "tool-call").body)
	if got.Call != "first" || got.Finish != "tool_calls" {
		t.Errorf("%+v, want a call of the first tool", got)
	}
}

func TestARefusalHasItsOwnLogprobs(t *testing.T) {
	body := strings.Replace(chatBody, `"max_tokens":6`, `"logprobs":true`, 1)
	var got struct {
		Choices []struct {
			Logprobs struct{ Content, Refusal []struct{ Token string } }
		}
	}
	decode(t, post(t, start(t, nil), chatPath, body, modelsim.HeaderFault, "refusal").body, &got)
	if logprobs := got.Choices[0].Logprobs; logprobs.Content != nil || len(logprobs.Refusal) != 6 {
		t.Errorf("logprobs %+v, want those of the refusal", logprobs)
	}
}

func TestSilenceComesBeforeTheRoleOrBehindIt(t *testing.T) {
	server := start(t, nil)
	for fault, comment := range map[string]int{"silent;wait=1ms": 0, "silent;wait=1ms;role=true": 1} {
		got := frames(post(t, server, chatPath, streamBody, modelsim.HeaderFault, fault).body)
		if got[comment] != ": keep-alive" || !strings.Contains(got[1-comment], `"role":"assistant"`) {
			t.Errorf("%s: the stream begins with %q", fault, got[:2])
		}
	}
}

func TestBlankLinesComeBeforeLateJSON(t *testing.T) {
	server, path := startWithLedger(t, nil)
	got := post(t, server, chatPath, chatBody, modelsim.HeaderFault, "silent;wait=3ms;pause=2ms", modelsim.HeaderAttempt, "a")
	if !strings.HasPrefix(got.body, "\n\n{") || !json.Valid([]byte(got.body)) || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %q, want blank lines and JSON", got.header.Get("Content-Type"), got.body)
	}
	wantBooks(t, path, "a", 200, 6, ledger.Accepted, ledger.Head, ledger.Finished)
}

// A proxy asks for usage by itself. Providers that do not know the field refuse it in several ways, and serve
// all others.
func TestStreamOptionsAreRefusedOnlyWhereTheyAre(t *testing.T) {
	server := start(t, nil)
	without := strings.Replace(streamBody, `,"stream_options":{"include_usage":true}`, "", 1)
	for fault, want := range map[string]struct {
		status int
		body   string
	}{
		"stream-options":                 {400, `"param":"stream_options"`},
		"stream-options;shape=azure":     {400, `Extra parameters ['stream_options'] are not allowed`},
		"stream-options;shape=vllm-old":  {400, `'loc': ('body', 'stream_options')`},
		"stream-options;shape=mistral":   {422, `"type":"extra_forbidden","loc":["body","stream_options"]`},
		"stream-options;shape=anthropic": {400, `stream_options: Extra inputs are not permitted`},
		"stream-options;shape=gemini":    {400, `Unknown name \"stream_options\": Cannot find field.`},
		"stream-options;shape=unnamed":   {422, `"Unprocessable Entity"`},
	} {
		got := post(t, server, chatPath, streamBody, modelsim.HeaderFault, fault)
		if got.status != want.status || !strings.Contains(compact(t, got.body), want.body) {
			t.Errorf("%s: %d %s, want %d %s", fault, got.status, got.body, want.status, want.body)
		}
		if strings.HasSuffix(fault, "unnamed") && strings.Contains(got.body, "stream_options") {
			t.Errorf("%s names a field: %s", fault, got.body)
		}
		if got := post(t, server, chatPath, without, modelsim.HeaderFault, fault); got.status != 200 || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
			t.Errorf("%s, without the field: %d %s", fault, got.status, got.body)
		}
	}
}

func TestAClientThatLeavesPaysForWhatWasProduced(t *testing.T) {
	tests := []struct {
		name, body, fault, timing string
		readFrames                int
		wantTokens                ledger.Tokens
		wantEvents                []ledger.Event
	}{
		{name: "in silence before all", body: streamBody, fault: "silent;pause=1ms", readFrames: 2, wantEvents: []ledger.Event{ledger.Accepted, ledger.Head, ledger.Cancelled}},
		{name: "in silence behind the role", body: streamBody, fault: "silent;pause=1ms;role=true", readFrames: 3, wantEvents: []ledger.Event{ledger.Accepted, ledger.Head, ledger.Cancelled}},
		{
			name: "while the model thinks aloud", body: streamBody, fault: "stall;after=2;says=reasoning", readFrames: 3,
			wantTokens: ledger.Tokens{Completion: 2, Reasoning: 2}, wantEvents: []ledger.Event{ledger.Accepted, ledger.Head, ledger.Progress, ledger.Progress, ledger.Cancelled},
		},
		{
			name: "between contents", body: streamBody, fault: "slow;pause=1h", readFrames: 2,
			wantTokens: ledger.Tokens{Completion: 1}, wantEvents: []ledger.Event{ledger.Accepted, ledger.Head, ledger.Progress, ledger.Cancelled},
		},
		{
			name: "in blank lines before JSON", body: chatBody, fault: "silent;pause=1ms", readFrames: 1,
			wantTokens: ledger.Tokens{Completion: 6}, wantEvents: []ledger.Event{ledger.Accepted, ledger.Head, ledger.Cancelled},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, path := startWithLedger(t, nil)
			response, cancel := openStream(t, server, newClient(t), tt.body, modelsim.HeaderFault, tt.fault, modelsim.HeaderAttempt, "a")
			buffer, seen := make([]byte, 1), ""
			for strings.Count(seen, "\n\n") < tt.readFrames {
				if _, err := io.ReadFull(response.Body, buffer); err != nil {
					t.Fatal(err)
				}
				seen += string(buffer)
			}
			cancel()
			eventually(t, "the cancelled request is counted", func() bool { return server.Sim.State().Cancelled == 1 })
			wantBooks(t, path, "a", 200, tt.wantTokens.Completion, tt.wantEvents...)
			if got := readLedger(t, path).Attempt("a")[0].Last().Tokens.Reasoning; got != tt.wantTokens.Reasoning {
				t.Errorf("%d tokens of reasoning, want %d", got, tt.wantTokens.Reasoning)
			}
		})
	}
}

func TestHiddenReasoningIsPaidByAClientThatLeaves(t *testing.T) {
	server, path := startWithLedger(t, nil)
	// The model thinks before it hangs up on a token that never comes.
	body := strings.Replace(streamBody, `"max_tokens":6`, `"reasoning_effort":"minimal"`, 1)
	response, cancel := openStream(t, server, newClient(t), body, modelsim.HeaderFault, "stall;after=0", modelsim.HeaderTiming, "tokens-per-second=1000000", modelsim.HeaderAttempt, "a")
	buffer, seen := make([]byte, 1), ""
	for !strings.HasSuffix(seen, "\n\n") {
		if _, err := io.ReadFull(response.Body, buffer); err != nil {
			t.Fatal(err)
		}
		seen += string(buffer)
	}
	cancel()
	eventually(t, "the cancelled request is counted", func() bool { return server.Sim.State().Cancelled == 1 })
	wantBooks(t, path, "a", 200, 8, ledger.Accepted, ledger.Head, ledger.Cancelled)
}
