package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// workload is one thing to measure, and with whom.
type workload struct {
	name    string
	about   string
	app     string  // in bench/apps
	loading loading // loadOnce where workers that still load would take the cores from those that serve
	peers   []string
	guard   []string // the peers whose ratios `make bench-check` looks at; nil: none
	metrics []metric // the first one is what ratios are about
	once    bool     // one round is enough: what it measures is no rate
	seconds func(asked int) int
	costs   time.Duration // beside the seconds, for each run: for the estimate
	run     func(ctx context.Context, j *job) (figures, error)
}

// job is one run of a workload with one peer.
type job struct {
	bench    *bench
	workload *workload
	peer     *peer
	seconds  int
	last     bool // the last round
}

var (
	everyone = []string{"thralld", "starlet", "starman", "uwsgi", "uwsgi-http", "feersum", "twiggy", "go"}
	closers  = []string{"thralld", "starlet", "starman", "uwsgi", "feersum", "go"}
	keepers  = []string{"thralld", "starlet", "starman", "uwsgi", "feersum", "go"}
	servers  = []string{"thralld", "starlet", "starman", "uwsgi", "feersum"}
	prefork  = []string{"thralld", "starlet", "starman", "uwsgi"}

	keptLoad = []metric{rate, p50, p99, failures, starved}
	loadOnly = []metric{rate, p50, p99, failures}
)

const (
	loadCost = 1300 * time.Millisecond // start, warm up, stop
	pageCost = 2200 * time.Millisecond // the same of a framework
)

var workloads = []*workload{
	hello(32, false, everyone, []string{"thralld", "starlet", "starman", "feersum"}),
	hello(256, false, servers, nil),
	hello(1000, false, keepers, nil),
	hello(32, true, closers, nil),
	hello(256, true, prefork, nil),
	hello(1000, true, servers, nil),
	{
		name: "dancer2", about: "a page of Dancer2 with a template, 32 connections",
		app: "dancer2.psgi", loading: loadOnce, peers: servers, metrics: loadOnly, seconds: half, costs: pageCost,
		run: underLoad(shape{connections: 32}),
	},
	{
		name: "mojolicious", about: "a page of Mojolicious with a template, 32 connections",
		// Feersum 1.410 leaves out the last chunk of what Mojolicious streams.
		app: "mojolicious.psgi", loading: loadOnce, peers: prefork, metrics: loadOnly, seconds: half, costs: pageCost,
		run: underLoad(shape{connections: 32}),
	},
	{
		name: "post-4k", about: "POST of 4 KB, 32 connections",
		app: "post.psgi", peers: servers, guard: []string{"thralld", "starlet", "starman"}, metrics: loadOnly, costs: loadCost,
		run: underLoad(shape{connections: 32, method: "POST", body: 4 << 10}),
	},
	{
		name: "post-1m", about: "POST of 1 MB, 8 connections",
		app: "post.psgi", peers: prefork, metrics: loadOnly, seconds: half, costs: loadCost,
		run: underLoad(shape{connections: 8, method: "POST", body: 1 << 20}),
	},
	{
		name: "get-1m", about: "1 MB that the app makes, 8 connections",
		app: "big.psgi", peers: prefork, metrics: loadOnly, seconds: half, costs: loadCost,
		run: underLoad(shape{connections: 8}),
	},
	{
		name: "file-1m", about: "a file of 1 MB, as an open handle of the app, 32 connections",
		// Feersum 1.410 fails for a plain handle.
		app: "file.psgi", peers: append(prefork, "nginx"), metrics: loadOnly, seconds: half, costs: loadCost,
		run: sendingFile(shape{connections: 32}),
	},
	{
		name: "mixed", about: "8 connections, 10 workers, 1 request in 100 sleeps 500 ms: at most 1,600 requests/s",
		app: "mixed.psgi", peers: prefork, guard: []string{"thralld", "starlet"},
		metrics: []metric{rate, quickP95, aloneP95, failures}, costs: 3 * time.Second,
		run: mixed,
	},
	{
		name: "slow", about: "1 probe; 500 clients send and 500 read 1 byte a second, 10 workers",
		app: "slow.psgi", peers: []string{"thralld", "starlet", "starman"},
		metrics: []metric{probeP99, aloneP99, slowMemory, failures}, once: true, costs: 12 * time.Second,
		run: slow,
	},
	{
		name: "idle", about: "memory of the server for each of 10,000 idle connections",
		app: "hello.psgi", peers: keepers, metrics: []metric{idleMemory}, once: true,
		seconds: none, costs: 6 * time.Second, run: idle,
	},
	{
		name: "memory", about: "memory (PSS) of all processes, 10 workers of Dancer2 after 300 requests",
		app: "dancer2.psgi", peers: prefork, guard: []string{"thralld", "starman"},
		metrics: []metric{loadedOnce, loadedEach}, once: true,
		seconds: none, costs: 10 * time.Second, run: loadedMemory,
	},
	{
		name: "start", about: "from the start of the process to the first answer of hello",
		app: "hello.psgi", peers: everyone, metrics: []metric{firstAnswer}, once: true,
		seconds: none, costs: 3 * time.Second, run: starting,
	},
	reload("reload", "hello.psgi", "hello", 20*time.Second, "thralld", "starlet", "starman"),
	reload("reload-dancer2", "dancer2.psgi", "Dancer2", time.Minute, "thralld", "starlet"),
}

func hello(connections int, closing bool, peers, guard []string) *workload {
	w := &workload{
		name:    fmt.Sprintf("hello-%d", connections),
		about:   fmt.Sprintf("the smallest answer, %d kept connections", connections),
		app:     "hello.psgi",
		peers:   peers,
		guard:   guard,
		metrics: keptLoad,
		costs:   loadCost,
	}
	if closing {
		w.name += "-close"
		w.about = fmt.Sprintf("the smallest answer, %d connections, a new one for each request", connections)
		w.metrics = loadOnly
		w.seconds = half
	}
	w.run = underLoad(shape{connections: connections, closing: closing})
	return w
}

// reload bounds the time in which all workers have to be new.
func reload(name, app, what string, limit time.Duration, peers ...string) *workload {
	return &workload{
		name: name, about: what + ", 8 connections, all 10 workers replaced meanwhile",
		app: app, peers: peers, metrics: []metric{reloadFailed, reloadTook, steadyP99, reloadP99},
		once: true, costs: 10 * time.Second, run: reloading(limit),
	}
}

// half is enough where many workloads differ little.
func half(asked int) int { return max(1, asked/2) }

// none is for workloads that end by themselves.
func none(int) int { return 0 }

func workloadNamed(name string) *workload {
	for _, w := range workloads {
		if w.name == name {
			return w
		}
	}
	return nil
}

func (w *workload) lasts(asked int) int {
	if w.seconds == nil {
		return asked
	}
	return w.seconds(asked)
}

func (w *workload) rounds(asked int) int {
	if w.once {
		return 1
	}
	return asked
}

// with starts the peer, calls what is to be done with it, and stops it.
func (j *job) with(ctx context.Context, change func(*place), do func(*server) error) error {
	port, err := j.bench.freePort()
	if err != nil {
		return err
	}
	at := place{port: port, app: "bench/apps/" + j.workload.app, loading: j.workload.loading, workers: 10, keep: 60, folder: j.bench.folder}
	if change != nil {
		change(&at)
	}
	j.bench.noteCommand(j.peer, at)
	s, err := start(ctx, j.peer, at)
	if err != nil {
		return err
	}
	defer s.stop()
	return do(s)
}

// underLoad measures what wrk sees. In the last round h2load looks whether each kept connection was served.
func underLoad(load shape) func(ctx context.Context, j *job) (figures, error) {
	return func(ctx context.Context, j *job) (seen figures, err error) {
		load := load
		load.closing = load.closing || j.peer.closes
		load.old = load.closing && j.peer.unsaid
		err = j.with(ctx, func(at *place) { at.closing = load.closing }, func(s *server) error {
			crowd(ctx, s, 300*time.Millisecond).forget()
			if seen, err = wrk(ctx, s.at.address(), load, j.seconds); err != nil {
				return err
			}
			if !j.last || load.closing || j.workload.metrics[len(j.workload.metrics)-1] != starved {
				return nil
			}
			all, err := served(ctx, s.at.address(), load.connections)
			if seen[starved] = 1; all {
				seen[starved] = 0
			}
			return err
		})
		return seen, err
	}
}

// sendingFile is underLoad with the file that the servers are to send.
func sendingFile(load shape) func(ctx context.Context, j *job) (figures, error) {
	measure := underLoad(load)
	return func(ctx context.Context, j *job) (figures, error) {
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		if err := os.WriteFile(filepath.Join(j.bench.folder, largeFile), content, 0o600); err != nil {
			return nil, fmt.Errorf("make the file to send: %w", err)
		}
		return measure(ctx, j)
	}
}

// starting is the median of five starts.
func starting(ctx context.Context, j *job) (figures, error) {
	var took []float64
	for range 5 {
		err := j.with(ctx, nil, func(s *server) error {
			took = append(took, milliseconds(s.answered))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return figures{firstAnswer: median(took)}, nil
}
