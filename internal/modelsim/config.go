// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// Compression is how answers are encoded.
type Compression string

// The compressions. Always… ignores Accept-Encoding, as some gateways before providers do.
const (
	CompressOff        Compression = "off"
	CompressNegotiate  Compression = "negotiate"
	CompressAlwaysGzip Compression = "always-gzip"
	CompressAlwaysBr   Compression = "always-br"
)

// Timing is how fast the model answers. The zero value answers at once.
type Timing struct {
	// Latency passes between the request and the head of any answer of a model.
	Latency time.Duration
	// TimeToFirstToken passes between the request and the first content; Latency is part of it.
	TimeToFirstToken time.Duration
	// TokensPerSecond paces the tokens; 0 does not wait between them.
	TokensPerSecond float64
	// Tokens is the length of an answer that nothing cuts short.
	Tokens int
}

// Config is what a simulated provider serves and how. New refuses impossible values and says what to write.
type Config struct {
	// Models are the names it serves; those that contain "embed" serve embeddings, all others text.
	Models []string
	// APIKeys are accepted as "Authorization: Bearer"; without any, everyone may call.
	APIKeys []string
	// BasePath precedes /v1; empty or like "/openai".
	BasePath string
	// Seed changes all answers; equal seeds and requests give equal content.
	Seed uint64
	// Timing is the speed of answers that say nothing else; Timing.Tokens must be positive.
	Timing Timing
	// ContextWindow bounds prompt and answer of one request in tokens.
	ContextWindow int
	// Compress is off when empty.
	Compress Compression
	// RequestsPerMinute and TokensPerMinute are limits per key and model; 0 enforces none.
	RequestsPerMinute, TokensPerMinute int
	// IdleTimeout closes keep-alive connections that were idle for so long, as providers do: with FIN, or with
	// RST when IdleReset is set. 0 keeps them.
	IdleTimeout time.Duration
	IdleReset   bool
	// Ledger is the book of all attempts; nil keeps none.
	Ledger Ledger
	// HideControl does not serve /_sim beside the API, for when Sim.Control has a listener of its own.
	HideControl bool
}

// Ledger takes down what is about to happen; a ledger.Writer does so in a file. What it refuses does not happen.
type Ledger interface {
	Append(record *ledger.Record) error
}

// DefaultConfig is a provider that is open, answers at once, and serves three models.
func DefaultConfig() Config {
	return Config{
		Models:        []string{"sim-large", "sim-small", "sim-embed"},
		Timing:        Timing{Tokens: 32},
		ContextWindow: 128_000,
		Compress:      CompressOff,
		IdleTimeout:   5 * time.Minute,
	}
}

// validate refuses what cannot be served.
func (c *Config) validate() error {
	var problems []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	refuse(len(c.Models) == 0, "models: name at least one model")
	refuse(slices.Contains(c.Models, ""), "models: a model needs a name; remove the empty one")
	refuse(slices.Contains(c.APIKeys, ""), "api keys: a key must not be empty; leave the list empty to serve everyone")
	refuse(c.BasePath != "" && (!strings.HasPrefix(c.BasePath, "/") || strings.HasSuffix(c.BasePath, "/")),
		"base path %q: write it with a leading and without a trailing slash, like /openai", c.BasePath)
	refuse(c.ContextWindow < 1, "context window %d: must be at least 1 token", c.ContextWindow)
	refuse(c.RequestsPerMinute < 0 || c.TokensPerMinute < 0, "requests and tokens per minute: must not be negative; 0 enforces no limit")
	refuse(c.IdleTimeout < 0, "idle timeout %s: must not be negative; 0 keeps connections", c.IdleTimeout)
	refuse(!slices.Contains([]Compression{CompressOff, CompressNegotiate, CompressAlwaysGzip, CompressAlwaysBr}, c.Compress),
		"compression %q: write off, negotiate, always-gzip or always-br", c.Compress)
	problems = append(problems, c.Timing.validate())
	return errors.Join(problems...)
}

// validate refuses speeds that no clock can run at.
func (t Timing) validate() error {
	switch {
	case t.Latency < 0 || t.TimeToFirstToken < 0:
		return errors.New("latency and time to first token: must not be negative")
	case !(t.TokensPerSecond >= 0 && t.TokensPerSecond <= 1e6): // written so that NaN is refused too
		return errors.New("tokens per second: write a number from 0 (no wait) to 1000000")
	case t.Tokens < 1 || t.Tokens > 1e6:
		return errors.New("tokens: an answer has 1 to 1000000 tokens")
	default:
		return nil
	}
}
