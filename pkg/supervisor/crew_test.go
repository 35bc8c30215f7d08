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

func TestMain(m *testing.M) {
	if os.Getenv(echoEnv) != "" {
		echo()
		return
	}
	goleak.VerifyTestMain(m)
}

// crew is a supervisor that runs an app of a test.
type crew struct {
	*Supervisor
	t    *testing.T
	dir  string
	logs *observer.ObservedLogs
	set  setup

	first *Roll // that of the start
}

// setup is what a crew begins with.
type setup struct {
	options  Options
	settings Settings
	plan     Plan
}

// newCrew makes a supervisor for the app of that source; it is not started.
func newCrew(t *testing.T, source string, change func(*setup)) *crew {
	t.Helper()
	dir := t.TempDir()
	app := filepath.Join(dir, "app.psgi")
	if err := os.WriteFile(app, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	set := setup{
		Options{ReapOrphans: true, Log: zap.New(core), AppLog: zap.New(core).Named("app")},
		Settings{Workers: 2, MaxQueue: 100, RetireTimeout: limit},
		Plan{Boot: psgi.Boot{App: app, Env: "deployment"}, Env: append(os.Environ(), "TEST_DIR="+dir)},
	}
	if change != nil {
		change(&set)
	}
	set.options.Settings = set.settings
	s, err := New(set.options)
	if err != nil {
		t.Fatal(err)
	}
	return &crew{s, t, dir, logs, set, nil}
}

// start makes the first generation, or ends everything.
func (c *crew) start(ctx context.Context) error {
	candidate, err := c.Prepare(ctx, c.set.plan)
	if err != nil {
		c.Kill()
		return err
	}
	c.first = candidate.Commit(c.set.settings)
	return nil
}

// reload prepares and commits another generation, and returns its roll.
func (c *crew) reload() (*Roll, error) {
	candidate, err := c.Prepare(c.t.Context(), c.set.plan)
	if err != nil {
		return nil, err
	}
	return candidate.Commit(c.set.settings), nil
}

// rewrite gives the app a new source.
func (c *crew) rewrite(source string) {
	c.t.Helper()
	if err := os.WriteFile(c.set.plan.Boot.App, []byte(source), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// current returns the slots of the target generation.
func (c *crew) current() (slots []*slot) {
	c.ask(func() { slots = c.target.slots })
	return slots
}

// startCrew starts one, and sees to it that its end leaves nothing behind.
func startCrew(t *testing.T, source string, change func(*setup)) *crew {
	t.Helper()
	c := newCrew(t, source, change)
	before := descriptors(t)
	if err := c.start(t.Context()); err != nil {
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
		c.until("all descriptors are closed", func() bool { return descriptors(t) <= before })
	})
	return c
}

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
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

// until waits for what no event tells.
func (c *crew) until(what string, happened func() bool) {
	c.t.Helper()
	deadline := time.After(limit)
	for tick := time.NewTicker(2 * time.Millisecond); !happened(); {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%s: not within %v; the log: %v", what, limit, c.logs.All())
		}
	}
}

// await waits for a log entry of that message, the n-th of its kind.
func (c *crew) await(message string, n int) observer.LoggedEntry {
	c.t.Helper()
	c.until(fmt.Sprintf("log entry %d of %q", n, message), func() bool {
		return c.logs.FilterMessage(message).Len() >= n
	})
	return c.logs.FilterMessage(message).All()[n-1]
}

// awaitFile waits until the app has made a file in the test's folder.
func (c *crew) awaitFile(name string) {
	c.t.Helper()
	c.until("the app makes "+name, func() bool {
		_, err := os.Stat(filepath.Join(c.dir, name))
		return err == nil
	})
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
