// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// What a request can refer to instead of carrying it, as OpenAI's API describes it. In chat completions: files, the
// audio of an earlier answer, a voice of one's own. In responses also: an earlier response, a conversation, a stored
// prompt, items of earlier responses, containers, vector stores and skills. All of that lives at one provider, and
// means nothing elsewhere. Identifiers in citations do not count: they say where a text came from, and nobody looks
// them up. Nor does encrypted content: the request carries it.

// audioFields is audio of a chat completion: the voice is a word, or one that was made at the provider.
var audioFields = newFieldSet(fieldSet{},
	field{name: "voice", path: "audio.voice", read: within(newFieldSet(fieldSet{},
		field{name: keyID, path: "audio.voice.id", read: reference},
	))},
)

// conversationFields is conversation, where it is not just a string.
var conversationFields = newFieldSet(fieldSet{},
	field{name: keyID, path: "conversation.id", read: readConversationID},
)

// itemAudioFields is audio of an assistant's message: instead of what was said, where it is kept.
var itemAudioFields = newFieldSet(fieldSet{text: true},
	field{name: keyID, path: "messages[].audio.id", read: reference},
)

// fileFields is file, or image_file, of a content part.
var fileFields = newFieldSet(fieldSet{text: true},
	field{name: keyFileID, path: "messages[].content[].file.file_id", read: reference},
)

// Where tools work: in an item that tells of a call, and in a tool, whose keys are shown to the model.
var (
	itemEnvironmentFields = newEnvironment(fieldSet{text: true}, "input[].environment")
	toolEnvironmentFields = newEnvironment(fieldSet{text: true, keys: true}, "tools[].environment")
	toolContainerFields   = newEnvironment(fieldSet{text: true, keys: true}, "tools[].container")
)

func newEnvironment(set fieldSet, path string) *fieldSet {
	skill := newFieldSet(set, field{name: "skill_id", path: path + ".skills[].skill_id", read: reference})
	return newFieldSet(set,
		field{name: keyContainerID, path: path + ".container_id", read: reference},
		field{name: "file_ids", path: path + ".file_ids", read: elements(reference)},
		field{name: "skills", path: path + ".skills", read: elements(within(skill))},
	)
}

// maskFields is input_image_mask of a tool that makes images.
var maskFields = newFieldSet(fieldSet{text: true, keys: true},
	field{name: keyFileID, path: "tools[].input_image_mask.file_id", read: reference},
)

// reference reads an identifier. What is no string refers to nothing that we know of, and is for the provider to judge.
func reference(f *Facts) bool {
	given, ok := f.given()
	f.Pinned = f.Pinned || given
	return ok
}

// given passes over the value at hand, and reports whether it is a string that is not empty.
func (f *Facts) given() (given, ok bool) {
	p := &f.peek
	if p.peekByte() != '"' {
		return false, p.value()
	}
	ok = p.str()
	return len(p.raw) > 0, ok
}

// within reads an object. What is none is text, or nothing, as other members of the set are.
func within(set *fieldSet) func(*Facts) bool {
	return func(f *Facts) bool {
		switch {
		case f.peek.peekByte() == '{':
			return f.object(set)
		case set.text:
			return f.text(set.keys)
		default:
			return f.peek.value()
		}
	}
}

// elements reads every element of an array. What is none is passed over.
func elements(read func(*Facts) bool) func(*Facts) bool {
	return func(f *Facts) bool {
		p := &f.peek
		if p.peekByte() != '[' {
			return p.value()
		}
		_, ok := f.each(p.at, read)
		return ok
	}
}

// readContainer reads the container that a tool works in: its name, or an object that says what to put into a new one.
func readContainer(f *Facts) bool {
	if f.peek.peekByte() == '"' {
		return reference(f)
	}
	return within(toolContainerFields)(f)
}

func readPreviousResponse(f *Facts) (ok bool) {
	f.PreviousResponseID, ok = f.str()
	f.Pinned = f.Pinned || len(f.PreviousResponseID) > 0
	return ok
}

// readConversation reads conversation: its identifier, or an object that has it.
func readConversation(f *Facts) bool {
	switch f.peek.peekByte() {
	case '"':
		return readConversationID(f)
	case '{':
		return f.object(conversationFields)
	}
	return f.must("a string or an object")
}

func readConversationID(f *Facts) bool {
	given, ok := f.given()
	f.Conversation = f.Conversation || given
	f.Pinned = f.Pinned || given
	return ok
}

// item is what was seen of the item of an input at hand, or of the message.
type item struct {
	kind itemKind
	// id is true when it has an identifier, whole when it carries what that stands for.
	id, whole bool
}

// itemKind is the type of an item, as far as it matters.
type itemKind uint8

const (
	// untyped items are messages, or references that left their type out.
	untyped itemKind = iota
	// referring items are nothing but a reference.
	referring
	// abridged items may leave out what the provider keeps.
	abridged
	// typed items of any other type carry what they are.
	typed
)

func readItemType(f *Facts) bool {
	i := &f.peek.item
	i.kind = typed
	if f.peek.peekByte() != '"' {
		return f.text(false)
	}
	kind, ok := f.str()
	switch string(kind) {
	case "item_reference":
		i.kind = referring
	case keyReasoning, "image_generation_call":
		i.kind = abridged
	}
	return ok
}

func readItemID(f *Facts) (ok bool) {
	f.peek.item.id, ok = f.given()
	return ok
}

// readItemResult reads an image that was made, in base64.
func readItemResult(f *Facts) bool {
	given, ok := f.given()
	f.peek.item.whole = f.peek.item.whole || given
	return ok
}

// readEncrypted reads reasoning that the provider gave away in a form that only it can read. It counts as input.
func readEncrypted(f *Facts) bool {
	if f.peek.peekByte() == '"' && !isEmptyString(f.peek.b[f.peek.i:]) {
		f.peek.item.whole = true
	}
	return f.text(false)
}

// isEmptyString reports whether b begins with the empty string.
func isEmptyString(b []byte) bool { return len(b) > 1 && b[1] == '"' }

// refers reports whether the item that was read last stands for what is kept at the provider. bare says that it had no
// members that nobody acts on.
func (i item) refers(bare bool) bool {
	switch i.kind {
	case referring:
		return i.id
	case abridged:
		return i.id && !i.whole
	case untyped:
		return i.id && !i.whole && bare
	default:
		return false
	}
}
