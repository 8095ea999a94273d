// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/turnout-ai/turnout/internal/proxy"
)

type options struct {
	listen, adminListen       string
	kubeconfig                string
	defaultNamespace          string
	namespaces                []string
	allowAnonymous            bool
	maxBody, bodyBudget       int64
	maxConnections            int
	accessLog                 string
	sendAttemptID             bool
	drainNotice, drainTimeout time.Duration
	logLevel, logFormat       string
	version                   bool
}

const usage = `Serves OpenAI requests by the ModelEndpoints and RoutingPolicies of a Kubernetes cluster.

Usage:
  proxy --allow-anonymous [flags]

Flags:
`

func parseFlags(args []string) (options, error) {
	var o options
	f := pflag.NewFlagSet("proxy", pflag.ContinueOnError)
	f.Usage = func() { _, _ = os.Stdout.WriteString(usage + f.FlagUsages()) }
	f.StringVar(&o.listen, "listen", ":8080", "address to serve callers on")
	f.StringVar(&o.adminListen, "admin-listen", "127.0.0.1:9090", "address to serve health, metrics, profiles and /debug on; keep callers away from it")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; without it the Pod's own service account is used")
	f.StringVar(&o.defaultNamespace, "default-namespace", "default", "namespace in which the model names of anonymous callers are looked up")
	f.StringSliceVar(&o.namespaces, "namespaces", nil, "namespaces to read endpoints and policies from (default all)")
	f.BoolVar(&o.allowAnonymous, "allow-anonymous", false, "serve callers without knowing who they are; required, as there is no access control yet")
	f.Int64Var(&o.maxBody, "max-body-bytes", proxy.DefaultMaxBody, "largest request body taken")
	f.Int64Var(&o.bodyBudget, "body-budget-bytes", proxy.DefaultBodyBudget, "most memory for request bodies at once; beyond it callers get a 503")
	f.IntVar(&o.maxConnections, "max-connections", 0, "most connections of callers at once (default half of the descriptors the process may have)")
	f.StringVar(&o.accessLog, "access-log", "stdout", "where one line per request goes: stdout, off, or a file to append to")
	f.BoolVar(&o.sendAttemptID, "send-attempt-id", false, "send the header x-turnout-attempt to providers, to find an attempt again in their logs")
	f.DurationVar(&o.drainNotice, "drain-notice", 5*time.Second, "how long to go on taking requests after SIGTERM, until load balancers have noticed")
	f.DurationVar(&o.drainTimeout, "drain-timeout", 10*time.Minute, "how long requests may take to end after that")
	f.StringVar(&o.logLevel, "log-level", "info", "least level logged to stderr: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "json", "format of the log on stderr: json or text")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, o.validate(f.Args())
}

func (o *options) validate(rest []string) error {
	if o.version {
		return nil
	}
	if !o.allowAnonymous {
		return errors.New("there is no access control yet: whoever reaches the proxy may use every model it serves. " +
			"Pass --allow-anonymous if the network in front of it is trusted")
	}
	var level slog.Level
	for _, wrong := range []struct {
		is       bool
		sentence string
	}{
		{len(rest) > 0, fmt.Sprintf("%q is not a flag; see proxy --help", rest)},
		{slices.Contains(o.namespaces, ""), "--namespaces has an empty name; leave the flag out to read all namespaces"},
		{
			len(o.namespaces) > 0 && !slices.Contains(o.namespaces, o.defaultNamespace),
			fmt.Sprintf("--default-namespace %q is not among --namespaces, so no bare name could be served; add it there", o.defaultNamespace),
		},
		{o.defaultNamespace == "", "--default-namespace is empty; name the namespace whose policies anonymous callers use"},
		{o.maxBody <= 0, "--max-body-bytes must be positive"},
		{o.bodyBudget < o.maxBody, "--body-budget-bytes is less than --max-body-bytes; the largest body could never be taken"},
		{o.maxConnections < 0, "--max-connections must not be negative"},
		{o.drainNotice < 0 || o.drainTimeout < 0, "--drain-notice and --drain-timeout must not be negative"},
		{o.logFormat != "json" && o.logFormat != "text", fmt.Sprintf("--log-format=%q is neither json nor text", o.logFormat)},
		{level.UnmarshalText([]byte(o.logLevel)) != nil, fmt.Sprintf("--log-level=%q is none of debug, info, warn, error", o.logLevel)},
	} {
		if wrong.is {
			return errors.New(wrong.sentence)
		}
	}
	return nil
}

func (o *options) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.logLevel)) // validated
	handler := &slog.HandlerOptions{Level: level}
	if o.logFormat == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, handler))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, handler))
}

// openAccessLog returns nil for no log.
func (o *options) openAccessLog() (log *proxy.AccessLog, closeLog func(), err error) {
	var out io.Writer = os.Stdout
	closeLog = func() {}
	switch o.accessLog {
	case "off":
		return nil, closeLog, nil
	case "stdout":
	default:
		file, err := os.OpenFile(o.accessLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, nil, fmt.Errorf("--access-log: %w", err)
		}
		out, closeLog = file, func() { _ = file.Close() }
	}
	return proxy.NewAccessLog(out), closeLog, nil
}

// restConfig says how to reach the API server.
func (o *options) restConfig() (*rest.Config, error) {
	if o.kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("this is not a Pod, so give --kubeconfig: %w", err)
	}
	return config, nil
}

// instanceNamespace is where this process registers itself: with its Pod, or with the policies it serves.
func (o *options) instanceNamespace() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return o.defaultNamespace
}
