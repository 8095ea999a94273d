// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// openAIAnswer walks over a frame of a stream, or a whole answer, of chat completions or completions. Its
// closed list of frames that carry nothing: a ping, empty choices whatever stands beside them
// (prompt_filter_results, usage), and choices whose delta has a role, or members that are empty. A frame can
// be several things, so all of it is read.
func (l *look) openAIAnswer() bool {
	if !l.open() {
		return false
	}
	var c openAIChunk
	for first := true; l.member(&first); {
		if !l.openAIMember(&c) {
			return false
		}
	}
	if c.noChoices && !c.more && l.kind == WithUsage {
		l.kind |= UsageAlone
	}
	return l.fault == ""
}

// openAIChunk is what is noticed of a frame beside its kind.
type openAIChunk struct {
	// noChoices is true for choices that are an empty list, more for members that nobody expects beside a
	// usage.
	noChoices, more bool
}

// openAIMember adds what one member says about its frame. It is the choices that carry an answer; members
// that are not known say nothing.
func (l *look) openAIMember(c *openAIChunk) bool {
	switch string(l.name()) {
	case keyChoices:
		l.known = true
		if l.peekByte() != '[' {
			return l.contentUnlessNull()
		}
		start := l.i
		ok := l.objects(choices)
		c.noChoices = ok && isEmpty(l.b[start:l.i])
		return ok
	case keyError:
		l.known = l.known || !l.saysNothing()
		return l.errorMember()
	case keyUsage:
		return l.usageHere()
	case keyObject, keyType:
		return l.openAIType()
	case "id", "created", keyModel, "service_tier", "system_fingerprint", "provider", "obfuscation", "timings":
		return l.value()
	}
	c.more = c.more || l.peekByte() != 'n'
	return l.value()
}

// openAIType reads what an object calls itself. vLLM's older errors have no error member, but
// {"object":"error","message":…}.
func (l *look) openAIType() bool {
	object := string(l.name()) == keyObject
	word, ok := l.word()
	switch {
	case object && string(word) == keyError:
		l.kind, l.known = l.kind|Failed, true
	case !object && string(word) == "ping":
		l.known = true
	}
	return ok
}

// choiceMember adds what one member of a choice says. The reasons that vLLM and OpenRouter give beside
// finish_reason repeat it in other words. A whole answer has a message where a stream has deltas.
func (l *look) choiceMember() bool {
	switch string(l.name()) {
	case "index", keyStopReason, "native_finish_reason":
		return l.value()
	case "finish_reason":
		return l.finishReason()
	case keyError:
		return l.errorMember()
	case keyDelta, keyMessage:
		if l.peekByte() == '{' {
			return l.delta()
		}
	case keyText:
		return l.contentUnlessHollow()
	case "logprobs", "content_filter_results": // they say things about the text, and are none
		return l.unsizedUnlessHollow()
	}
	return l.unsizedUnlessNull()
}

// finishReason reads why a choice ended, if it has.
func (l *look) finishReason() bool {
	if l.peekByte() != '"' {
		return l.unsizedUnlessNull()
	}
	reason, ok := l.word()
	switch {
	case string(reason) == keyError:
		l.kind |= Failed
	case string(reason) == filtered:
		l.kind |= Terminal | Filtered
	case len(l.raw) > 0: // some servers write an empty one instead of null
		l.kind |= Terminal
	}
	return ok
}

// delta walks over what a frame adds to a message.
func (l *look) delta() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		switch string(l.name()) {
		case keyRole:
			ok = l.value()
		case keyContent, "refusal", "reasoning", "reasoning_content", "reasoning_details",
			"tool_calls", "function_call", "audio", "annotations":
			ok = l.contentUnlessHollow()
		default:
			ok = l.contentUnlessNull()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}
