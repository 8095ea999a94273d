// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// event is a Frame that was copied, as strings.
type event struct {
	Raw, Data, Event string
	Comment          bool
}

// cut feeds the chunks, one after the other through the same buffer, and returns the frames and the error.
func cut(chunks ...string) (events []event, err error) {
	var s Frames
	var f Frame
	var buf []byte
	keep := func() {
		events = append(events, event{string(f.Raw), string(f.Data), string(f.Event), f.Comment})
	}
	for _, chunk := range chunks {
		buf = append(buf[:0], chunk...)
		s.Feed(buf)
		for {
			ok, err := s.Next(&f)
			if err != nil {
				return events, err
			}
			if !ok {
				break
			}
			keep()
		}
		clear(buf) // what Frames still needs it must have copied
	}
	if s.End(&f) {
		keep()
	}
	return events, nil
}

func TestFramesCuts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		chunks []string
		want   []event
	}{
		{"nothing into nothing", nil, nil},
		{"an event at its blank line", []string{"data: a\n\n"}, []event{{Raw: "data: a\n\n", Data: "a"}}},
		{"several events of one chunk", []string{"data: a\n\ndata: b\n\n"}, []event{{Raw: "data: a\n\n", Data: "a"}, {Raw: "data: b\n\n", Data: "b"}}},
		{"an event of several chunks", []string{"da", "ta: ", "a", "\n", "\n"}, []event{{Raw: "data: a\n\n", Data: "a"}}},
		{"CRLF line ends", []string{"data: a\r\n\r\ndata: b\r\n\r\n"}, []event{{Raw: "data: a\r\n\r\n", Data: "a"}, {Raw: "data: b\r\n\r\n", Data: "b"}}},
		{"CR line ends", []string{"data: a\r\rdata: b\r\r"}, []event{{Raw: "data: a\r\r", Data: "a"}, {Raw: "data: b\r\r", Data: "b"}}},
		{"mixed line ends", []string{"data: a\r\n\ndata: b\n\r\ndata: c\r\n\r"}, []event{{Raw: "data: a\r\n\n", Data: "a"}, {Raw: "data: b\n\r\n", Data: "b"}, {Raw: "data: c\r\n\r", Data: "c"}}},
		{"a CRLF that is cut in the middle of an event", []string{"data: a\r", "\ndata: b\r", "\n\r\n"}, []event{{Raw: "data: a\r\ndata: b\r\n\r\n", Data: "a\nb"}}},
		{
			"a blank line that is cut in the middle, without waiting for its LF",
			[]string{"data: a\r\n\r", "\ndata: b\r\n\r", "\n"},
			[]event{{Raw: "data: a\r\n\r", Data: "a"}, {Raw: "\ndata: b\r\n\r", Data: "b"}, {Raw: "\n", Comment: true}},
		},
		{"a comment", []string{": OPENROUTER PROCESSING\n\n"}, []event{{Raw: ": OPENROUTER PROCESSING\n\n", Comment: true}}},
		{"a comment within an event", []string{":x\ndata: a\n:y\n\n"}, []event{{Raw: ":x\ndata: a\n:y\n\n", Data: "a"}}},
		{"blank lines between events", []string{"\n\r\ndata: a\n\n"}, []event{{Raw: "\n", Comment: true}, {Raw: "\r\n", Comment: true}, {Raw: "data: a\n\n", Data: "a"}}},
		{"several lines of data", []string{"data: a\ndata:\ndata: b\n\n"}, []event{{Raw: "data: a\ndata:\ndata: b\n\n", Data: "a\n\nb"}}},
		{"two empty lines of data", []string{"data\ndata:\n\n"}, []event{{Raw: "data\ndata:\n\n", Data: "\n"}}},
		{"one space after the colon, not two", []string{"data:a\n\n", "data:  a\n\n"}, []event{{Raw: "data:a\n\n", Data: "a"}, {Raw: "data:  a\n\n", Data: " a"}}},
		{"data with colons", []string{"data: {\"a\":1}\n\n"}, []event{{Raw: "data: {\"a\":1}\n\n", Data: `{"a":1}`}}},
		{"an event type", []string{"event: ping\ndata: {}\nid: 1\nretry: 5\n\n"}, []event{{Raw: "event: ping\ndata: {}\nid: 1\nretry: 5\n\n", Data: "{}", Event: "ping"}}},
		{"an event without data is none", []string{"event: ping\nid: 1\n\n"}, []event{{Raw: "event: ping\nid: 1\n\n", Event: "ping", Comment: true}}},
		{"fields that are almost data", []string{"data2: a\n data: b\nDATA: c\n\n"}, []event{{Raw: "data2: a\n data: b\nDATA: c\n\n", Comment: true}}},
		{"a byte order mark", []string{"\xef", "\xbb", "\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n"}, []event{{Raw: "\xef\xbb\xbfdata: a\n\n", Data: "a"}, {Raw: "\xef\xbb\xbfdata: b\n\n", Comment: true}}},
		{"the last event without its blank line", []string{"data: a\n\ndata: [DONE]"}, []event{{Raw: "data: a\n\n", Data: "a"}, {Raw: "data: [DONE]", Data: "[DONE]"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := cut(tc.chunks...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFramesTellsEmptyDataFromNone(t *testing.T) {
	var s Frames
	var f Frame
	for _, text := range []string{"data\n\n", "data:\n\n", "data: \n\n"} {
		s.Feed([]byte(text))
		if ok, err := s.Next(&f); !ok || err != nil || f.Comment || f.Data == nil || len(f.Data) > 0 {
			t.Errorf("%q: %v, %v, %+v; want an event with empty data", text, ok, err, f)
		}
	}
}

func TestFramesAreBounded(t *testing.T) {
	line := strings.Repeat("x", 1023) + "\n"
	largest := "data: " + strings.Repeat("x", MaxFrame-8) + "\n\n"
	for _, tc := range []struct {
		name    string
		chunks  []string
		wantErr error
	}{
		{"a frame of 1 MiB passes", []string{largest}, nil},
		{"a byte more does not", []string{"x" + largest}, ErrFrameTooLong},
		{"whatever the chunks", append([]string{"x"}, strings.SplitAfter(largest, "x")...), ErrFrameTooLong},
		{"or the lines", strings.SplitAfter(strings.Repeat(line, 1025), "\n"), ErrFrameTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := cut(tc.chunks...); !errors.Is(err, tc.wantErr) {
				t.Errorf("error %v, want %v", err, tc.wantErr)
			}
		})
	}
}

func TestFramesStayBrokenUntilReset(t *testing.T) {
	var s Frames
	var f Frame
	s.Feed(make([]byte, MaxFrame+1))
	for range 2 {
		if _, err := s.Next(&f); !errors.Is(err, ErrFrameTooLong) {
			t.Fatalf("error %v, want %v", err, ErrFrameTooLong)
		}
	}
	if s.End(&f) {
		t.Error("a broken stream has a last frame")
	}
	s.Reset()
	s.Feed([]byte("data: a\n\n"))
	if ok, err := s.Next(&f); !ok || err != nil || string(f.Data) != "a" {
		t.Errorf("after Reset: %v, %v, %q", ok, err, f.Data)
	}
}

func TestFramesGiveBackLargeBuffers(t *testing.T) {
	var s Frames
	var f Frame
	for range 64 {
		s.Feed([]byte("data: " + strings.Repeat("x", 1024) + "\n"))
		if ok, err := s.Next(&f); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	for range 2 {
		s.Feed([]byte("\n"))
		if _, err := s.Next(&f); err != nil {
			t.Fatal(err)
		}
	}
	if c := cap(s.carry) + cap(s.joined); c > 2*keptBuffer {
		t.Errorf("%d bytes are kept after a large frame, want at most %d", c, 2*keptBuffer)
	}
}

// dispatched is what the standard's algorithm, followed line by line, makes of a whole stream; the last
// event counts although its blank line is missing.
func dispatched(stream string) (events []event) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	stream = strings.ReplaceAll(stream, "\r\n", "\n")
	stream = strings.ReplaceAll(stream, "\r", "\n")
	var buffer []string
	kind := ""
	for line := range strings.SplitSeq(stream+"\n\n", "\n") {
		if line == "" {
			if buffer != nil {
				events = append(events, event{Data: strings.Join(buffer, "\n"), Event: kind})
			}
			buffer, kind = nil, ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			buffer = append(buffer, value)
		case "event":
			kind = value
		}
	}
	return events
}

func FuzzFrames(f *testing.F) {
	f.Add("data: a\n\ndata: b\r\n\r\n: c\r\rdata", uint64(3))
	f.Add("\ufeffdata: a\r\ndata: b\r\n\r\n\n\revent: x\ndata:\n\n", uint64(1))
	f.Add("\r\n\r\n\r\r\n\n", uint64(0x0102030405060708))
	f.Add("event: a\ndata: 1\nevent: b\n\nevent: c\n\ndata: 2\n\n", uint64(2))
	f.Fuzz(func(t *testing.T, stream string, cuts uint64) {
		var chunks []string
		for rest, c := stream, cuts; len(rest) > 0; c = c>>3 | c<<61 {
			n := min(int(c&7), len(rest))
			chunks = append(chunks, rest[:n])
			if rest = rest[n:]; cuts == 0 {
				chunks = append(chunks, rest)
				break
			}
		}
		events, err := cut(chunks...)
		if err != nil {
			t.Fatal(err)
		}
		var raw strings.Builder
		var seen []event
		for _, e := range events {
			raw.WriteString(e.Raw)
			if e.Comment && e.Data != "" {
				t.Fatalf("a comment has data: %+v", e)
			}
			if !e.Comment {
				seen = append(seen, event{Data: e.Data, Event: e.Event})
			}
		}
		if raw.String() != stream {
			t.Fatalf("the frames add up to %q, want %q", raw.String(), stream)
		}
		if diff := cmp.Diff(dispatched(stream), seen); diff != "" {
			t.Fatalf("events of %q (-standard +frames):\n%s", chunks, diff)
		}
		// A frame that ends in CR does not wait for an LF, which then begins the next one. Without CRs the frames
		// are the same, too.
		whole, err := cut(stream)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, events); diff != "" && !strings.Contains(stream, "\r") {
			t.Fatalf("frames of %q (-in one piece +in pieces):\n%s", chunks, diff)
		}
	})
}

// FuzzFramesMemory reads a frame of some size and then some text again and again, in chunks of any size. Nothing
// is held but the frame that is being read, and that is bounded.
func FuzzFramesMemory(f *testing.F) {
	f.Add(uint32(0), []byte("data: a\n\n"), uint16(7), uint16(900))
	f.Add(uint32(100_000), []byte("data: a\n\n"), uint16(1000), uint16(200))
	f.Add(uint32(100_000), []byte("data: a\ndata: b\n\n"), uint16(999), uint16(200))
	f.Add(uint32(0), []byte("data: a\r"), uint16(1), uint16(100))
	f.Add(uint32(0), []byte("x"), uint16(1000), uint16(2000))
	f.Add(uint32(MaxFrame), []byte("data\n"), uint16(1000), uint16(4000))
	f.Add(uint32(0), []byte("data: a\ndata: b\n\n: x\n"), uint16(50), uint16(30))
	f.Fuzz(func(t *testing.T, first uint32, text []byte, size, chunks uint16) {
		total := int(size) * int(chunks)
		if len(text) == 0 || size == 0 || first > 2*MaxFrame || total > 4*MaxFrame {
			return
		}
		stream := append(bytes.Repeat([]byte("data: 12345678\n"), int(first)/15), '\n')
		stream = append(stream, bytes.Repeat(text, 1+total/len(text))...)
		var s Frames
		cutOff := 0
		for fed := 0; fed < total; {
			n := min(int(size), total-fed)
			s.Feed(stream[fed : fed+n])
			fed += n
			if !cutAll(t, &s, fed, &cutOff) {
				return
			}
			if fed-cutOff > MaxFrame {
				t.Fatalf("%d bytes of a frame were taken", fed-cutOff)
			}
			// What append has made room for may be half as much again.
			if held := cap(s.carry) + cap(s.joined); held > 2*keptBuffer+2*(fed-cutOff) {
				t.Fatalf("%d bytes are held for %d of a frame", held, fed-cutOff)
			}
		}
	})
}

// cutAll cuts the frames that are whole; false when the stream is refused.
func cutAll(t *testing.T, s *Frames, fed int, cutOff *int) bool {
	t.Helper()
	var frame Frame
	for {
		ok, err := s.Next(&frame)
		if err != nil && fed-*cutOff <= MaxFrame {
			t.Fatalf("%v after %d bytes", err, fed-*cutOff)
		}
		if err != nil || !ok {
			return err == nil
		}
		*cutOff += len(frame.Raw)
		if len(frame.Raw) > MaxFrame || len(frame.Data) > len(frame.Raw) {
			t.Fatalf("a frame of %d bytes has %d of data", len(frame.Raw), len(frame.Data))
		}
	}
}

const chatFrame = `data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-2024-08-06",` +
	`"service_tier":"default","system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"content":" world"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"

func TestFramesAllocateNothing(t *testing.T) {
	var s Frames
	var f Frame
	stream := []byte(chatFrame + "data: a\ndata: b\n\n: c\n\n")
	run := func() {
		for _, chunk := range [][]byte{stream, stream[:100], stream[100:]} {
			s.Feed(chunk)
			for {
				ok, err := s.Next(&f)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				_, _ = ClassifyFrame(f.Data)
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkFrames(b *testing.B) {
	for name, size := range map[string]int{"a frame at a time": len(chatFrame), "chunks that cut frames": 1000} {
		b.Run(name, func(b *testing.B) {
			stream := bytes.Repeat([]byte(chatFrame), 1000)
			frames := 0
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				var s Frames
				var f Frame
				for rest := stream; len(rest) > 0; {
					n := min(size, len(rest))
					s.Feed(rest[:n])
					rest = rest[n:]
					for {
						ok, err := s.Next(&f)
						if err != nil {
							b.Fatal(err)
						}
						if !ok {
							break
						}
						frames++
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/frame")
		})
	}
}
