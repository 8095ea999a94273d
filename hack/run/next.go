// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/template"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/turnout-ai/turnout/test/harness"
)

// what is printed when everything is up. Every command in it can be copied as it is.
var nextTemplate = template.Must(template.New("next").Parse(`
turnout is ready

  proxy        {{.Base}}   (metrics, explanations: {{.Admin}})
  kubeconfig   {{.Kubeconfig}}
  logs         {{.Logs}}

Try next, in another terminal in this folder:

  # ask a model; "model" in the answer is sim-large, which provider alpha runs
  curl -si {{.Base}}/chat/completions -H 'Content-Type: application/json' \
    -d '{"model": "{{.Model}}", "messages": [{"role": "user", "content": "Hello!"}]}'

  # watch an answer being written
  curl -sN {{.Base}}/chat/completions -H 'Content-Type: application/json' \
    -d '{"model": "{{.Model}}", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'

  # see what there is
  export KUBECONFIG="{{.KubeconfigInShell}}" PATH="{{.Programs}}:$PATH"
  {{.Kubectl}} get modelendpoints,routingpolicies

  # take provider alpha away and ask again: sim-small answers, from beta. Alpha comes back after {{.Revival}}
  kill -9 {{.FirstPID}}

  # see which endpoints a request would try, in which order, and why
  {{.Kubectl}} turnout explain {{.Model}}

  # or in a program (pip install openai)
  python3 -c 'from openai import OpenAI; print(OpenAI(base_url="{{.Base}}", api_key="-").chat.completions.create(
    model="{{.Model}}", messages=[{"role": "user", "content": "Hello!"}]).choices[0].message.content)'

  # or (npm install openai)
  node -e 'new (require("openai"))({baseURL: "{{.Base}}", apiKey: "-"}).chat.completions.create(
    {model: "{{.Model}}", messages: [{role: "user", content: "Hello!"}]}).then(a => console.log(a.choices[0].message.content))'

Ctrl-C stops everything.
`))

func (s *stage) sayWhatIsNext() error {
	var text strings.Builder
	err := nextTemplate.Execute(&text, map[string]any{
		"Base": s.baseURL(), "Admin": "http://" + harness.LoopbackAddress(s.adminPort), "Model": sampleModel,
		"Kubeconfig": s.shown(s.kubeconfig()), "Logs": s.shown(s.logs()), "Kubectl": s.shown(s.plane.Kubectl),
		"KubeconfigInShell": s.inShell(s.kubeconfig()), "Programs": s.inShell(filepath.Dir(s.binaries.KubectlTurnout)),
		"Revival": revival, "FirstPID": s.find("provider-" + providers[0]).PID(),
	})
	if err != nil {
		return err
	}
	fmt.Println(text.String())
	return nil
}

// inShell is a path that stays right when the shell changes its folder.
func (s *stage) inShell(path string) string {
	if shown := s.shown(path); !filepath.IsAbs(shown) {
		return "$PWD/" + shown
	}
	return path
}

func (s *stage) sayWhatIsNextCurrent(config *clientcmdapi.Config) {
	cluster, server := describeContext(config)
	fmt.Printf("\nturnout is ready\n\n  proxy    %s   (metrics, explanations: http://%s)\n  cluster  %s at %s\n  logs     %s\n\n"+
		"Apply your own ModelEndpoints and RoutingPolicies, or begin from those in %s.\nCtrl-C stops operator and proxy.\n",
		s.baseURL(), harness.LoopbackAddress(s.adminPort), cluster, server, s.shown(s.logs()), s.shown(filepath.Join(s.root, "config", "samples")))
}
