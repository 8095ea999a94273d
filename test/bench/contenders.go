// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/test/harness"
)

// contender is a proxy in front of the provider.
type contender struct {
	name    string
	address string
	process *harness.Process
}

// field is everything that runs during the benchmark.
type field struct {
	provider   *contender // reached directly: the reference for latency
	contenders []*contender
	cluster    *harness.ControlPlane
	turn       int
}

// inTurn gives the contenders in an order that begins with another one each time, so that a machine whose
// speed drifts favours nobody.
func (f *field) inTurn() []*contender {
	f.turn++
	n := len(f.contenders)
	return slices.Concat(f.contenders[f.turn%n:], f.contenders[:f.turn%n])
}

func (f *field) close(ctx context.Context) {
	for _, c := range append(f.contenders, f.provider) {
		if c != nil && c.process != nil {
			c.process.Kill()
		}
	}
	if f.cluster != nil {
		_ = f.cluster.Close(ctx)
	}
}

// The names of the contenders, as the table shows them.
const (
	bareName     = "bare fasthttp"
	nginxName    = "nginx"
	quietName    = "Turnout"
	loggingName  = "Turnout, access log on"
	providerName = "no proxy"
)

// setUp starts the provider, the cluster and all contenders.
func setUp(ctx context.Context, dir string, s settings) (f *field, err error) {
	f = &field{}
	defer func() {
		if err != nil {
			f.close(context.WithoutCancel(ctx))
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if f.provider, err = start(ctx, dir, providerName, loadCPU, func(address string) []string {
		return []string{self, providerRole, address}
	}, providerRole); err != nil {
		return nil, err
	}
	bare, err := start(ctx, dir, bareName, proxyCPU, func(address string) []string {
		return []string{self, bareRole, address, f.provider.address}
	}, bareRole)
	if err != nil {
		return nil, err
	}
	f.contenders = append(f.contenders, bare)
	if s.without != "nginx" {
		nginx, err := startNginx(ctx, dir, f.provider.address)
		if err != nil {
			return nil, err
		}
		f.contenders = append(f.contenders, nginx)
	}
	return f, f.addTurnout(ctx, dir)
}

// addCluster builds the programs and starts a cluster with one endpoint and one policy.
func (f *field) addCluster(ctx context.Context, dir string) (harness.Binaries, error) {
	fmt.Println("building the programs and starting a Kubernetes API")
	binaries, err := harness.FindBinaries(ctx, nil)
	if err != nil {
		return binaries, err
	}
	if f.cluster, err = harness.StartControlPlane(ctx, harness.ControlPlaneOptions{Dir: dir}); err != nil {
		return binaries, err
	}
	cluster, err := f.cluster.Client()
	if err != nil {
		return binaries, err
	}
	root, err := harness.Root()
	if err != nil {
		return binaries, err
	}
	if err := harness.InstallCRDs(ctx, cluster, filepath.Join(root, "config", "crd", "bases")); err != nil {
		return binaries, err
	}
	objects, err := harness.ParseObjects(fmt.Appendf(nil, manifests, f.provider.address))
	if err != nil {
		return binaries, err
	}
	return binaries, harness.Apply(ctx, cluster, "default", objects...)
}

// addTurnout starts the proxy with and without its log.
func (f *field) addTurnout(ctx context.Context, dir string) error {
	binaries, err := f.addCluster(ctx, filepath.Join(dir, "cluster"))
	if err != nil {
		return err
	}
	for _, variant := range []struct{ name, log string }{
		{quietName, "off"}, {loggingName, filepath.Join(dir, "access.log")},
	} {
		admin, err := harness.FreePort()
		if err != nil {
			return err
		}
		c, err := start(ctx, dir, variant.name, proxyCPU, func(address string) []string {
			return []string{
				binaries.Proxy, "--listen", address, "--admin-listen", harness.LoopbackAddress(admin),
				"--kubeconfig", f.cluster.Kubeconfig, "--allow-anonymous", "--access-log", variant.log,
			}
		}, "")
		if err != nil {
			return err
		}
		f.contenders = append(f.contenders, c)
	}
	return nil
}

const manifests = `
apiVersion: v1
kind: Secret
metadata: {name: bench}
stringData: {key: sk-bench}
---
apiVersion: turnout.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: bench}
spec:
  provider: bench
  format: OpenAI
  url: http://%s/v1
  model: gpt-bench-1
  auth: {type: Bearer, secretRef: {name: bench, key: key}}
  capabilities: [chat-completion]
---
apiVersion: turnout.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: bench}
spec:
  models: [chat]
  capability: chat-completion
`

// start runs a command on a processor and waits until it answers a request.
func start(ctx context.Context, dir, name string, cpu int, command func(address string) []string, role string) (*contender, error) {
	port, err := harness.FreePort()
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, address: harness.LoopbackAddress(port)}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env := []string{"GOMAXPROCS=1", roleVariable + "=" + pinRole}
	if role != "" {
		env = append(env, nextRoleVariable+"="+role)
	}
	c.process, err = harness.StartProcess(ctx, harness.Command{
		Name: name, Path: self, Args: append([]string{fmt.Sprint(cpu)}, command(c.address)...), Env: env,
		LogFile:      filepath.Join(dir, name+".log"),
		Ready:        func(ctx context.Context) error { return answers(ctx, c.address) },
		StartTimeout: 30 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// answers asks for one chat completion.
func answers(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+chatPath, chatBody(false))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}

func startNginx(ctx context.Context, dir, provider string) (*contender, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		return nil, errors.New("nginx is not installed: install it (Debian: apt-get install nginx-light), or pass -without nginx")
	}
	prefix := filepath.Join(dir, "nginx")
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return nil, err
	}
	return start(ctx, dir, nginxName, proxyCPU, func(address string) []string {
		config := filepath.Join(prefix, "nginx.conf")
		text := fmt.Sprintf(nginxConfig, provider, address)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return []string{path, "-v"} // not ready in time, with the reason in the log
		}
		return []string{path, "-p", prefix, "-c", config, "-e", filepath.Join(prefix, "error.log")}
	}, "")
}

const nginxConfig = `
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 1000000000;
  upstream provider { server %s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %s;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`
