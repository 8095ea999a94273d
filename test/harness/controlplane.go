// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Services are nothing but objects here; the API server wants a range and its own address in it.
const (
	serviceRange   = "10.96.0.0/24"
	firstServiceIP = "10.96.0.1"
)

// AssetsVariable names the folder with etcd, kube-apiserver and kubectl; the name is envtest's, so that one
// setting serves both.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// Assets is the folder with the control plane's programs: KUBEBUILDER_ASSETS, or bin/k8s of the checkout.
// The error says how to get them.
func Assets() (string, error) {
	dir := os.Getenv(AssetsVariable)
	remedy := "set " + AssetsVariable + " to the folder that holds it, or unset it to use bin/k8s"
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "bin", "k8s")
		remedy = "run make control-plane (the first time about 6 minutes), or set " + AssetsVariable
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("there is no %s in %s; %s", name, dir, remedy)
		}
	}
	return dir, nil
}

// ControlPlaneOptions says where a control plane lives.
type ControlPlaneOptions struct {
	// Assets is the folder with etcd, kube-apiserver and kubectl; empty: what Assets finds.
	Assets string
	// Dir holds data, keys and kubeconfigs, and is removed by Close; empty: a new temporary folder.
	Dir string
	// LogDir gets etcd.log and kube-apiserver.log and is not removed; empty: inside Dir, and removed with it.
	LogDir string
}

// ControlPlane is etcd and kube-apiserver on loopback, with RBAC and signed ServiceAccount tokens. Nothing
// else of Kubernetes runs: no controllers, no nodes.
type ControlPlane struct {
	// Etcd and APIServer are the two processes, to be stopped, killed and started at will: the data, the
	// address and the certificates stay.
	Etcd, APIServer *Process
	// EtcdURL is where etcd serves its clients, and its metrics.
	EtcdURL string
	// Kubeconfig is the path of a kubeconfig file for a cluster administrator.
	Kubeconfig string
	// Kubectl is the path of kubectl.
	Kubectl string

	dir    string
	server string // https://127.0.0.1:port
	ca     *authority
	config *rest.Config
}

// StartControlPlane starts etcd and the API server and waits until namespaces can be used; about 5 seconds on
// two cores. Close must be called on success; on failure nothing is left.
func StartControlPlane(ctx context.Context, options ControlPlaneOptions) (_ *ControlPlane, err error) {
	assets := options.Assets
	if assets == "" {
		if assets, err = Assets(); err != nil {
			return nil, err
		}
	}
	dir, err := ownDir(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("making a folder for the control plane: %w", err)
	}
	c := &ControlPlane{dir: dir, Kubectl: filepath.Join(assets, "kubectl")}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
		}
	}()
	logs := options.LogDir
	if logs == "" {
		logs = filepath.Join(dir, "logs")
	}
	if err := c.prepare(assets, logs); err != nil {
		return nil, err
	}
	for _, process := range []*Process{c.Etcd, c.APIServer} {
		if err := process.Start(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.awaitDefaultNamespace(ctx)
}

func ownDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "turnout-control-plane-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// prepare chooses ports, makes the keys and describes the two processes.
func (c *ControlPlane) prepare(assets, logs string) error {
	var ports [3]int
	for i := range ports {
		port, err := FreePort()
		if err != nil {
			return err
		}
		ports[i] = port
	}
	pki := filepath.Join(c.dir, "pki")
	var err error
	if c.ca, err = writePKI(pki); err != nil {
		return err
	}
	c.server = "https://" + LoopbackAddress(ports[2])
	c.Kubeconfig = filepath.Join(c.dir, "kubeconfig")
	if err := c.WriteKubeconfig(c.Kubeconfig, "turnout-admin", "system:masters"); err != nil {
		return err
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.config.QPS = -1 // the API server limits for itself
	tls, err := rest.TLSConfigFor(c.config)
	if err != nil {
		return err
	}
	// A fresh connection each time: a kept one would speak to the API server's last life.
	admin := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}}
	etcd := "http://" + LoopbackAddress(ports[0])
	c.EtcdURL = etcd
	c.Etcd = &Process{command: Command{
		Name: "etcd", Path: filepath.Join(assets, "etcd"), LogFile: filepath.Join(logs, "etcd.log"),
		Args:  etcdArguments(filepath.Join(c.dir, "etcd"), etcd, "http://"+LoopbackAddress(ports[1])),
		Ready: HTTPReady(etcd+"/readyz", nil),
	}}
	c.APIServer = &Process{command: Command{
		Name: "kube-apiserver", Path: filepath.Join(assets, "kube-apiserver"), LogFile: filepath.Join(logs, "kube-apiserver.log"),
		Args:  apiServerArguments(pki, etcd, ports[2]),
		Ready: HTTPReady(c.server+"/readyz", admin),
	}}
	return nil
}

func etcdArguments(data, clients, peers string) []string {
	return []string{
		"--data-dir=" + data,
		"--listen-client-urls=" + clients, "--advertise-client-urls=" + clients,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=default=" + peers,
		// The data need not survive the machine, only the processes; and disks of build machines are slow.
		"--unsafe-no-fsync=true",
		"--log-level=warn",
	}
}

func apiServerArguments(pki, etcd string, port int) []string {
	file := func(name string) string { return filepath.Join(pki, name) }
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		// The Endpoints of the Service "kubernetes" may not be loopback addresses, and nobody asks for them.
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + file("apiserver.crt"), "--tls-private-key-file=" + file("apiserver.key"),
		"--client-ca-file=" + file("ca.crt"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + file("service-accounts.pub"),
		"--service-account-signing-key-file=" + file("service-accounts.key"),
		"--service-cluster-ip-range=" + serviceRange,
		// Pods would have to wait for a default ServiceAccount, which no controller makes here.
		"--disable-admission-plugins=ServiceAccount",
	}
}

// WriteKubeconfig writes a kubeconfig file for any user and groups, for example
// system:serviceaccount:turnout-system:operator, so that RBAC can be tried as it is in a cluster.
func (c *ControlPlane) WriteKubeconfig(path, user string, groups ...string) error {
	pair, err := c.ca.user(user, groups...)
	if err != nil {
		return err
	}
	const name = "turnout"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.server, CertificateAuthorityData: c.ca.pem}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.certificate, ClientKeyData: pair.key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: "default"}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, path)
}

// Config is a cluster administrator's, without a client-side rate limit. The caller may change it.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Client is a new client for a cluster administrator that knows Turnout's kinds.
func (c *ControlPlane) Client() (client.Client, error) { return NewClient(c.config) }

// awaitDefaultNamespace waits for what the API server makes a moment after it says that it is ready.
func (c *ControlPlane) awaitDefaultNamespace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cluster, err := c.Client()
	if err != nil {
		return err
	}
	err = Poll(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		return cluster.Get(ctx, client.ObjectKey{Name: "default"}, &corev1.Namespace{})
	})
	if err != nil {
		return fmt.Errorf("waiting for namespace default: %w", err)
	}
	return nil
}

// Close stops the API server and etcd and removes their folder. It may be called more than once.
func (c *ControlPlane) Close(ctx context.Context) error {
	var problems []error
	// The API server first: it would only complain about an etcd that is gone.
	for _, process := range []*Process{c.APIServer, c.Etcd} {
		if process != nil {
			problems = append(problems, process.Stop(ctx))
		}
	}
	return errors.Join(append(problems, os.RemoveAll(c.dir))...)
}
