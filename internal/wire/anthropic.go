// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// anthropicEvents are the types of the events of messages (Claude API documentation, "Streaming messages").
// Deltas, the ends of blocks and what is not known are content.
var anthropicEvents = map[string]eventClass{
	"ping":                lifecycleEvent,
	"message_start":       startEvent,
	"content_block_start": partEvent,
	"message_delta":       endingEvent,
	"message_stop":        endEvent,
	keyError:              failedEvent,
	keyMessage:            wholeAnswer,
}

// anthropicMembers is what was noticed of an event or an answer while it was passed over.
type anthropicMembers struct {
	class                 eventClass
	message, block, delta int
	content, reason       int
	typed                 bool
}

// anthropicEvent walks over an event of a stream of messages, or over a whole message. Members come in any
// order, so the type is looked at when all are known.
func (l *look) anthropicEvent() bool {
	if !l.open() {
		return false
	}
	var m anthropicMembers
	for first := true; l.member(&first); {
		if !l.anthropicMember(&m) {
			if m.content != 0 {
				l.blocksAt(m.content) // of an answer that broke off there
			}
			return false
		}
	}
	if l.fault != "" {
		return false
	}
	end := l.i
	l.known = m.typed || l.kind&Failed != 0
	l.judgeAnthropic(&m)
	l.i, l.depth = end, 0
	return l.fault == ""
}

// anthropicMember notices one member of an event, or of a message.
func (l *look) anthropicMember(m *anthropicMembers) bool {
	switch string(l.name()) {
	case keyType:
		word, ok := l.word()
		m.class, m.typed = anthropicEvents[string(word)], word != nil
		return ok
	case keyMessage:
		return l.place(&m.message)
	case "content_block":
		return l.place(&m.block)
	case keyDelta:
		return l.place(&m.delta)
	case keyContent:
		return l.place(&m.content)
	case keyStopReason:
		return l.place(&m.reason)
	case keyUsage:
		return l.usageHere()
	case keyError:
		return l.errorMember()
	}
	return l.value()
}

// judgeAnthropic says what was walked over.
func (l *look) judgeAnthropic(m *anthropicMembers) {
	switch m.class {
	case lifecycleEvent:
	case startEvent:
		l.messageStart(m.message)
	case partEvent:
		if !l.emptyPart(m.block) {
			l.kind |= Content
		}
	case endingEvent:
		l.messageDelta(m.delta)
	case endEvent:
		l.kind |= Terminal | Last
	case failedEvent:
		l.kind |= Failed
	case wholeAnswer:
		l.blocksAt(m.content)
		if m.reason != 0 {
			l.i = m.reason
			l.stopReason()
		}
	case contentEvent:
		if m.typed {
			l.kind |= Content
		}
		l.anthropicDelta(m.delta)
	}
}

// messageStart looks into the message that a stream begins with, which is empty but for what the input cost.
func (l *look) messageStart(at int) {
	if !l.objectAt(at) {
		return
	}
	for first := true; l.member(&first); {
		ok := false
		switch string(l.name()) {
		case keyContent:
			ok = l.unsizedUnlessHollow()
		case keyUsage:
			ok = l.usageHere()
		default:
			ok = l.value()
		}
		if !ok {
			return
		}
	}
}

// messageDelta looks into what changes about the message as such: why it ends, and what comes with that.
func (l *look) messageDelta(at int) {
	if !l.objectAt(at) {
		return
	}
	more := false
	for first := true; l.member(&first); {
		ok := false
		if string(l.name()) == keyStopReason {
			ok = l.stopReason()
		} else {
			size, hollow := l.size, false
			hollow, ok = l.hollow()
			l.size, more = size, more || !hollow
		}
		if !ok {
			return
		}
	}
	if more && l.kind&Terminal == 0 {
		l.kind |= Content
	}
}

// stopReason reads why a message ended, if it has.
func (l *look) stopReason() bool {
	if l.peekByte() != '"' {
		return l.value()
	}
	reason, ok := l.word()
	switch {
	case string(reason) == "refusal":
		l.kind |= Terminal | Filtered
	case len(l.raw) > 0:
		l.kind |= Terminal
	}
	return ok
}

// anthropicDelta adds up what is added to a block.
func (l *look) anthropicDelta(at int) {
	if !l.objectAt(at) {
		return
	}
	l.block()
}

// block adds up the text of a block or of a delta whose members are next.
func (l *look) block() bool {
	for first := true; l.member(&first); {
		ok := false
		switch string(l.name()) {
		case keyType, "id", "name", "signature", "tool_use_id":
			ok = l.value()
		default:
			_, ok = l.hollow()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// blocksAt adds up the blocks of a whole message.
func (l *look) blocksAt(at int) {
	l.i, l.depth, l.fault = at, 1, ""
	if at == 0 || l.peekByte() != '[' || !l.open() {
		return
	}
	for first := true; l.element(&first); {
		l.kind |= Content
		if l.peekByte() != '{' || !l.open() || !l.block() {
			return
		}
	}
}
