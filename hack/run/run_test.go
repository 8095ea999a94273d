// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/harness"
)

// world is a running make run, on ports and in a folder of its own.
type world struct {
	*harness.Process
	dir   string
	ports []int // of the proxy, its admin pages, and the providers
}

// startWorld builds this program and runs it until it says that it is ready.
func startWorld(t *testing.T, env []string, flags ...string) world {
	t.Helper()
	program := filepath.Join(t.TempDir(), "make-run")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	w := world{dir: filepath.Join(t.TempDir(), "run")}
	for range 5 {
		port, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		w.ports = append(w.ports, port)
	}
	log := filepath.Join(t.TempDir(), "make-run.log")
	process, err := harness.StartProcess(t.Context(), harness.Command{
		Name: "make run", Path: program, LogFile: log, Env: env,
		Args: append([]string{
			"--dir", w.dir,
			"--proxy-port", strconv.Itoa(w.ports[0]), "--admin-port", strconv.Itoa(w.ports[1]),
			"--provider-ports", fmt.Sprintf("%d,%d,%d", w.ports[2], w.ports[3], w.ports[4]),
		}, flags...),
		StartTimeout: 10 * time.Minute, // the first build of everything
		StopTimeout:  time.Minute,
		Ready: func(context.Context) error {
			if said := read(t, log); !strings.Contains(said, "turnout is ready") {
				return errors.New("it has not said that it is ready")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	w.Process = process
	return w
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// interrupt presses Ctrl-C and proves that nothing is left but the logs.
func (w world) interrupt(t *testing.T, wantChildren int) {
	t.Helper()
	children := childrenOf(t, w.PID())
	if len(children) != wantChildren {
		t.Errorf("%d processes run: %v, want %d", len(children), children, wantChildren)
	}
	if err := syscall.Kill(w.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Exited():
	case <-time.After(time.Minute):
		t.Fatalf("it does not stop; it said:\n%s", w.LogTail(30))
	}
	if err := w.Stop(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "exit status 0") {
		t.Errorf("it ended badly: %v; it said:\n%s", err, w.LogTail(30))
	}
	for _, child := range children {
		if runs(child) {
			t.Errorf("process %d is left", child)
		}
	}
	for _, port := range w.ports {
		if err := harness.PortFree(port); err != nil {
			t.Errorf("port %d is still in use: %v", port, err)
		}
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if diff := cmp.Diff([]string{".lock", "logs"}, left); diff != "" {
		t.Errorf("in its folder (-want +left):\n%s", diff)
	}
}

func TestLocalRunIsReadyAndLeavesNothing(t *testing.T) {
	w := startWorld(t, []string{"KUBECONFIG=/production", "CLUSTER="})
	said := read(t, w.LogFile())
	for _, want := range []string{
		"KUBECONFIG is set and ignored",
		fmt.Sprintf("http://127.0.0.1:%d/v1", w.ports[0]),
		"kubectl get modelendpoints", "turnout explain", "curl -sN", "Ctrl-C stops everything",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q; it said:\n%s", want, said)
		}
	}
	t.Run("a second run in the same folder is refused with a sentence", func(t *testing.T) {
		o := options{dir: w.dir}
		if _, err := o.claimFolder(); err == nil || !strings.Contains(err.Error(), "another make run uses "+w.dir) {
			t.Errorf("claimFolder() = %v", err)
		}
	})
	t.Run("a provider that is killed comes back", func(t *testing.T) { testRevival(t, w) })
	// etcd, kube-apiserver, three providers, operator, proxy
	w.interrupt(t, 7)
}

func testRevival(t *testing.T, w world) {
	_, after, _ := strings.Cut(read(t, w.LogFile()), "\n  kill -9 ")
	number, _, _ := strings.Cut(after, "\n")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no process id to kill is offered: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err = harness.Poll(ctx, 100*time.Millisecond, func(context.Context) error {
		if !strings.Contains(read(t, w.LogFile()), "provider-alpha is back") {
			return errors.New("it has not come back")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCurrentClusterGetsKindsAndKeepsThem(t *testing.T) {
	plane, err := harness.StartControlPlane(t.Context(), harness.ControlPlaneOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w := startWorld(t, []string{"KUBECONFIG=" + plane.Kubeconfig, "CLUSTER=current"}, "--yes")
	w.interrupt(t, 2) // operator, proxy
	said := read(t, w.LogFile())
	for _, want := range []string{"server   " + plane.Config().Host, "context  turnout", "Left in the cluster", "make uninstall"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q; it said:\n%s", want, said)
		}
	}
	cluster, err := plane.Client()
	if err != nil {
		t.Fatal(err)
	}
	kind := &apiextensionsv1.CustomResourceDefinition{}
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: "modelendpoints.turnout.dev"}, kind); err != nil {
		t.Errorf("what it says is left is not there: %v", err)
	}
	var instances v1alpha1.ProxyInstanceList
	if err := cluster.List(t.Context(), &instances); err != nil || len(instances.Items) > 0 {
		t.Errorf("of the proxy itself %d ProxyInstances are left: %v", len(instances.Items), err)
	}
	uninstall(t, plane, cluster)
}

// uninstall removes the kinds, while a proxy that nobody took leave of still has objects there.
func uninstall(t *testing.T, plane *harness.ControlPlane, cluster client.Client) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: "default", Name: "dead", Finalizers: []string{v1alpha1.FoldFinalizer}}
	for _, object := range []client.Object{
		&v1alpha1.ProxyInstance{ObjectMeta: meta},
		&v1alpha1.ProxyReport{ObjectMeta: meta, Spec: v1alpha1.ProxyReportSpec{Instance: "dead", InstanceUID: "dead"}},
	} {
		if err := cluster.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(root, "hack", "uninstall.sh"), plane.Kubectl)
	command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("uninstall.sh: %v\n%s", err, out)
	}
	for _, kind := range []string{"modelendpoints", "routingpolicies", "proxyinstances", "proxyreports"} {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := cluster.Get(t.Context(), client.ObjectKey{Name: kind + ".turnout.dev"}, definition); !apierrors.IsNotFound(err) {
			t.Errorf("%s are still there: %v", kind, err)
		}
	}
}

func TestCurrentClusterIsNotTouchedWithoutAYes(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	err := os.WriteFile(kubeconfig, []byte(`
apiVersion: v1
kind: Config
current-context: prod
contexts: [{name: prod, context: {cluster: berlin, user: me}}, {name: other, context: {cluster: other, user: me}}]
clusters: [{name: berlin, cluster: {server: "https://192.0.2.1:6443"}}, {name: other, cluster: {server: "https://192.0.2.2:6443"}}]
users: [{name: me, user: {token: secret}}]
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	config, err := currentContext()
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Contexts) != 1 || len(config.Clusters) != 1 {
		t.Errorf("other contexts were kept: %v %v", config.Contexts, config.Clusters)
	}
	cluster, server := describeContext(config)
	if cluster != "berlin" || server != "https://192.0.2.1:6443" {
		t.Errorf("described as %s at %s", cluster, server)
	}
	// Under go test the input is no terminal.
	if err := (&stage{}).askFirst(t.Context(), config); err == nil || !strings.Contains(err.Error(), "nothing was done") || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("askFirst() = %v, want a refusal that names --yes", err)
	}
}

func TestOnlyAYesIsAYes(t *testing.T) {
	tests := map[string]struct{ given, want string }{
		"a letter and Return":               {"y\n", "y"},
		"a word, in capitals and spaced":    {" YES \n", "yes"},
		"Return alone":                      {"\n", ""},
		"the end of the input":              {"", ""},
		"a letter that was never confirmed": {"y", ""},
		"a no":                              {"no\n", "no"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := readAnswer(strings.NewReader(test.given)); got != test.want {
				t.Errorf("readAnswer(%q) = %q, want %q", test.given, got, test.want)
			}
		})
	}
}

func TestOptionsAreRefusedWithARemedy(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a cluster that is not known":             {[]string{"--cluster=production"}, "write CLUSTER=current"},
		"a yes to a question that is not asked":   {[]string{"--yes"}, "--yes only goes with --cluster=current"},
		"a port that is none":                     {[]string{"--proxy-port=70000"}, "--proxy-port=70000 is not a port"},
		"a port for two programs":                 {[]string{"--admin-port=8080"}, "port 8080 is given twice"},
		"too few ports for the providers":         {[]string{"--provider-ports=1,2"}, "--provider-ports needs 3 ports"},
		"an argument that is no flag":             {[]string{"start"}, `"start" is not a flag`},
		"a port of the proxy that a provider has": {[]string{"--provider-ports=1,2,9090"}, "port 9090 is given twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CLUSTER", "")
			if _, err := parseOptions(test.args); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("parseOptions() = %v, want %q", err, test.want)
			}
		})
	}
}

func TestTakenPortIsNamedWithItsHolder(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // a listener of the test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	port := listener.Addr().(*net.TCPAddr).Port
	free, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	o := options{cluster: clusterCurrent, proxyPort: port, adminPort: free}
	got := fmt.Sprint(o.checkPorts())
	want := fmt.Sprintf("port %d is in use%s; end that program, or choose another port with --proxy-port", port, wantHolder())
	if got != want {
		t.Errorf("checkPorts() = %q, want %q", got, want)
	}
}
