package control

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeDaemon does what a test says, and tells it what it was asked for.
type fakeDaemon struct {
	asked  chan string     // each call
	report chan Progress   // what a reload reports
	ended  chan error      // what a reload ends with
	seen   chan Progress   // what it has reported, as report has returned
	traced map[int]string  // what Trace says of a worker
	status Status          // what Status says
	stops  func()          // what Stop does
	ctx    context.Context // of the last reload that it was asked for
}

func newFakeDaemon() *fakeDaemon {
	return &fakeDaemon{
		asked:  make(chan string, 100),
		report: make(chan Progress),
		ended:  make(chan error),
		seen:   make(chan Progress, 100),
		stops:  func() {},
	}
}

func (d *fakeDaemon) Reload(ctx context.Context, report func(Progress)) error {
	d.ctx = ctx
	d.asked <- "reload"
	for {
		select {
		case p := <-d.report:
			report(p)
			d.seen <- p
		case err := <-d.ended:
			return err
		case <-ctx.Done():
			return errors.New("thralld stops")
		}
	}
}

func (d *fakeDaemon) Status() Status { return d.status }

func (d *fakeDaemon) Stop() {
	d.asked <- "stop"
	d.stops()
}

func (d *fakeDaemon) Trace(_ context.Context, pid int) (string, error) {
	if text, ok := d.traced[pid]; ok {
		return text, nil
	}
	return "", errors.New("no such worker")
}

// waitsFor wants the daemon to be asked for this.
func (d *fakeDaemon) waitsFor(t *testing.T, what string) {
	t.Helper()
	if got := next(t, d.asked); got != what {
		t.Fatalf("asked for %s, want %s", got, what)
	}
}

// next is what comes from a channel within a time that is long enough.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("it does not come")
		panic("unreachable")
	}
}

// A site is a daemon that is being served on a control socket.
type site struct {
	*fakeDaemon
	t      *testing.T
	path   string
	socket net.Listener
	served chan struct{} // closed when serving has ended
}

// newSite serves a fake daemon, with the changes to the service.
func newSite(t *testing.T, changes ...func(*service)) *site {
	t.Helper()
	s := &site{fakeDaemon: newFakeDaemon(), t: t, path: filepath.Join(t.TempDir(), "run", "thralld.sock"), served: make(chan struct{})}
	var err error
	if s.socket, err = Listen(s.path); err != nil {
		t.Fatal(err)
	}
	service := newService(s.fakeDaemon, zap.NewNop())
	for _, change := range changes {
		change(service)
	}
	go func() { // ends when the site closes
		defer close(s.served)
		service.serve(s.socket)
	}()
	t.Cleanup(s.close)
	return s
}

func (s *site) close() {
	s.socket.Close()
	next(s.t, s.served)
}

func (s *site) dial() *Client {
	s.t.Helper()
	c, err := Dial(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func TestReloadIsWaitedForAndShowsItsProgress(t *testing.T) {
	s := newSite(t)
	var seen []Progress
	told, ended := make(chan struct{}), make(chan error)
	go func() { // ends with the reload
		ended <- s.dial().Reload(context.Background(), false, func(p Progress) {
			seen = append(seen, p)
			told <- struct{}{}
		})
	}()
	want := []Progress{{2, "loading", 0, 3}, {2, "rolling", 1, 3}, {2, "rolling", 3, 3}}
	for _, p := range want {
		s.report <- p
		next(t, told)
	}
	s.ended <- nil
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestLastProgressIsToldBeforeTheOutcome(t *testing.T) {
	s := newSite(t)
	var last Progress
	ended := make(chan error)
	go func() { ended <- s.dial().Reload(context.Background(), false, func(p Progress) { last = p }) }() // ends with the reload
	for i := range 100 {
		s.report <- Progress{2, "rolling", i, 100}
		next(t, s.seen)
	}
	s.ended <- nil
	if err := next(t, ended); err != nil || last.Replaced != 99 {
		t.Errorf("got %v, the last is %v", err, last)
	}
}

func TestReloadThatFailsSaysWhy(t *testing.T) {
	s := newSite(t)
	perl := "load app.psgi:\nCan't locate Shop.pm in @INC <here> at app.psgi line 3."
	go func() { s.ended <- errors.New(perl) }() // ends with the reload
	if err := s.dial().Reload(t.Context(), false, nil); err == nil || err.Error() != perl {
		t.Errorf("got %v", err)
	}
}

func TestReloadGoesOnWithoutItsClient(t *testing.T) {
	s := newSite(t)
	client := s.dial()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- client.Reload(ctx, false, nil) }() // ends when it leaves
	s.waitsFor(t, "reload")
	leave()
	if err := next(t, left); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	client.Close()
	for i := range 10 { // more than it takes to notice
		s.report <- Progress{2, "rolling", i, 10}
		next(t, s.seen)
	}
	if err := s.ctx.Err(); err != nil {
		t.Errorf("the reload was ended: %v", err)
	}
	s.ended <- nil
	if _, err := s.dial().Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReloadWithoutWaitingIsAnsweredAtOnce(t *testing.T) {
	s := newSite(t)
	if err := s.dial().Reload(t.Context(), true, nil); err != nil {
		t.Fatal(err)
	}
	s.waitsFor(t, "reload")
	s.report <- Progress{2, "loading", 0, 1}
	s.ended <- errors.New("which nobody hears")
}

func TestReloadEndsWithTheDaemon(t *testing.T) {
	s := newSite(t)
	ended := make(chan error)
	client := s.dial()
	go func() { ended <- client.Reload(context.Background(), false, nil) }() // ends with the site
	s.waitsFor(t, "reload")
	s.close()
	if err := next(t, ended); err == nil || err.Error() != "thralld stops" {
		t.Errorf("got %v", err)
	}
}

func TestStatusArrivesWhole(t *testing.T) {
	s := newSite(t)
	now := time.Now().Round(0)
	s.status = Status{
		Version: "1.0.0", PID: 12, Started: now, App: "app.psgi", Listeners: []string{"@web"}, Healthy: true, Problem: "-",
		Workers: 2, Waiting: 3, Target: 5, Stable: 4,
		Certificates: []Certificate{{[]string{"a.test"}, "/etc/a.pem", now, now}},
		Generations:  []Generation{{4, "stable", now, 13}},
		WorkerList:   []Worker{{1, 4, 14, "busy", 1.5, 7, 1 << 40, []Doing{{"id", "GET /<a>", 0.25}}}},
		LastReload:   &Reload{5, now, now, "done", "-"},
	}
	got, err := s.dial().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.status, got); diff != "" {
		t.Error(diff)
	}
}

func TestListsOfAStatusAreNeverMissing(t *testing.T) {
	s := newSite(t)
	s.status = Status{WorkerList: []Worker{{}}}
	got, err := s.dial().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Listeners == nil || got.Generations == nil || got.WorkerList[0].Doing == nil {
		t.Errorf("got %#v", got)
	}
	if s.status.WorkerList[0].Doing != nil {
		t.Error("the daemon's own status was changed")
	}
}

func TestTraceIsOfOneWorker(t *testing.T) {
	s := newSite(t)
	s.traced = map[int]string{14: "at Shop.pm line 3\nat app.psgi line 9\n"}
	if text, err := s.dial().Trace(t.Context(), 14); err != nil || text != s.traced[14] {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := s.dial().Trace(t.Context(), 15); err == nil || err.Error() != "no such worker" {
		t.Errorf("got %v", err)
	}
}
