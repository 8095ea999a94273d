// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import "slices"

// operations is a set of Operation, a bit for each.
type operations uint8

func (o Operation) bit() operations { return 1 << o }

// reach is a rule of which endpoints an operation goes to.
type reach struct {
	operation Operation
	// nodes are the nodes whose endpoints take it, with everything below them.
	nodes []Node
	// except are nodes that do not take it although they stand below one of nodes.
	except []Node
}

// reaches is how the doors of OpenAI's API and the capability tree meet; the doc of
// ModelEndpointSpec.Capabilities tells users the same. Chat is the widest door: image captions, translations,
// moderation and tool calls are all asked for in messages.
var reaches = []reach{
	{
		operation: ChatCompletions,
		nodes:     []Node{"generation", "understanding", "transformation", "retrieval", "interaction", "evaluation"},
		except:    []Node{"generation.text-generation.text-completion"},
	},
	{
		operation: Completions,
		nodes:     []Node{"generation.text-generation.text-completion", "generation.text-generation.code-generation"},
	},
	{
		operation: Embeddings,
		nodes:     []Node{"representation.embeddings"},
	},
}

// operationsOf returns the operations that reach an endpoint with those capabilities: the union over all of
// them. A user's own node takes every operation, for nobody but the user knows what it means.
func operationsOf(nodes []Node) operations {
	var set operations
	for _, n := range nodes {
		for _, r := range reaches {
			if n.Custom() || r.includes(n) {
				set |= r.operation.bit()
			}
		}
	}
	return set
}

// includes reports whether the operation reaches n. An endpoint registered at an inner node offers what is
// below it, so it is reached from there too.
func (r reach) includes(n Node) bool {
	return !slices.Contains(r.except, n) && slices.ContainsFunc(r.nodes, func(at Node) bool { return related(at, n) })
}

// related reports whether one node is the other or stands below it.
func related(a, b Node) bool { return a.Contains(b) || b.Contains(a) }
