// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/harness"
)

// bringUpCurrent runs operator and proxy here against the cluster of the current kubeconfig context, after
// saying which one that is and asking.
func (s *stage) bringUpCurrent(ctx context.Context) error {
	config, err := currentContext()
	if err != nil {
		return err
	}
	if err := s.askFirst(ctx, config); err != nil {
		return err
	}
	if err := s.checkPorts(); err != nil {
		return err
	}
	// The processes get this one context in a file of their own: a kubectl config use-context in another
	// terminal must not move them to another cluster.
	if err := clientcmd.WriteToFile(*config, s.kubeconfig()); err != nil {
		return err
	}
	if err := s.buildPrograms(ctx); err != nil {
		return err
	}
	if err := s.installInto(ctx); err != nil {
		return err
	}
	err = step("starting operator and proxy", func() error {
		if err := s.startOperator(ctx); err != nil {
			return err
		}
		return s.startProxy(ctx)
	})
	if err != nil {
		return err
	}
	s.sayWhatIsNextCurrent(config)
	return nil
}

// currentContext is the user's kubeconfig with nothing but its current context, and no reference to files.
func currentContext() (*clientcmdapi.Config, error) {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if config.CurrentContext == "" {
		return nil, errors.New("the kubeconfig has no current context; choose one with kubectl config use-context NAME")
	}
	if err := clientcmdapi.MinifyConfig(config); err != nil {
		return nil, fmt.Errorf("the current context %s cannot be used: %w; see kubectl config view", config.CurrentContext, err)
	}
	if err := clientcmdapi.FlattenConfig(config); err != nil {
		return nil, fmt.Errorf("reading what context %s refers to: %w", config.CurrentContext, err)
	}
	return config, nil
}

// describeContext names cluster, server and context.
func describeContext(config *clientcmdapi.Config) (cluster, server string) {
	cluster = config.Contexts[config.CurrentContext].Cluster
	return cluster, config.Clusters[cluster].Server
}

// askFirst says what is about to happen to whose cluster, and returns nil only for a yes.
func (s *stage) askFirst(ctx context.Context, config *clientcmdapi.Config) error {
	cluster, server := describeContext(config)
	fmt.Printf("This installs Turnout's CustomResourceDefinitions into a cluster and runs the operator and a proxy against it:\n\n"+
		"  context  %s\n  cluster  %s\n  server   %s\n\n", config.CurrentContext, cluster, server)
	if s.yes {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) { //nolint:gosec // descriptors fit an int
		return errors.New("nothing was done: the cluster has to be confirmed and the input is not a terminal; run it in a terminal, or pass --yes (go run ./hack/run --cluster=current --yes)")
	}
	fmt.Print("Go on? [y/N] ")
	answer := make(chan string, 1)
	go func() { answer <- readAnswer(os.Stdin) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case given := <-answer:
		if given != "y" && given != "yes" {
			return errors.New("nothing was done: only y goes on")
		}
		return nil
	}
}

func readAnswer(from io.Reader) string {
	line, err := bufio.NewReader(from).ReadString('\n')
	if err != nil {
		return "" // no answer is a no
	}
	return strings.ToLower(strings.TrimSpace(line))
}

func (s *stage) installInto(ctx context.Context) error {
	dir := filepath.Join(s.root, "config", "crd", "bases")
	return step("installing Turnout's kinds", func() error {
		cluster, err := s.currentCluster()
		if err != nil {
			return err
		}
		// Said even when this fails half way.
		s.farewell = "Left in the cluster: Turnout's CustomResourceDefinitions and every object of their kinds. To remove them all:\n" +
			"  make uninstall"
		return harness.InstallCRDs(ctx, cluster, dir)
	})
}

// currentCluster is a client of the cluster that was confirmed.
func (s *stage) currentCluster() (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig())
	if err != nil {
		return nil, err
	}
	return harness.NewClient(config)
}

// bookBound is how long an operator may take to put what an ended proxy has counted into its books: numbers are
// written every ten seconds.
const bookBound = 20 * time.Second

// awaitBooks lets the operator take in what the proxy that was just stopped has counted, and remove its
// ProxyInstance, so that nothing of this run stays in the cluster. What it cannot do in time the next one does.
func (s *stage) awaitBooks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bookBound)
	defer cancel()
	cluster, err := s.currentCluster()
	if err != nil {
		return err
	}
	return harness.Poll(ctx, 200*time.Millisecond, func(ctx context.Context) error {
		var instances v1alpha1.ProxyInstanceList
		if err := cluster.List(ctx, &instances); err != nil {
			return err
		}
		for i := range instances.Items {
			if instances.Items[i].Status.Ended {
				return fmt.Errorf("ProxyInstance %s has ended and is not in the books yet", instances.Items[i].Name)
			}
		}
		return nil
	})
}
