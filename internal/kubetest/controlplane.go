// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubetest gives tests a real control plane: an API server and its etcd on loopback, with RBAC, with
// users, and with an API server that can be taken away and brought back.
package kubetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/turnout-ai/turnout/internal/kube"
)

// ControlPlane is a running control plane.
type ControlPlane struct {
	// Config is an administrator's. Clientset and Client use it.
	Config    *rest.Config
	Clientset kubernetes.Interface
	Client    client.WithWatch

	environment *envtest.Environment
}

// Start starts a control plane with Turnout's kinds. Stop it with Stop.
func Start() (*ControlPlane, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets = filepath.Join(root, "bin", "k8s")
	}
	if _, err := os.Stat(filepath.Join(assets, "kube-apiserver")); err != nil {
		return nil, fmt.Errorf("no kube-apiserver to test with: run make control-plane, or set KUBEBUILDER_ASSETS: %w", err)
	}
	// A directory of our own keeps the certificates through a restart; envtest would make new ones, and every
	// client would have to be told.
	certificates, err := os.MkdirTemp("", "turnout-control-plane-")
	if err != nil {
		return nil, err
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	environment.ControlPlane.GetAPIServer().CertDir = certificates
	c := &ControlPlane{environment: environment}
	if c.Config, err = environment.Start(); err == nil {
		c.Config.QPS = -1 // Tests make many objects at once.
		c.Clientset, err = kubernetes.NewForConfig(c.Config)
	}
	if err == nil {
		c.Client, err = kube.NewClient(c.Config, nil)
	}
	if err != nil {
		return nil, errors.Join(err, environment.Stop(), os.RemoveAll(certificates))
	}
	return c, nil
}

// Main runs a package's tests with a control plane in *into. It is for TestMain, which passes the result to
// os.Exit.
func Main(m *testing.M, into **ControlPlane) int {
	c, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*into = c
	code := m.Run()
	if err := c.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Stop ends the control plane and removes its files.
func (c *ControlPlane) Stop() error {
	certificates := c.environment.ControlPlane.GetAPIServer().CertDir
	return errors.Join(c.environment.Stop(), os.RemoveAll(certificates))
}

// StopAPIServer ends the API server; its address refuses connections until StartAPIServer. etcd stays.
func (c *ControlPlane) StopAPIServer(t testing.TB) {
	t.Helper()
	if err := c.environment.ControlPlane.APIServer.Stop(); err != nil {
		t.Fatalf("stopping the API server: %v", err)
	}
}

// StartAPIServer starts the API server again, at the same address and with the same certificates.
func (c *ControlPlane) StartAPIServer(t testing.TB) {
	t.Helper()
	// While it was away anybody's outgoing connection may have been given its port.
	deadline := time.Now().Add(startAgain)
	for {
		err := c.environment.ControlPlane.APIServer.Start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("starting the API server again: %v", err)
		}
		time.Sleep(time.Second)
	}
}

// startAgain is how long an API server may take to get its port again.
const startAgain = time.Minute

// FreezeAPIServer stops the API server's process in its tracks: connections stay open, and nothing is answered
// until the returned function is called.
func (c *ControlPlane) FreezeAPIServer(t testing.TB) (thaw func()) {
	t.Helper()
	pid, err := childNamed("kube-apiserver", c.environment.ControlPlane.APIServer.Port)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("freezing the API server: %v", err)
	}
	thaw = sync.OnceFunc(func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Errorf("thawing the API server: %v", err)
		}
	})
	t.Cleanup(thaw)
	return thaw
}

// Namespace creates a namespace with a name of its own.
func (c *ControlPlane) Namespace(t testing.TB) string {
	t.Helper()
	namespace, err := c.Clientset.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	return namespace.Name
}

// User returns the configuration of a user without any permission.
func (c *ControlPlane) User(t testing.TB, name string) *rest.Config {
	t.Helper()
	user, err := c.environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		t.Fatalf("adding user %s: %v", name, err)
	}
	return user.Config()
}

// Kubeconfig writes an administrator's kubeconfig and returns its path.
func (c *ControlPlane) Kubeconfig(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, c.environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// childNamed finds the process with that name and an argument containing part among the children of this one.
func childNamed(name, part string) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended meanwhile.
		}
		// pid (comm) state ppid …; the kernel cuts comm to 15 bytes.
		fields := strings.Fields(string(stat))
		comm := name[:min(len(name), 15)]
		if len(fields) < 4 || fields[1] != "("+comm+")" || fields[3] != strconv.Itoa(os.Getpid()) {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err == nil && strings.Contains(string(arguments), part) {
			return strconv.Atoi(fields[0])
		}
	}
	return 0, fmt.Errorf("no child process %s with %q among its arguments", name, part)
}

// moduleRoot is the directory of go.mod above the test's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
