// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package capability

import "slices"

// branch is a node of the tree as it is written down: its segment, and what stands below it.
type branch struct {
	name     string
	branches []branch
}

// in is an inner node.
func in(name string, branches ...branch) branch { return branch{name: name, branches: branches} }

// of are leaves.
func of(names ...string) []branch {
	leaves := make([]branch, len(names))
	for i, name := range names {
		leaves[i] = branch{name: name}
	}
	return leaves
}

// categories is the whole tree of docs/design.md, section 2, in its order. A test compares the two.
var categories = []branch{
	in("generation",
		in("text-generation", of("chat-completion", "text-completion", "code-generation")...),
		in("structured-generation", of("json-generation", "schema-constrained-output", "function-call-generation")...),
		in("image-generation", of("text-to-image", "image-to-image", "inpainting")...),
		in("audio-generation", of("text-to-speech", "music-generation")...),
		in("video-generation", of("text-to-video", "image-to-video")...),
	),
	in("understanding",
		in("text-understanding", of("summarization", "classification", "sentiment-analysis", "entity-extraction")...),
		in("vision-understanding", of("image-captioning", "object-detection", "ocr")...),
		in("audio-understanding", of("speech-to-text", "speaker-identification", "audio-classification")...),
		in("document-understanding", of("document-parsing", "table-extraction", "form-extraction")...),
	),
	in("transformation",
		in("translation"),
		in("rewriting"),
		in("style-transfer"),
		in("image-editing", of("background-removal", "upscaling", "format-conversion")...),
		in("audio-processing", of("noise-reduction", "voice-cloning", "audio-separation")...),
	),
	in("representation",
		in("embeddings", of("text-embeddings", "image-embeddings", "multimodal-embeddings")...),
		in("tokenization"),
		in("feature-extraction"),
	),
	in("retrieval",
		in("search", of("semantic-search", "web-search", "image-search", "code-search")...),
		in("knowledge-graph", of("graph-query", "entity-linking", "relation-extraction")...),
		in("rag", of("retrieval-augmented-generation", "grounded-generation")...),
		in("reranking"),
	),
	in("interaction",
		in("tool-calling"),
		in("agent-execution", of("single-step-agent", "multi-step-agent")...),
		in("multi-turn-conversation"),
	),
	in("evaluation",
		of("content-moderation", "toxicity-detection", "factuality-checking", "quality-scoring")...,
	),
}

// tree is the literal above, indexed.
type tree struct {
	// all holds every node, each before what stands below it.
	all []Node
	// children holds the nodes right below a node; those below the zero Node are the categories.
	children map[Node][]Node
	// names holds every name Resolve accepts for a built-in node: the full one, and the last segment where no
	// other node has it.
	names map[string]Node
}

// builtin is read-only: nothing writes to it after the program has started.
var builtin = plant(categories)

func plant(roots []branch) tree {
	t := tree{children: map[Node][]Node{}, names: map[string]Node{}}
	segments := map[string]int{}
	t.grow("", roots, segments)
	for _, n := range t.all {
		if last := lastSegment(n); segments[last] == 1 {
			t.names[last] = n
		}
	}
	return t
}

// grow adds the branches below parent, and counts their segments.
func (t *tree) grow(parent Node, branches []branch, segments map[string]int) {
	for _, b := range branches {
		n := Node(b.name)
		if parent != "" {
			n = parent + "." + n
		}
		t.all = append(t.all, n)
		t.children[parent] = append(t.children[parent], n)
		t.names[string(n)] = n
		segments[b.name]++
		t.grow(n, b.branches, segments)
	}
}

// All returns every built-in node in the order of the tree: each before what stands below it.
func All() []Node { return slices.Clone(builtin.all) }

// Children returns the built-in nodes right below n, in the order of the tree; the categories for the zero
// Node, and none for a leaf or a user's own node.
func Children(n Node) []Node { return slices.Clone(builtin.children[n]) }
