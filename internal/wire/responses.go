// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// eventClass is what the type of an event says about it, in formats whose events have one.
type eventClass uint8

// The classes. The zero value: the type is not known, so the event is content.
const (
	contentEvent eventClass = iota
	// lifecycleEvent carries nothing for the reader.
	lifecycleEvent
	// partEvent begins a part, which carries nothing unless it is of a kind with effects, or not empty.
	partEvent
	// startEvent begins a message, endingEvent says why it ends, endEvent that it has.
	startEvent
	endingEvent
	endEvent
	failedEvent
	// wholeAnswer is the type of an answer that is not streamed.
	wholeAnswer
)

// responsesEvents are the types of the events of responses that are not content (OpenAI API reference,
// "Streaming events"; the whole list is longer).
var responsesEvents = map[string]eventClass{
	"response.created":                      lifecycleEvent,
	"response.queued":                       lifecycleEvent,
	"response.in_progress":                  lifecycleEvent,
	"response.output_item.added":            partEvent,
	"response.content_part.added":           partEvent,
	"response.reasoning_summary_part.added": partEvent,
	"response.completed":                    endEvent,
	"response.incomplete":                   endEvent,
	"response.failed":                       failedEvent,
	keyError:                                failedEvent,
}

// responsesMembers is what was noticed of an event or an answer while it was passed over.
type responsesMembers struct {
	class                          eventClass
	response, item, part, details  int
	typed, hollow, ended, declined bool
	// whole is true for an object that calls itself a response, whatever type it has.
	whole bool
}

// responsesEvent walks over an event of a stream of responses, or over a whole response. Members come in any
// order, so the type is looked at when all are known.
func (l *look) responsesEvent() bool {
	if !l.open() {
		return false
	}
	m := responsesMembers{hollow: true}
	for first := true; l.member(&first); {
		if !l.responsesMember(&m) {
			return false
		}
	}
	if l.fault != "" {
		return false
	}
	end := l.i
	l.known = m.typed || l.kind&Failed != 0
	l.judgeResponses(&m)
	l.i = end
	return true
}

// responsesMember notices one member of an event, or of a response.
func (l *look) responsesMember(m *responsesMembers) (ok bool) {
	switch string(l.name()) {
	case keyType, keyObject, keyStatus:
		return l.responsesWord(m)
	case keyResponse:
		return l.place(&m.response)
	case "item":
		return l.place(&m.item)
	case "part":
		return l.place(&m.part)
	case "incomplete_details":
		return l.place(&m.details)
	case keyDelta:
		_, ok = l.hollow()
		return ok
	case "output":
		m.hollow, ok = l.hollow()
		return ok
	case keyError:
		return l.errorMember()
	case keyUsage:
		return l.usageHere()
	}
	return l.value()
}

// responsesWord reads what an event or a response calls itself, or how far a response has come.
func (l *look) responsesWord(m *responsesMembers) bool {
	name := l.name()
	switch isType, isObject := string(name) == keyType, string(name) == keyObject; {
	case isType:
		word, ok := l.word()
		if !m.whole {
			m.class, m.typed = responsesEvents[string(word)], word != nil
		}
		return ok
	case isObject:
		word, ok := l.word()
		if string(word) == keyResponse {
			m.class, m.typed, m.whole = wholeAnswer, true, true
		}
		return ok
	}
	word, ok := l.word()
	l.responseStatus(m, word)
	return ok
}

// responseStatus reads the status of a whole response. One that is still worked on in the background is an
// answer too: it says where to ask for the rest.
func (l *look) responseStatus(m *responsesMembers, status []byte) {
	switch string(status) {
	case "completed", "incomplete", "cancelled", "queued", "in_progress":
		m.ended = true
	case "failed":
		m.declined = true
	}
}

// judgeResponses says what was walked over.
func (l *look) judgeResponses(m *responsesMembers) {
	switch m.class {
	case lifecycleEvent, startEvent, endingEvent:
	case partEvent:
		at := m.item
		if at == 0 {
			at = m.part
		}
		if !l.emptyPart(at) {
			l.kind |= Content
		}
	case endEvent:
		l.kind |= Terminal | Last
		l.responseEnd(m)
	case failedEvent:
		l.kind |= Failed
	case wholeAnswer:
		l.wholeResponse(m)
	case contentEvent:
		if m.typed {
			l.kind |= Content
		}
	}
}

// responseEnd looks into the response at the end of its stream.
func (l *look) responseEnd(m *responsesMembers) {
	if !l.objectAt(m.response) {
		return
	}
	for first := true; l.member(&first); {
		ok := false
		switch string(l.name()) {
		case keyUsage:
			ok = l.usageHere()
		case "incomplete_details":
			ok = l.place(&m.details)
		default:
			ok = l.value()
		}
		if !ok {
			return
		}
	}
	l.filteredAt(m.details)
}

func (l *look) wholeResponse(m *responsesMembers) {
	switch {
	case m.declined:
		l.kind |= Failed
	case m.ended:
		l.kind |= Terminal
		l.filteredAt(m.details)
	}
	if !m.hollow {
		l.kind |= Content
	}
}

// filteredAt looks for the provider's filter in the reason why a response is incomplete.
func (l *look) filteredAt(details int) {
	if !l.objectAt(details) {
		return
	}
	for first := true; l.member(&first); {
		word, ok := l.word()
		if !ok {
			return
		}
		if string(l.name()) == "reason" && string(word) == filtered {
			l.kind |= Filtered
		}
	}
}

// emptyPart reports whether the part or the item at a place is of a kind that may come before any content, and
// has none in it.
func (l *look) emptyPart(at int) bool {
	if !l.objectAt(at) {
		return false
	}
	text, empty := false, true
	for first := true; l.member(&first); {
		switch string(l.name()) {
		case keyType:
			word, _ := l.word()
			switch string(word) {
			case keyText, "thinking", "output_text", "summary_text", "reasoning_text", keyMessage, "reasoning":
				text = true
			}
		case "id", keyStatus, keyRole, "phase", "encrypted_content":
			_ = l.value()
		default:
			size := l.size
			hollow, _ := l.hollow()
			l.size = size
			empty = empty && hollow
		}
		if l.fault != "" {
			return false
		}
	}
	return text && empty
}
