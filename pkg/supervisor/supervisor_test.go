package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// These tests run real Perl workers. They wait for events: answers, log entries
// and ends of processes, each within the patience of limit.

const limit = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crew is a supervisor that runs an app of a test.
type crew struct {
	*Supervisor
	t    *testing.T
	dir  string
	logs *observer.ObservedLogs
}

// newCrew makes a supervisor for the app of that source; it is not started.
func newCrew(t *testing.T, source string, change func(*Options)) *crew {
	t.Helper()
	dir := t.TempDir()
	app := filepath.Join(dir, "app.psgi")
	if err := os.WriteFile(app, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	options := Options{
		Boot:     psgi.Boot{App: app, Env: "deployment"},
		Env:      append(os.Environ(), "TEST_DIR="+dir),
		Workers:  2,
		MaxQueue: 100,
		Log:      zap.New(core),
		AppLog:   zap.New(core).Named("app"),
	}
	if change != nil {
		change(&options)
	}
	return &crew{New(options), t, dir, logs}
}

// startCrew starts one, and sees to it that its end leaves nothing behind.
func startCrew(t *testing.T, source string, change func(*Options)) *crew {
	t.Helper()
	c := newCrew(t, source, change)
	if err := c.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
			t.Errorf("a process is left behind (wait: %v)", err)
		}
	})
	return c
}

// call runs a request for the path and returns the whole answer.
func (c *crew) call(ctx context.Context, path string) (string, error) {
	r := &psgi.Request{ID: "id" + path}
	r.Env.Set("REQUEST_METHOD", "GET")
	r.Env.Set("PATH_INFO", path)
	r.Env.Set("thralld.request_id", r.ID)
	response, err := c.Call(ctx, r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var text strings.Builder
	for {
		piece, err := response.Body.Next()
		text.Write(piece)
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return text.String(), err
		}
	}
}

// get is call for a request that has to succeed.
func (c *crew) get(path string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	text, err := c.call(ctx, path)
	if err != nil {
		c.t.Fatalf("get %s: %v", path, err)
	}
	return text
}

func (c *crew) pid() int {
	c.t.Helper()
	pid, err := strconv.Atoi(c.get("/pid"))
	if err != nil {
		c.t.Fatal(err)
	}
	return pid
}

// await waits for a log entry of that message, the n-th of its kind.
func (c *crew) await(message string, n int) observer.LoggedEntry {
	c.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if entries := c.logs.FilterMessage(message).All(); len(entries) >= n {
			return entries[n-1]
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			c.t.Fatalf("no %d. log entry %q; there are: %v", n, message, c.logs.All())
		}
	}
}

// awaitFile waits until the app has made a file in the test's folder.
func (c *crew) awaitFile(name string) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < limit; <-time.After(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(c.dir, name)); err == nil {
			return
		}
	}
	c.t.Fatalf("the app has not made %s", name)
}

func (c *crew) release(name string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// app answers /pid with its pid; /wait says that it runs and waits for release.
const app = `
use Time::HiRes 'sleep';
sub mark { open my $fh, '>', "$ENV{TEST_DIR}/$_[0]" or die $! }
sub {
	my $env = shift;
	if ($env->{PATH_INFO} =~ m{^/wait(.*)}) {
		open my $ran, '>>', "$ENV{TEST_DIR}/ran$1"; syswrite $ran, "$$\n";
		mark("running$1");
		sleep 0.005 until -e "$ENV{TEST_DIR}/go$1";
		return [200, [], ["done$1"]];
	}
	if ($env->{PATH_INFO} eq '/stream') {
		return sub {
			my $w = shift->([200, []]);
			$w->write("first\n");
			mark('streaming');
			sleep 0.005 until -e "$ENV{TEST_DIR}/go";
			$w->write("last\n");
			$w->close;
		};
	}
	warn "a line for $env->{PATH_INFO}\n" if $env->{PATH_INFO} =~ /warn/;
	return [200, [], [$$]];
}
`

func (c *crew) going(path string) <-chan error {
	outcome := make(chan error, 1)
	go func() { // ends with the answer
		_, err := c.call(c.t.Context(), path)
		outcome <- err
	}()
	return outcome
}

func TestStartCarriesPerlsMessage(t *testing.T) {
	for name, test := range map[string]struct{ source, want string }{
		"does not compile":           {"use strict;\nmy $x = ;\nsub {}", "syntax error at $APP line 2"},
		"dies":                       {"die 'no database'", "no database at $APP line 1"},
		"a module is missing":        {"use No::Such::Module; sub {}", "Can't locate No/Such/Module.pm in @INC"},
		"returns no code":            {"42", `$APP returned "42"; its last value has to be the app`},
		"returns nothing":            {"undef", "$APP returned undef"},
		"exits while loading":        {"print 'bye'; exit 7", "exited with status 7 while it was loading; it last printed:\nbye"},
		"is killed while loading":    {"kill KILL => $$", "killed by signal 9 (SIGKILL) while it was loading, and printed nothing"},
		"throws an object":           {"package E; use overload '\"\"' => sub {'an object'}; die bless {}, 'E'", "an object"},
		"says it in wide characters": {"use utf8; die \"\\x{263a}\\n\"", "\u263a"},
	} {
		for _, preload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, preload %t", name, preload), func(t *testing.T) {
				c := newCrew(t, test.source, func(o *Options) { o.Boot.Preload = preload })
				err := c.Start(t.Context())
				want := strings.ReplaceAll(test.want, "$APP", filepath.Join(c.dir, "app.psgi"))
				if preload {
					want, _, _ = strings.Cut(want, " while it was")
					want, _, _ = strings.Cut(want, "exited with")
					want, _, _ = strings.Cut(want, "killed by")
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("start: %v\nwant %s", err, want)
				}
				if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
					t.Errorf("a process is left behind (wait: %v)", err)
				}
			})
		}
	}
}

func TestStartWithoutPerl(t *testing.T) {
	c := newCrew(t, app, func(o *Options) { o.Perl = "/no/such/perl" })
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), `perl not found (looked for "/no/such/perl")`) {
		t.Errorf("start: %v", err)
	}
}

func TestStartWithAnInterpreterThatIsTooOld(t *testing.T) {
	c := newCrew(t, app, func(o *Options) {
		o.Perl = filepath.Join(t.TempDir(), "perl")
		script := "#!/bin/sh\necho 'thralld needs perl 5.14 or newer, and this is 5.008' >&2\nexit 3\n"
		if err := os.WriteFile(o.Perl, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	})
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "needs perl 5.14 or newer") {
		t.Errorf("start: %v", err)
	}
}

func TestAppThatHangsWhileLoadingIsEnded(t *testing.T) {
	for _, preload := range []bool{false, true} {
		t.Run(fmt.Sprintf("preload %t", preload), func(t *testing.T) {
			c := newCrew(t, "$SIG{TERM} = 'IGNORE'; sleep 1 while 1", func(o *Options) {
				o.StartTimeout = 300 * time.Millisecond
				o.Boot.Preload = preload
			})
			if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "did not finish loading within 300ms (start_timeout)") {
				t.Errorf("start: %v", err)
			}
		})
	}
}

func TestStartThatIsGivenUpLeavesNothing(t *testing.T) {
	c := newCrew(t, `open my $fh, '>', "$ENV{TEST_DIR}/loading"; $SIG{TERM} = 'IGNORE'; sleep 1 while 1`, nil)
	ctx, giveUp := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() { started <- c.Start(ctx) }() // ends when the start is given up
	c.awaitFile("loading")
	giveUp()
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v", err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left behind (wait: %v)", err)
	}
}

func TestKilledIdleWorkerIsReplaced(t *testing.T) {
	c := startCrew(t, app, nil)
	c.await("worker ready", 2)
	pid := c.pid()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	entry := c.await("worker exited", 1)
	if fields := entry.ContextMap(); fields["cause"] != "crashed" || fields["status"] != "killed by signal 9 (SIGKILL)" {
		t.Errorf("logged %v", fields)
	}
	c.await("worker ready", 3)
	if again := c.pid(); again == pid {
		t.Errorf("worker %d answers although it is dead", pid)
	}
}

func TestRequestBeingRunByAWorkerThatDiesIsNotRunAgain(t *testing.T) {
	c := startCrew(t, app, nil)
	c.await("worker ready", 2)
	outcome := c.going("/wait")
	c.awaitFile("running")
	ran, err := os.ReadFile(filepath.Join(c.dir, "ran"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(ran)))
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("the request: %v, want ErrWorkerDied", err)
	}
	lost, ok := c.await("worker exited", 1).ContextMap()["requests_lost"].([]any)
	if !ok || len(lost) != 1 || lost[0] != "id/wait" {
		t.Errorf("requests_lost: %v", lost)
	}
	c.await("worker ready", 3)
	c.get("/pid")
	if ran, _ := os.ReadFile(filepath.Join(c.dir, "ran")); strings.Count(string(ran), "\n") != 1 {
		t.Errorf("the request was run by %q", ran)
	}
}

func TestRequestsWaitForTheWorkerThatReplacesADeadOne(t *testing.T) {
	c := startCrew(t, app, func(o *Options) { o.Workers = 1 })
	first := c.going("/wait1")
	c.awaitFile("running1")
	second := c.going("/wait2") // sent ahead or waiting: never read by the first worker
	c.release("go2")
	ran, _ := os.ReadFile(filepath.Join(c.dir, "ran1"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(ran)))
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-first; !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("first: %v, want ErrWorkerDied", err)
	}
	if err := <-second; err != nil {
		t.Errorf("second: %v", err)
	}
}

func TestResponseOfAWorkerThatDiesAtOnceIsNotLost(t *testing.T) {
	c := startCrew(t, `sub { my $env = shift; push @{$env->{'psgix.cleanup.handlers'}}, sub { kill KILL => $$ }; [200, [], ['whole']] }`, nil)
	for range 3 {
		if text := c.get("/"); text != "whole" {
			t.Fatalf("got %q", text)
		}
	}
}

func TestStreamOfAWorkerThatDiesIsCut(t *testing.T) {
	c := startCrew(t, app, nil)
	r := &psgi.Request{ID: "streamed"}
	r.Env.Set("REQUEST_METHOD", "GET")
	r.Env.Set("PATH_INFO", "/stream")
	response, err := c.Call(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if piece, err := response.Body.Next(); string(piece) != "first\n" || err != nil {
		t.Fatalf("first piece: %q, %v", piece, err)
	}
	c.awaitFile("streaming")
	for _, s := range c.slots {
		if s.number == response.Worker {
			if err := unix.Kill(int(s.pid.Load()), unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := response.Body.Next(); !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("after the death: %v, want ErrWorkerDied", err)
	}
}

func TestTemplateThatDiesIsReplacedAndItsWorkersLiveOn(t *testing.T) {
	c := startCrew(t, app, nil)
	c.await("worker ready", 2)
	outcome := c.going("/wait")
	c.awaitFile("running")
	template := make(chan int, 1)
	c.post(func() { template <- c.template.cmd.Process.Pid })
	if err := unix.Kill(<-template, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await("template exited", 1)
	c.release("go")
	if err := <-outcome; err != nil {
		t.Errorf("the request that ran meanwhile: %v", err)
	}
	if err := unix.Kill(c.pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await("worker ready", 3) // forked by a new template
	if entry := c.await("worker exited", 1).ContextMap(); entry["status"] != "killed by signal 9 (SIGKILL)" {
		t.Errorf("the end of a worker whose template died: %v", entry)
	}
}

func TestStopWaitsForTheRunningRequest(t *testing.T) {
	c := startCrew(t, app, nil)
	outcome := c.going("/wait")
	c.awaitFile("running")
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(t.Context()) }() // ends when the request has
	c.post(func() {})
	if _, err := c.call(t.Context(), "/pid"); !errors.Is(err, psgi.ErrStopping) {
		t.Errorf("a request meanwhile: %v, want ErrStopping", err)
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped while a request was running (%v)", err)
	default:
	}
	c.release("go")
	if err := <-outcome; err != nil {
		t.Errorf("the request: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestStopEndsWhatDoesNotFinish(t *testing.T) {
	c := startCrew(t, app, nil)
	outcome := c.going("/wait")
	c.awaitFile("running")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	if err := <-outcome; !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("the request: %v, want ErrWorkerDied", err)
	}
}

func TestKillEndsWorkersThatHeedNoTerm(t *testing.T) {
	c := startCrew(t, "$SIG{TERM} = 'IGNORE';"+app, nil)
	outcome := c.going("/wait")
	c.awaitFile("running")
	began := time.Now()
	c.Kill()
	if took := time.Since(began); took >= termGrace {
		t.Errorf("killed after %v", took)
	}
	if err := <-outcome; !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("the request: %v, want ErrWorkerDied", err)
	}
}

func TestLinesCarryTheRequestThatPrintedThem(t *testing.T) {
	c := startCrew(t, app, func(o *Options) { o.Workers = 1 })
	outcomes := make([]<-chan error, 50)
	for i := range outcomes {
		outcomes[i] = c.going(fmt.Sprintf("/warn%d", i))
	}
	for i, outcome := range outcomes {
		if err := <-outcome; err != nil {
			t.Fatal(err)
		}
		entry := c.await(fmt.Sprintf("a line for /warn%d", i), 1).ContextMap()
		if want := fmt.Sprintf("id/warn%d", i); entry["request_id"] != want {
			t.Errorf("a line of %s is logged as %v", want, entry)
		}
	}
}

func TestWorkerThatBreaksTheProtocolIsReplaced(t *testing.T) {
	c := startCrew(t, `my $s; sub {
		for my $fd (3 .. 50) { # what a hostile app can do: find the slot and write to it
			open my $fh, '+<&=', $fd or next;
			push @keep, $fh;
			syswrite $fh, "nonsense" if -S $fh;
		}
		[200, [], ['ok']]
	}`, nil)
	c.await("worker ready", 2)
	_, err := c.call(t.Context(), "/")
	if err == nil {
		t.Log("the answer came before the worker's end")
	}
	c.await("worker sent nonsense", 1)
	c.await("worker ready", 3)
}

func TestOrphansOfTheAppAreReaped(t *testing.T) {
	c := startCrew(t, `sub {
		my $env = shift;
		if (!fork) { if (!fork) { sleep 0.01; exec 'true' } kill KILL => $$ }
		wait;
		[200, [], ['ok']]
	}`, func(o *Options) { o.ReapOrphans = true })
	for range 10 {
		c.get("/")
	}
}

func TestAppRunsAsUnderPlackup(t *testing.T) {
	c := startCrew(t, `use FindBin; my $loaded = $0; sub { [200, [], [join '|', $0, $loaded, $FindBin::Bin, scalar @ARGV, -t STDIN ? 1 : 0]] }`, nil)
	file := filepath.Join(c.dir, "app.psgi")
	if got, want := c.get("/"), strings.Join([]string{file, file, c.dir, "0", "0"}, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var pid int
	for _, s := range c.slots {
		if s.pid.Load() != 0 {
			pid = int(s.pid.Load())
		}
	}
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.HasPrefix(string(title), "thralld: worker ") {
		t.Errorf("ps shows %q, %v", title, err)
	}
}

func TestWorkerHasTheDescriptorsOfItsOwnSlotOnly(t *testing.T) {
	c := startCrew(t, `sub {
		opendir my $d, "/proc/$$/fd";
		[200, [], [join ' ', map { readlink("/proc/$$/fd/$_") || () } readdir $d]]
	}`, nil)
	c.await("worker ready", 2)
	sockets := 0
	for target := range strings.FieldsSeq(c.get("/")) {
		if strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	if sockets != 1 {
		t.Errorf("the worker has %d sockets, want that of its slot only", sockets)
	}
}
