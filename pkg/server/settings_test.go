package server

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// change serves by changed options from now on.
func (s *site) change(how func(*Options), addresses ...string) {
	s.t.Helper()
	opts := s.opts
	how(&opts)
	s.prepare(opts, addresses...).Commit()
}

func unchanged(*Options) {}

func TestSettingsChangeBetweenTwoRequestsOfAConnection(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.ServerSoftware = "one" })
	c := s.dial()
	if got := c.get("/").wantStatus(t, 200).Header.Get("Server"); got != "one" {
		t.Errorf("Server %q", got)
	}
	s.change(func(o *Options) { o.ServerSoftware, o.Mount = "two", "/app" })
	if got := c.get("/").wantStatus(t, 404).Header.Get("Server"); got != "two" {
		t.Errorf("Server %q", got)
	}
	s.change(func(o *Options) { o.App = always(func() *psgi.Response { return whole(200, "another app") }) })
	c.get("/").wantText(t, "another app")
	s.change(func(o *Options) { o.MaxKeepaliveReqs = 4 })
	if !c.get("/").wantStatus(t, 200).Close {
		t.Error("the fourth request is not the last")
	}
}

func TestLimitOfTheHeadChangesForAWaitingConnection(t *testing.T) {
	s := serve(t, echo)
	longer, shorter := s.dial(), s.dial()
	head := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"
	longer.get("/").wantStatus(t, 200)
	s.change(func(o *Options) { o.MaxHeaderBytes = 3 << 20 })
	longer.send(head).reply("GET").wantStatus(t, 200)
	longer.get("/").wantStatus(t, 200)

	shorter.get("/").wantStatus(t, 200)
	s.change(func(o *Options) { o.MaxHeaderBytes = 100 })
	_, _ = shorter.Write([]byte(head[:1000]))
	shorter.reply("GET").wantStatus(t, 431)
	shorter.wantClosed()
}

func TestUploadThatHasBegunKeepsItsLimits(t *testing.T) {
	pipe, before, after := newPipe(), t.TempDir(), t.TempDir()
	s := serveAt(t, pipe, sizeOf, func(o *Options) { o.SpoolDir, o.Timeout = before, 0 })
	c := s.over(pipe.dial())
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.send("3\r\none\r\n") // has been read when send returns, so the request runs or is about to
	s.waitForRequests(1)
	s.change(func(o *Options) { o.SpoolDir, o.MaxBodyBytes, o.Timeout = after, 1, time.Nanosecond })
	if left := inside(before); len(left) > 0 {
		t.Errorf("nothing is spooled yet, and there is %v", left)
	}

	c.send(fmt.Sprintf("%x\r\n%s\r\n", psgi.MaxInline, strings.Repeat("x", psgi.MaxInline)))
	s.eventually("a file where it began", func() bool { return len(inside(before)) == 1 })
	c.send("0\r\n\r\n").reply("POST").wantText(t, fmt.Sprintf("-rwx------ -rw------- %d %d", psgi.MaxInline+3, psgi.MaxInline+3))
	s.logged("request served")
	if left := inside(before); len(left) > 0 {
		t.Errorf("the old folder is left: %v", left)
	}
	if len(inside(after)) != 1 {
		t.Errorf("in the new place is %v", inside(after))
	}
}

// roster returns that of the server's engine.
func (s *site) roster() *roster {
	if e, ok := s.server.engine.(*netHTTP); ok {
		return &e.roster
	}
	return &s.server.engine.(*http1).roster
}

// waitForRequests waits until so many requests are with the server.
func (s *site) waitForRequests(n int) {
	s.t.Helper()
	s.eventually("the request", func() bool {
		running := 0
		s.roster().eachPeer(func(p peer) {
			if busy(p) {
				running++
			}
		})
		return running == n
	})
}

// eventually waits for a state that nothing announces.
func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func inside(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	return names
}

func TestWaitingConnectionSurvivesChanges(t *testing.T) {
	s := serve(t, echo)
	c := s.dial()
	c.get("/").wantStatus(t, 200)
	for i := range 100 {
		s.change(func(o *Options) { o.KeepaliveTimeout, o.Timeout = time.Duration(i)*time.Hour, time.Hour })
	}
	c.get("/").wantStatus(t, 200)
}

// inVirtualTime serves over a pipe in memory, where time passes only when all wait.
func inVirtualTime(t *testing.T, a psgi.App, how func(*Options), test func(s *site, c *client)) {
	synctest.Test(t, func(t *testing.T) {
		pipe := newPipe()
		s := serveAt(t, pipe, a, how)
		s.pipe = pipe
		test(s, s.another())
	})
}

func TestTimesOfAConnectionBoundOneThingEach(t *testing.T) {
	const head, kept, runs = 10 * time.Second, 20 * time.Second, time.Minute
	slow := app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(runs):
			return whole(200, "done"), nil
		}
	})
	set := func(o *Options) { o.Timeout, o.KeepaliveTimeout = head, kept }
	inVirtualTime(t, slow, set, func(s *site, c *client) {
		for range 3 {
			c.send("GET / HTTP/1.1\r\n")
			time.Sleep(head - time.Second) // each head has its own time, and the app has none of it
			c.send("Host: a\r\n\r\n").reply("GET").wantText(t, "done")
			time.Sleep(kept - time.Second)
		}
		s.change(func(o *Options) { o.Timeout, o.KeepaliveTimeout = 2*head, 2*kept })
		c.send("GET / HTTP/1.1\r\n")
		synctest.Wait() // the server has noticed that a head begins
		s.change(func(o *Options) { o.Timeout, o.KeepaliveTimeout = head, 2*kept })
		time.Sleep(2*head - time.Second) // the head began with the longer one
		c.send("Host: a\r\n\r\n").reply("GET").wantText(t, "done")
		begun := time.Now()
		c.wantClosed()
		if waited := time.Since(begun); waited != 2*kept {
			t.Errorf("the connection was kept for %v", waited)
		}
	})
}

func TestSilentHeadEndsInTime(t *testing.T) {
	inVirtualTime(t, echo, func(o *Options) { o.Timeout, o.KeepaliveTimeout = time.Second, time.Hour }, func(_ *site, c *client) {
		c.get("/").wantStatus(t, 200)
		begun := time.Now()
		c.send("GET /")
		c.reply("GET").wantStatus(t, 408)
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("answered after %v", waited)
		}
	})
}

func TestDiscardedChangeLeavesNothing(t *testing.T) {
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	opts := s.opts
	opts.SpoolDir = dir
	change := s.prepare(opts, "127.0.0.1:0", socket)
	port := change.open[0].Addr().String()
	if _, err := s.server.Prepare(opts, nil); err == nil {
		t.Error("a second change can be prepared at the same time")
	}
	change.Discard()
	change.Discard()
	if left := append(inside(dir), inside(filepath.Dir(socket))...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	listenWant(t, port, ListenOptions{}).Close()
	s.dial().get("/").wantStatus(t, 200)
	s.change(unchanged)
}

func TestChangeThatFailsLeavesNothing(t *testing.T) {
	free := listenWant(t, "127.0.0.1:0", ListenOptions{})
	taken := listenWant(t, "127.0.0.1:0", ListenOptions{})
	free.Close()
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	opts := s.opts
	opts.SpoolDir = dir
	for name, test := range map[string]struct {
		dir       string
		addresses []string
		says      []string
	}{
		"listeners": {
			dir,
			[]string{socket, taken.Addr().String(), free.Addr().String(), "127.0.0.1:http"},
			[]string{taken.Addr().String(), "already in use", "127.0.0.1:http"},
		},
		"spool":             {"/nonexistent", []string{socket}, []string{"/nonexistent"}},
		"both, all at once": {"/nonexistent", []string{socket, "127.0.0.1:http"}, []string{"/nonexistent", "127.0.0.1:http"}},
	} {
		t.Run(name, func(t *testing.T) {
			opts.SpoolDir = test.dir
			_, err := s.server.Prepare(opts, at(test.addresses...))
			if err == nil {
				t.Fatal("it can be prepared")
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if left := append(inside(dir), inside(filepath.Dir(socket))...); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	listenWant(t, free.Addr().String(), ListenOptions{})
	s.dial().get("/").wantStatus(t, 200)
}

func TestChangeAfterTheStopIsRefused(t *testing.T) {
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo, func(o *Options) { o.SpoolDir = dir })
	change := s.prepare(s.opts, socket)
	if err := s.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if left := append(inside(dir), inside(filepath.Dir(socket))...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := s.server.Prepare(s.opts, nil); err == nil {
		t.Error("a change can be prepared")
	}
}

func TestChangesLeakNothing(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	sockets := t.TempDir()
	s := serve(t, echo)
	c := s.dial()
	turn := func(i int) {
		s.change(func(o *Options) { o.SpoolDir = dirs[i%2] }, filepath.Join(sockets, "kept"), filepath.Join(sockets, fmt.Sprint(i)))
		if i%100 == 0 {
			c.get("/").wantStatus(t, 200)
		}
	}
	turn(0)
	goroutines, descriptors := runtime.NumGoroutine(), len(inside("/proc/self/fd"))
	for i := range 1000 {
		turn(i + 1)
	}
	s.eventually("the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
	s.eventually("the descriptors' end", func() bool { return len(inside("/proc/self/fd")) <= descriptors })
	if left := len(inside(dirs[0])) + len(inside(dirs[1])); left != 1 {
		t.Errorf("%d spool folders", left)
	}
	if left := inside(sockets); len(left) != 2 {
		t.Errorf("sockets: %v", left)
	}
	e := s.roster()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.listeners) != 3 || len(e.peers) != 1 {
		t.Errorf("%d listeners, %d connections", len(e.listeners), len(e.peers))
	}
}

// busy reports whether a request of that connection is with the server.
func busy(p peer) bool {
	if c, ok := p.(*conn); ok {
		return c.running.Load()
	}
	return p.(*http1Conn).open.Load() > 0
}
