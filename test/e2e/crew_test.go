// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/test/harness"
)

// crew is a number of proxies, each in a Pod, that are replaced when they are killed.
type crew struct {
	fleet *fleet
	// lives are all processes there were; current are those that run, by place.
	lives   []*life
	current []*life
}

// life is one proxy process.
type life struct {
	*server
	pod       *corev1.Pod
	accessLog string
	started   time.Time
	killed    time.Time // zero when it ended in order
}

func newCrew(f *fleet, n int) *crew {
	c := &crew{fleet: f, current: make([]*life, n)}
	for place := range n {
		s := &server{address: f.port(), admin: f.port()}
		f.proxies = append(f.proxies, s)
		c.begin(place, f.addPod(place))
	}
	return c
}

// addPod makes the Pod of a proxy. Nobody runs it: the process is started beside it, and told to be its.
func (f *fleet) addPod(place int) *corev1.Pod {
	f.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: fmt.Sprintf("proxy-%d-", place)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Image: "turnout/proxy:dev"}}},
	}
	f.must(f.client.Create(f.t.Context(), pod))
	return pod
}

// begin starts a process in a place.
func (c *crew) begin(place int, pod *corev1.Pod) {
	f := c.fleet
	name := fmt.Sprintf("proxy-%d-life-%d", place, len(c.lives))
	s := &server{address: f.proxies[place].address, admin: f.proxies[place].admin}
	l := &life{server: s, pod: pod, accessLog: filepath.Join(f.logDir(), name+".access.log"), started: time.Now()}
	s.Process = f.start(name, f.binaries.Proxy, harness.HTTPReady("http://"+s.admin+"/readyz", nil),
		[]string{"POD_NAME=" + pod.Name, "POD_UID=" + string(pod.UID), "POD_NAMESPACE=default"},
		"--kubeconfig", f.cluster.Kubeconfig, "--listen", s.address, "--admin-listen", s.admin,
		"--allow-anonymous", "--send-attempt-id", "--drain-notice", "0s", "--access-log", l.accessLog)
	f.proxies[place].Process = s.Process
	c.current[place] = l
	c.lives = append(c.lives, l)
}

// replace kills a proxy and starts another in its place: in the same Pod, as a container that is restarted,
// or in a new one, the old being gone.
func (c *crew) replace(place int, samePod bool) {
	f, old := c.fleet, c.current[place]
	old.killed = time.Now()
	old.Kill()
	pod := old.pod
	if !samePod {
		f.must(f.client.Delete(f.t.Context(), pod, client.GracePeriodSeconds(0)))
		pod = f.addPod(place)
	}
	c.begin(place, pod)
}

// leave lets the proxies that run end in order.
func (c *crew) leave() {
	var ending sync.WaitGroup
	for _, l := range c.current {
		ending.Go(func() {
			if err := l.Stop(context.Background()); err != nil {
				c.fleet.t.Errorf("%s did not end in order: %v", l.Name(), err)
			}
		})
	}
	ending.Wait()
}

// truthLoad is callers that ask whichever proxy is there, and want to know what their streams used.
type truthLoad struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	// count is how many requests were answered in full.
	count atomic.Int64
}

// startTruthLoad starts callers; every other one streams.
func startTruthLoad(f *fleet, callers int) *truthLoad {
	ctx, cancel := context.WithCancel(context.Background())
	l := &truthLoad{cancel: cancel}
	clients := make([]openai.Client, len(f.proxies))
	for i, p := range f.proxies {
		clients[i] = openai.NewClient(option.WithBaseURL("http://"+p.address+"/v1"), option.WithAPIKey("anyone"), option.WithMaxRetries(0))
	}
	for i := range callers {
		l.ended.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				err := askForUsage(ctx, &clients[n%len(clients)], i%2 == 0)
				if err == nil {
					l.count.Add(1)
					continue
				}
				wait(ctx, 20*time.Millisecond) // that proxy is being replaced
			}
		})
	}
	return l
}

// stop lets the requests under way end.
func (l *truthLoad) stop() {
	l.cancel()
	l.ended.Wait()
}

// passes waits until so many more requests were answered.
func (l *truthLoad) passes(f *fleet, n int64) {
	f.t.Helper()
	until := l.count.Load() + n
	f.await(fmt.Sprintf("waiting for %d requests to be answered", n), func(context.Context) error {
		if have := l.count.Load(); have < until {
			return fmt.Errorf("%d are missing", until-have)
		}
		return nil
	})
}

// askForUsage makes one request and reads its whole answer. A caller that is stopped finishes what it asked.
func askForUsage(ctx context.Context, c *openai.Client, stream bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	params := openai.ChatCompletionNewParams{Model: "chat", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Tell me about turnouts.")}}
	if !stream {
		_, err := c.Chat.Completions.New(ctx, params)
		return err
	}
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	s := c.Chat.Completions.NewStreaming(ctx, params)
	defer s.Close()
	used := false
	for s.Next() {
		used = used || s.Current().Usage.TotalTokens > 0
	}
	if s.Err() == nil && !used {
		return errors.New("a stream that asked for its usage and was not told")
	}
	return s.Err()
}

// finished is how many answers a provider says it has finished since it started; 0 while it is away.
func finished(ctx context.Context, f *fleet, s *server) int64 {
	f.t.Helper()
	page, err := get(ctx, "http://"+s.address+"/_sim/state")
	if err != nil {
		return 0
	}
	return decode[struct {
		Statuses map[int]int64 `json:"statuses"`
	}](f, []byte(page)).Statuses[http.StatusOK]
}
