// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command modelsim is a simulated model provider that speaks OpenAI's wire and fails on request.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "modelsim:", err)
		os.Exit(1)
	}
}

// options are the flags that are not part of the simulator's own configuration.
type options struct {
	config                  modelsim.Config
	compress                string
	listen, control         string
	ledger                  string
	certificate, privateKey string
}

const description = `A simulated model provider: OpenAI's chat completions, completions, embeddings and models, with
real-looking ids, usage, limits and headers. Equal seeds and requests give equal content.

Speed: the flags below, or for one request the header
  X-Modelsim-Timing: latency=1s;time-to-first-token=2s;tokens-per-second=5;tokens=20
or, through a proxy, the same text as metadata.modelsim_timing of the body.

Faults: for one request the header X-Modelsim-Fault (or metadata.modelsim_fault), written name;key=value;…
Every fault takes delay=DURATION; those with names in backquotes take NAME=VALUE too. Errors take shape=: openai,
azure, openrouter, vllm, vllm-old, mistral, anthropic, gemini. What spoils a real answer takes says=: reasoning,
tool-call, refusal. The names:
%s
Rules for many requests, by the control API under /_sim (--control gives it a listener of its own):
  GET  /_sim/state                 counters
  POST /_sim/rules                 {"fault":"503","probability":0.5,"count":10,"skip":0,"model":"sim-large",
                                    "path":"/v1/embeddings","apiKey":"…","connection":"reused",
                                    "sequence":["500","ok","rate-limit;wait=2s"],"repeat":true,"timing":"latency=1s"}
  PUT  /_sim/rules                 a list of rules in place of all others
  GET, DELETE /_sim/rules, DELETE /_sim/rules/ID
  POST /_sim/listener              {"state":"closed","for":"2s","connections":"reset"} or {"state":"open"}
  POST /_sim/connections           {"reset":"idle"} or {"reset":"all"}

The ledger has one JSON line per event of a request (accepted, head, progress, finished, cancelled, aborted),
written before the event can be seen; the header X-Turnout-Attempt names the request in it.`

func command() *cobra.Command {
	o := options{config: modelsim.DefaultConfig()}
	command := &cobra.Command{
		Use:           "modelsim",
		Short:         "A simulated model provider that speaks OpenAI's wire and fails on request",
		Long:          fmt.Sprintf(description, modelsim.Faults()),
		Example:       "  modelsim --listen 127.0.0.1:9001 --api-key sk-test --tokens-per-second 50 --ledger ledger.jsonl",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(command *cobra.Command, _ []string) error { return o.run(command.Context()) },
	}
	c, flags := &o.config, command.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:9001", "address of the API; port 0 takes a free one")
	flags.StringVar(&o.control, "control", "", "address of the control API; empty serves /_sim beside the API")
	flags.StringSliceVar(&c.Models, "models", c.Models, "models to serve; those with \"embed\" in their name serve embeddings")
	flags.StringArrayVar(&c.APIKeys, "api-key", nil, "key to accept as \"Authorization: Bearer\" (repeatable); none accepts everyone")
	flags.StringVar(&c.BasePath, "base-path", "", "path before /v1, such as /openai")
	flags.Uint64Var(&c.Seed, "seed", 0, "changes the content of all answers")
	flags.DurationVar(&c.Timing.Latency, "latency", 0, "time until the head of an answer")
	flags.DurationVar(&c.Timing.TimeToFirstToken, "time-to-first-token", 0, "time until the first content; latency is part of it")
	flags.Float64Var(&c.Timing.TokensPerSecond, "tokens-per-second", 0, "speed of content; 0 does not wait between tokens")
	flags.IntVar(&c.Timing.Tokens, "tokens", c.Timing.Tokens, "length of an answer that nothing cuts short")
	flags.IntVar(&c.ContextWindow, "context-window", c.ContextWindow, "tokens of prompt and answer together")
	flags.StringVar(&o.compress, "compress", string(modelsim.CompressOff), "off, negotiate, always-gzip or always-br")
	flags.IntVar(&c.RequestsPerMinute, "requests-per-minute", 0, "limit per key and model, answered with 429; 0 enforces none")
	flags.IntVar(&c.TokensPerMinute, "tokens-per-minute", 0, "limit per key and model, answered with 429; 0 enforces none")
	flags.DurationVar(&c.IdleTimeout, "idle-timeout", c.IdleTimeout, "close keep-alive connections that were idle for so long; 0 keeps them")
	flags.BoolVar(&c.IdleReset, "idle-reset", false, "close idle connections with RST instead of FIN")
	flags.StringVar(&o.ledger, "ledger", "", "file to append the ledger to; empty keeps none")
	flags.StringVar(&o.certificate, "tls-certificate", "", "PEM file; with --tls-key the API is served over TLS")
	flags.StringVar(&o.privateKey, "tls-key", "", "PEM file of the private key")
	return command
}

// run serves until ctx ends.
func (o *options) run(ctx context.Context) error {
	o.config.Compress = modelsim.Compression(o.compress)
	o.config.HideControl = o.control != ""
	secure, err := o.secure()
	if err != nil {
		return err
	}
	if o.ledger != "" {
		writer, err := ledger.Open(o.ledger)
		if err != nil {
			return err
		}
		// Every line is in the file once it is written; closing has nothing to lose.
		defer func() { _ = writer.Close() }()
		o.config.Ledger = writer
	}
	server, err := modelsim.Start(ctx, o.config, o.listen, secure)
	if err != nil {
		return err
	}
	line := "modelsim listens on " + server.URL()
	if o.control != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.control)
		if err != nil {
			server.Close()
			return fmt.Errorf("listen for the control API: %w", err)
		}
		control := &http.Server{Handler: server.Sim.Control(), ReadHeaderTimeout: 30 * time.Second}
		go func() { _ = control.Serve(listener) }() // ends with the process
		line += ", control on http://" + listener.Addr().String()
	}
	fmt.Println(line)
	server.Wait()
	return nil
}

// secure is the TLS configuration, nil without one.
func (o *options) secure() (*tls.Config, error) {
	if o.certificate == "" && o.privateKey == "" {
		return nil, nil //nolint:nilnil // plain text was asked for
	}
	pair, err := tls.LoadX509KeyPair(o.certificate, o.privateKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-certificate and --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
