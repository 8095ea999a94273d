// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/internal/capability"
	"github.com/turnout-ai/turnout/internal/explain"
	"github.com/turnout-ai/turnout/internal/routing"
)

func newCapabilities(t *target) *cobra.Command {
	var offline, everywhere bool
	cmd := &cobra.Command{
		Use:   "capabilities [NODE]",
		Short: "Print the capability tree, and how many endpoints offer each node",
		Long: `Print the capability tree, or the part of it at and below NODE, and how many endpoints of
the namespace offer each node: those registered at it or below it. Endpoints on Standby count
too; the second number is without them. Nodes under a domain of your own follow at the end.

The last part of a name is enough wherever it is unique in the tree.`,
		Example: `  # The whole tree, with the endpoints of the current namespace
  kubectl turnout capabilities

  # Everything below text-generation, with the endpoints of all namespaces
  kubectl turnout capabilities text-generation -A

  # The tree alone, without a cluster
  kubectl turnout capabilities --offline`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			var root routing.Node
			if len(arguments) == 1 {
				var err error
				if root, err = capability.Resolve(arguments[0]); err != nil {
					return err
				}
			}
			if offline {
				return writeTree(cmd.OutOrStdout(), root, nil)
			}
			c, namespace, err := t.connect(cmd.ErrOrStderr())
			if err != nil {
				return offlineHint(err)
			}
			if everywhere {
				namespace = ""
			}
			endpoints, err := offered(cmd.Context(), c, namespace)
			if err != nil {
				return offlineHint(err)
			}
			return writeTree(cmd.OutOrStdout(), root, endpoints)
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "Print the tree alone, without asking a cluster")
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "Count the endpoints of all namespaces")
	return cmd
}

func offlineHint(err error) error {
	return fmt.Errorf("%w\nthe tree alone needs no cluster: add --offline", err)
}

// offer is an endpoint, and whether it takes traffic.
type offer struct {
	*routing.Endpoint
	active bool
}

// offered reads the endpoints of a namespace, as a table has them; never nil.
func offered(ctx context.Context, c client.Client, namespace string) ([]offer, error) {
	endpoints, policies, err := read(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	table, _ := explain.Table(endpoints, policies)
	state := explain.StateOf(table, endpoints, time.Now())
	offers := make([]offer, 0, len(table.Endpoints))
	for _, e := range table.Endpoints {
		offers = append(offers, offer{Endpoint: e, active: state.Active(e)})
	}
	return offers, nil
}

// writeTree writes the nodes at and below root, all of them when root is empty, with the numbers of endpoints
// unless those are nil.
func writeTree(out io.Writer, root routing.Node, endpoints []offer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	header := "CAPABILITY"
	if endpoints != nil {
		header += "\tENDPOINTS\tACTIVE"
	}
	_, _ = fmt.Fprintln(w, header) // tabwriter keeps the first error for Flush.
	for _, node := range nodes(root, endpoints) {
		line := strings.Repeat("  ", depth(node, root)) + label(node)
		if endpoints != nil {
			total, active := count(node, endpoints)
			line += "\t" + strconv.Itoa(total) + "\t" + strconv.Itoa(active)
		}
		_, _ = fmt.Fprintln(w, line)
	}
	return w.Flush()
}

// nodes are those to show: of the tree in its order, then those under domains that an endpoint offers, by name.
func nodes(root routing.Node, endpoints []offer) []routing.Node {
	var shown, custom []routing.Node
	for _, node := range capability.All() {
		if root == "" || root.Contains(node) {
			shown = append(shown, node)
		}
	}
	if root.Custom() {
		custom = append(custom, root)
	}
	for _, endpoint := range endpoints {
		for _, node := range endpoint.Nodes {
			if node.Custom() && (root == "" || root.Contains(node)) {
				custom = append(custom, node)
			}
		}
	}
	slices.Sort(custom)
	return append(shown, slices.Compact(custom)...)
}

// depth is how far node stands below root; nodes under a domain are listed flat, by their whole name.
func depth(node, root routing.Node) int {
	steps := 0
	for !node.Custom() && node != root {
		parent, ok := node.Parent()
		if !ok {
			break
		}
		node = parent
		steps++
	}
	return steps
}

// label is the shortest name that works, or in its place in the tree the last part of it with a word of warning.
func label(node routing.Node) string {
	short := node.Short()
	if node.Custom() || !strings.Contains(short, ".") {
		return short
	}
	return short[strings.LastIndexByte(short, '.')+1:] + " (" + short + ")"
}

// count counts the endpoints registered at node or below it, and those of them that take traffic.
func count(node routing.Node, endpoints []offer) (total, active int) {
	for _, endpoint := range endpoints {
		if !slices.ContainsFunc(endpoint.Nodes, node.Contains) {
			continue
		}
		total++
		if endpoint.active {
			active++
		}
	}
	return total, active
}
