// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin is the command line of kubectl-turnout.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
	"github.com/turnout-ai/turnout/internal/version"
)

// Exit codes.
const (
	// ExitOK says that the question was answered, and for explain that an endpoint would be tried.
	ExitOK = 0
	// ExitError says that the question could not be asked: wrong arguments, or a cluster out of reach.
	ExitError = 1
	// ExitNothing says that the name resolves to nothing, or that no endpoint would be tried.
	ExitNothing = 2
)

// errNothing ends explain with ExitNothing; all there is to say has been written.
var errNothing = errors.New("nothing would be tried")

// defaultTimeout bounds a request to the API server unless --request-timeout says otherwise.
const defaultTimeout = 15 * time.Second

// Main runs the plugin with the arguments after its name and returns the exit code.
func Main(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	klog.SetLogger(logr.FromSlogHandler(slog.DiscardHandler)) // Errors are returned; the client's log adds nothing.
	root := newRoot()                                         //nolint:contextcheck // cobra hands the context to the commands when they run.
	root.SetArgs(arguments)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errNothing):
		return ExitNothing
	}
	_, _ = fmt.Fprintf(stderr, "error: %v\n", err) // There is nowhere left to complain to.
	return ExitError
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-turnout",
		Short:         "Ask how Turnout routes AI requests",
		Long:          "Ask how Turnout routes AI requests. Nothing here changes anything in the cluster, and no Secret is read.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl turnout"},
		// kubectl completes plugins in a way of its own.
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	target := newTarget(root.PersistentFlags())
	root.AddCommand(newExplain(target), newCapabilities(target), &cobra.Command{
		Use:   "version",
		Short: "Print the plugin's version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.String())
			return err
		},
	})
	return root
}

// target is the cluster and namespace that a command speaks of, chosen as kubectl chooses them.
type target struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides *clientcmd.ConfigOverrides
}

func newTarget(flags *pflag.FlagSet) *target {
	t := &target{rules: clientcmd.NewDefaultClientConfigLoadingRules(), overrides: &clientcmd.ConfigOverrides{}}
	flags.StringVar(&t.rules.ExplicitPath, "kubeconfig", "", "Path to the kubeconfig file to use")
	clientcmd.BindOverrideFlags(t.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	return t
}

// connect returns a client for the cluster, and the namespace that was asked for or is the context's.
func (t *target) connect(warnings io.Writer) (c client.Client, namespace string, err error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(t.rules, t.overrides)
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", errors.New("no cluster is configured: set KUBECONFIG or pass --kubeconfig")
	}
	if err != nil {
		return nil, "", err
	}
	namespace, _, err = loader.Namespace()
	if err != nil {
		return nil, "", err
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	config.WarningHandler = rest.NewWarningWriter(warnings, rest.WarningWriterOptions{Deduplicate: true})
	c, err = kube.NewClient(config, nil)
	return c, namespace, err
}

// read lists the endpoints and policies of a namespace; empty means all.
func read(ctx context.Context, c client.Client, namespace string) ([]v1alpha1.ModelEndpoint, []v1alpha1.RoutingPolicy, error) {
	var endpoints v1alpha1.ModelEndpointList
	if err := list(ctx, c, &endpoints, "ModelEndpoints", namespace); err != nil {
		return nil, nil, err
	}
	var policies v1alpha1.RoutingPolicyList
	if err := list(ctx, c, &policies, "RoutingPolicies", namespace); err != nil {
		return nil, nil, err
	}
	return endpoints.Items, policies.Items, nil
}

// list reads the objects of one kind, and says what to do when that fails.
func list(ctx context.Context, c client.Client, into client.ObjectList, kind, namespace string) error {
	err := c.List(ctx, into, client.InNamespace(namespace))
	where := fmt.Sprintf("in namespace %q", namespace)
	if namespace == "" {
		where = "in all namespaces"
	}
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the cluster has no %s: install Turnout's CustomResourceDefinitions first", kind)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not list %s %s: ask for the verb list on %s.turnout.dev there (%w)", kind, where, strings.ToLower(kind), err)
	}
	return fmt.Errorf("listing %s %s: %w", kind, where, err)
}
