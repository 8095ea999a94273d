// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/internal/explain"
	"github.com/turnout-ai/turnout/internal/routing"
)

// explainFlags describe the request that is asked about.
type explainFlags struct {
	operation              string
	stream                 bool
	features               []string
	inputTokens, maxTokens int64
	pinned                 bool
	output                 string
}

func newExplain(t *target) *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say which policy a name reaches, and which endpoints would be tried in which order",
		Long: `Say what a proxy would do with a request whose model field is NAME: which policy it
reaches, which endpoints would be tried in which order, and why the others are left out.

NAME is a model name of a policy or a capability, as a caller in the namespace would
write it; namespace/name reaches into another namespace. The answer is made of the objects
in the cluster, by the functions that the proxies use: whether an endpoint rests is what the
operator has written into its status. What a proxy alone has noticed since is not part of
it, and neither is what one proxy may use of a limit: /debug/explain on its administration
port shows that. Secrets are not read.

Exit status: 0 if an endpoint would be tried, 2 if none would be or the name resolves
to nothing, 1 if the question could not be asked.`,
		Example: `  # Where does a caller in team-a get who asks for "chat"?
  kubectl turnout explain chat -n team-a

  # A streamed chat request with images and a long input
  kubectl turnout explain chat --operation chat --stream --features Vision --input-tokens 90000

  # Whatever serves embeddings, for a script
  kubectl turnout explain text-embeddings --operation embeddings -o json`,
		Args: exactlyOne("NAME, the model name or capability that a caller would ask for"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			facts, err := flags.facts()
			if err != nil {
				return err
			}
			c, namespace, err := t.connect(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			question := explain.Question{Namespace: namespace, Name: arguments[0], Facts: facts}
			return answer(cmd.Context(), c, question, flags.output, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.operation, "operation", "", "What is asked of the model: chat, completions or embeddings (default: any)")
	f.BoolVar(&flags.stream, "stream", false, "The answer is to be streamed")
	f.StringSliceVar(&flags.features, "features", nil, "What the request uses, separated by commas: "+strings.Join(featureNames(), ", "))
	f.Int64Var(&flags.inputTokens, "input-tokens", 0, "About how many tokens the input has")
	f.Int64Var(&flags.maxTokens, "max-tokens", 0, "How many tokens the answer may have (default: the request does not say)")
	f.BoolVar(&flags.pinned, "pinned", false, "The request refers to state at a provider: a file, an earlier response, a conversation")
	f.StringVarP(&flags.output, "output", "o", "", "json, or nothing for text")
	return cmd
}

// answer reads what the question needs, and writes the answer.
func answer(ctx context.Context, c client.Client, question explain.Question, output string, w io.Writer) error {
	endpoints, policies, err := read(ctx, c, question.Namespace)
	if err != nil {
		return err
	}
	if other, _, named := strings.Cut(question.Name, "/"); named && other != question.Namespace && !strings.Contains(other, ".") {
		theirEndpoints, theirPolicies, err := read(ctx, c, other)
		if err != nil {
			return err
		}
		endpoints, policies = append(endpoints, theirEndpoints...), append(policies, theirPolicies...)
	}
	table, unchecked := explain.Table(endpoints, policies)
	a := explain.Explain(table, explain.StateOf(table, endpoints, time.Now()), question)
	if names := shown(a, unchecked); len(names) > 0 {
		a.Notes = append(a.Notes, "Secrets are not read, and the operator has not said whether they can be used, of: "+
			strings.Join(names, ", ")+". They count as usable here.")
	}
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(a)
	} else {
		err = explain.WriteText(w, question.Facts, a)
	}
	if err == nil && len(a.Order) == 0 {
		err = errNothing
	}
	return err
}

// shown are the names among the keys that the answer would try.
func shown(a explain.Answer, keys []routing.Key) []string {
	namespace, _, _ := strings.Cut(a.Policy, "/")
	var names []string
	for _, candidate := range a.Order {
		if slices.Contains(keys, routing.Key{Namespace: namespace, Name: candidate.Endpoint}) {
			names = append(names, candidate.Endpoint)
		}
	}
	return names
}

// facts reads the flags.
func (f *explainFlags) facts() (routing.Facts, error) {
	facts := routing.Facts{Delivery: routing.Synchronous, InputTokens: f.inputTokens, MaxOutputTokens: f.maxTokens, Pinned: f.pinned}
	if f.stream {
		facts.Delivery = routing.Streaming
	}
	operation, known := routing.ParseOperation(f.operation)
	if !known {
		return facts, fmt.Errorf("--operation %q is not known: use chat, completions or embeddings, or leave it out for any", f.operation)
	}
	facts.Operation = operation
	for _, name := range f.features {
		feature, known := featureNamed(name)
		if !known {
			return facts, fmt.Errorf("--features %q is not known: use %s", name, strings.Join(featureNames(), ", "))
		}
		facts.Features |= feature
	}
	switch {
	case f.inputTokens < 0:
		return facts, errors.New("--input-tokens must not be negative")
	case f.maxTokens < 0:
		return facts, errors.New("--max-tokens must not be negative")
	case f.output != "" && f.output != "json":
		return facts, fmt.Errorf("--output %q is not known: use json, or leave it out for text", f.output)
	}
	return facts, nil
}

func featureNames() []string {
	var names []string
	for _, feature := range routing.AllFeatures() {
		names = append(names, feature.String())
	}
	return names
}

// featureNamed finds a feature by its name; case does not matter on a command line.
func featureNamed(name string) (routing.Features, bool) {
	for _, feature := range routing.AllFeatures() {
		if strings.EqualFold(feature.String(), strings.TrimSpace(name)) {
			return feature, true
		}
	}
	return 0, false
}

// exactlyOne asks for one argument, and says which when it is missing.
func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, arguments []string) error {
		if len(arguments) != 1 {
			return fmt.Errorf("%s takes one argument: %s; got %d (see %s --help)", cmd.CommandPath(), what, len(arguments), cmd.CommandPath())
		}
		return nil
	}
}
