// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// geminiFilters are the reasons of Gemini that speak of its filters (Gemini API reference, "FinishReason" and
// "BlockReason").
var geminiFilters = map[string]bool{
	"SAFETY": true, "RECITATION": true, "BLOCKLIST": true, "PROHIBITED_CONTENT": true, "SPII": true,
	"IMAGE_SAFETY": true, "IMAGE_PROHIBITED_CONTENT": true, "IMAGE_RECITATION": true, "MODEL_ARMOR": true,
}

// geminiAnswer walks over a GenerateContentResponse: each frame of a stream is one, and so is a whole answer.
// Its members are left out when they are empty, so an empty object is an empty answer.
func (l *look) geminiAnswer() bool {
	if !l.open() {
		return false
	}
	l.known = true
	for first := true; l.member(&first); {
		if !l.geminiMember() {
			return false
		}
	}
	return l.fault == ""
}

func (l *look) geminiMember() bool {
	switch string(l.name()) {
	case "candidates":
		if l.peekByte() != '[' {
			return l.unsizedUnlessNull()
		}
		return l.objects(candidates)
	case "promptFeedback":
		if l.peekByte() != '{' {
			return l.value()
		}
		return l.promptFeedback()
	case "usageMetadata":
		return l.usageHere()
	case keyError:
		return l.errorMember()
	case "modelVersion", "responseId", "createTime", "modelStatus":
		return l.value()
	}
	return l.unsizedUnlessNull() // embeddings, and what is not known
}

// promptFeedback reads whether the prompt was refused: then there are no candidates, and that is the answer.
func (l *look) promptFeedback() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		if string(l.name()) == "blockReason" {
			ok = l.geminiReason()
			if l.kind&Terminal != 0 {
				l.kind |= Filtered
			}
		} else {
			ok = l.value()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// geminiReason reads why an answer ended, or why there is none.
func (l *look) geminiReason() bool {
	if l.peekByte() != '"' {
		return l.value()
	}
	reason, ok := l.word()
	switch {
	case len(l.raw) == 0, string(reason) == "FINISH_REASON_UNSPECIFIED":
	case geminiFilters[string(reason)]:
		l.kind |= Terminal | Filtered
	default:
		l.kind |= Terminal
	}
	return ok
}

// candidateMember adds what one member of a candidate says. Candidates are what choices are to OpenAI.
func (l *look) candidateMember() bool {
	switch string(l.name()) {
	case "finishReason":
		return l.geminiReason()
	case "index", "finishMessage", "safetyRatings", "citationMetadata", "tokenCount", "avgLogprobs", "logprobsResult":
		return l.value()
	case keyContent:
		if l.peekByte() == '{' {
			return l.geminiContent()
		}
	}
	return l.unsizedUnlessHollow()
}

// geminiContent walks over who speaks and what is said.
func (l *look) geminiContent() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		switch name := l.name(); {
		case string(name) == keyRole:
			ok = l.value()
		case string(name) == "parts" && l.peekByte() == '[':
			ok = l.objects(parts)
		default:
			ok = l.unsizedUnlessHollow()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// partMember adds what one member of a part says. Only what the model has written counts as text: media are base64.
func (l *look) partMember() bool {
	switch string(l.name()) {
	case keyText, "functionCall", "executableCode", "codeExecutionResult":
		return l.contentUnlessHollow()
	default:
		return l.unsizedUnlessHollow()
	}
}
