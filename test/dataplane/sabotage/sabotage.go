// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sabotage breaks the data plane on purpose, in one place at a time, and wants a case of test/dataplane to
// notice: a check is trusted once it has been red. Nothing of that is in the product. The sources are changed while they
// are compiled (go build -overlay), all sabotages into one program, and the environment says which of them is done.
package sabotage

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// Variable names the sabotage that a program compiled with an overlay does.
const Variable = "TURNOUT_SABOTAGE"

// Sabotage is one thing that is broken, and the case that must notice.
type Sabotage struct {
	// Name is a sentence about what is broken.
	Name string
	// Case is the name of the case that must go red.
	Case string
	// Edits change the sources.
	Edits []Edit
}

// Edit takes the place of a text that a file holds exactly once.
type Edit struct {
	// File is relative to the checkout's root.
	File string
	// Old is the text, New what comes in its place. In New, sabotaged() says whether this sabotage is done, and
	// instead(a, b) is b when it is, and else a.
	Old, New string
}

// added is the file that each package with a sabotage gets.
const added = `package %s

import "os"

var sabotageDone = os.Getenv(%q)

// sabotaged reports whether that sabotage is done.
func sabotaged(name string) bool { return sabotageDone == name }

// instead is broken when that sabotage is done.
func instead[T any](name string, whole, broken T) T {
	if sabotaged(name) {
		return broken
	}
	return whole
}
`

// Overlay writes changed copies of the sources below root into dir, and beside them the file that go build -overlay
// wants, whose path it returns. All that is wrong with the sabotages is in the error, a sentence each.
func Overlay(root, dir string, sabotages []Sabotage) (path string, err error) {
	o := overlay{root: root, dir: dir, sources: map[string]string{}, replace: map[string]string{}}
	var problems []error
	for i := range sabotages {
		for _, e := range sabotages[i].Edits {
			problems = append(problems, o.edit(&sabotages[i], e))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return "", err
	}
	if err := o.write(); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{"Replace": o.replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// overlay is what is written.
type overlay struct {
	root, dir string
	// sources are the changed sources by path, replace where a source is to be read instead.
	sources, replace map[string]string
}

// edit makes one change.
func (o *overlay) edit(s *Sabotage, e Edit) error {
	path := filepath.Join(o.root, e.File)
	text, known := o.sources[path]
	if !known {
		read, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("the sabotage %q is about a file that cannot be read: %w", s.Name, err)
		}
		text = string(read)
	}
	if n := strings.Count(text, e.Old); n != 1 {
		return fmt.Errorf("the sabotage %q is out of date: %s holds this text %d times and not once; find where it is decided now, and change the sabotage:\n%s",
			s.Name, e.File, n, e.Old)
	}
	named := strings.NewReplacer(
		"sabotaged()", fmt.Sprintf("sabotaged(%q)", s.Name),
		"instead(", fmt.Sprintf("instead(%q, ", s.Name),
	).Replace(e.New)
	o.sources[path] = strings.Replace(text, e.Old, named, 1)
	return nil
}

// write writes the changed sources, and for each of their packages the file that they need.
func (o *overlay) write() error {
	packages := map[string]string{}
	for path, text := range o.sources {
		parsed, err := parser.ParseFile(token.NewFileSet(), path, text, parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		packages[filepath.Dir(path)] = parsed.Name.Name
		if err := o.place(path, text); err != nil {
			return err
		}
	}
	for folder, name := range packages {
		if err := o.place(filepath.Join(folder, "sabotaged_by_overlay.go"), fmt.Sprintf(added, name, Variable)); err != nil {
			return err
		}
	}
	return nil
}

// place has a text read instead of a file.
func (o *overlay) place(path, text string) error {
	copied := filepath.Join(o.dir, fmt.Sprintf("%d.go", len(o.replace)))
	o.replace[path] = copied
	return os.WriteFile(copied, []byte(text), 0o600)
}
