// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command wirecheck holds what modelsim (or anything else that speaks OpenAI's wire) answers against OpenAI's own
// OpenAPI description: every JSON answer, every stream frame, every error. The description is not part of this
// repository; get it from github.com/openai/openai-openapi and pass its path:
//
//	go -C test/wirecheck run . -spec /path/to/openapi.json -modelsim /path/to/bin/modelsim
//	go -C test/wirecheck run . -spec /path/to/openapi.json -target http://127.0.0.1:8080
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

func main() {
	spec := flag.String("spec", "", "path of OpenAI's OpenAPI description as JSON")
	modelsim := flag.String("modelsim", "", "path of a modelsim binary to start and check, faults included")
	c := checker{}
	flag.StringVar(&c.target, "target", "", "base URL (without /v1) of a running server to check instead, without faults")
	flag.StringVar(&c.key, "key", "sk-wirecheck", "API key to call it with")
	flag.StringVar(&c.chatModel, "model", "sim-large", "model to chat with")
	flag.StringVar(&c.embeddingModel, "embedding-model", "sim-embed", "model to get embeddings from")
	verbose := flag.Bool("v", false, "print each check")
	flag.Parse()
	c.verbose = *verbose
	if err := run(&c, *spec, *modelsim); err != nil {
		fmt.Fprintln(os.Stderr, "wirecheck:", err)
		os.Exit(1)
	}
}

// run loads the description, starts what is to be checked, and checks it.
func run(c *checker, spec, modelsim string) error {
	if spec == "" || (modelsim == "") == (c.target == "") {
		return errors.New("write -spec, and either -modelsim or -target")
	}
	var err error
	if c.schemas, err = loadSchemas(spec); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := func() {}
	if modelsim != "" {
		if stop, err = c.start(ctx, modelsim); err != nil {
			return err
		}
	}
	c.checkAll(ctx, modelsim != "")
	stop() // before anything is printed: a reader that went away must not leave the process behind
	return c.report()
}

// report prints the counts and the mistakes.
func (c *checker) report() error {
	fmt.Printf("%d answers, %d stream frames and %d errors are as OpenAI describes them; %d are broken as they were asked to be; %d mistakes\n",
		c.answers, c.frames, c.errors, c.broken, len(c.mistakes))
	for _, mistake := range c.mistakes {
		fmt.Println("  " + mistake)
	}
	if len(c.mistakes) > 0 || c.answers == 0 || c.frames == 0 || c.errors == 0 {
		return errors.New("the wire is not faithful")
	}
	return nil
}

// start starts modelsim on a free port; stop ends it.
func (c *checker) start(ctx context.Context, binary string) (stop func(), err error) {
	command := exec.CommandContext(ctx, binary, "--listen", "127.0.0.1:0", "--api-key", c.key, "--models", c.chatModel+","+c.embeddingModel)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("modelsim said nothing: %w", err)
	}
	c.target = strings.TrimSpace(strings.TrimPrefix(line, "modelsim listens on "))
	return func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	}, nil
}
