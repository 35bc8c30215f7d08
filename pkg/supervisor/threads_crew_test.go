package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// These tests run real Perl workers with threads.

const threadedApp = `
use Time::HiRes 'sleep';
my %on = (
	who  => sub { [200, [], [join ' ', $$, $_[0]{'psgi.multithread'} ? 'multithread' : 'single']] },
	wait => sub {
		my ($env, $name) = @_;
		open my $mark, '>', "$ENV{TEST_DIR}/running$name" or die $!;
		sleep 0.005 until -e "$ENV{TEST_DIR}/go$name";
		return [200, [], ["$$ $name"]];
	},
	last => sub { $_[0]{'psgix.harakiri.commit'} = 1; [200, [], ['bye']] },
	file => sub { open my $fh, '<', "$ENV{TEST_DIR}/app.psgi" or die $!; [200, [], $fh] },
	warn => sub {
		my ($env, $name) = @_;
		for my $i (1 .. 20) {
			print STDERR "line $i ";
			sleep 0.001;
			print STDERR "of $name ", '.' x 6000, "\n";
		}
		return [200, [], []];
	},
	endless => sub {
		my ($env, $name) = @_;
		return sub {
			my $writer = $_[0]->([200, []]);
			until (eval { $writer->write('x' x 1000) for 1 .. 1000; 0 } || $@) { }
			open my $mark, '>', "$ENV{TEST_DIR}/ended$name" or die $!;
		};
	},
);
sub {
	my ($env) = @_;
	my ($what, $name) = $env->{PATH_INFO} =~ m{^/([a-z]+)(.*)};
	return $on{$what}->($env, $name);
}
`

// startThreadedCrew starts one worker with that many threads.
func startThreadedCrew(t *testing.T, threads int) *crew {
	t.Helper()
	return startCrew(t, threadedApp, func(o *setup) { o.settings.Workers, o.plan.Boot.Threads = 1, threads })
}

// fill has all threads of the worker run a request that waits for its release.
func (c *crew) fill(threads int) []<-chan error {
	c.t.Helper()
	outcomes := make([]<-chan error, threads)
	for i := range outcomes {
		outcomes[i] = c.going(fmt.Sprintf("/wait%d", i))
	}
	for i := range outcomes {
		c.awaitFile(fmt.Sprintf("running%d", i))
	}
	return outcomes
}

func (c *crew) releaseAll(outcomes []<-chan error) {
	c.t.Helper()
	for i, outcome := range outcomes {
		c.release(fmt.Sprintf("go%d", i))
		if err := <-outcome; err != nil {
			c.t.Errorf("request %d: %v", i, err)
		}
	}
}

func TestSlowRequestsRunAtTheSameTimeInOneWorker(t *testing.T) {
	c := startThreadedCrew(t, 4)
	outcomes := c.fill(4)
	c.releaseAll(outcomes)
	if _, kind, _ := strings.Cut(c.get("/who"), " "); kind != "multithread" {
		t.Errorf("psgi.multithread: %s", kind)
	}
	if n := c.logs.FilterMessage("worker ready").Len(); n != 1 {
		t.Errorf("%d workers were started", n)
	}
}

func TestOneThreadIsNotMultithreaded(t *testing.T) {
	c := startThreadedCrew(t, 1)
	if _, kind, _ := strings.Cut(c.get("/who"), " "); kind != "single" {
		t.Errorf("psgi.multithread: %s", kind)
	}
}

func TestStopFinishesWhatThreadsRun(t *testing.T) {
	c := startThreadedCrew(t, 4)
	outcomes := c.fill(3)
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(t.Context()) }() // ends when the requests have
	c.until("the stop begins", func() bool {
		_, err := c.call(t.Context(), "/who")
		return errors.Is(err, psgi.ErrStopping)
	})
	c.releaseAll(outcomes)
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if fields := c.await("worker exited", 1).ContextMap(); fields["status"] != "exited with status 0" || fields["cause"] != "retired" {
		t.Errorf("logged %v", fields)
	}
}

func TestHarakiriLetsOtherThreadsFinish(t *testing.T) {
	c := startThreadedCrew(t, 4)
	outcomes := c.fill(2)
	c.get("/last")
	c.await("worker ready", 2) // the next one is there while the first still runs
	c.get("/who")
	c.releaseAll(outcomes)
	if fields := c.await("worker exited", 1).ContextMap(); fields["cause"] != "harakiri" || fields["status"] != "exited with status 0" {
		t.Errorf("logged %v", fields)
	}
}

func TestKilledWorkerLosesWhatAllItsThreadsRun(t *testing.T) {
	c := startThreadedCrew(t, 3)
	outcomes := c.fill(3)
	if err := unix.Kill(int(c.current()[0].pid.Load()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for i, outcome := range outcomes {
		if err := <-outcome; !errors.Is(err, psgi.ErrWorkerDied) {
			t.Errorf("request %d: %v, want ErrWorkerDied", i, err)
		}
	}
	if lost, ok := c.await("worker exited", 1).ContextMap()["requests_lost"].([]any); !ok || len(lost) != 3 {
		t.Errorf("requests_lost: %v", lost)
	}
	c.get("/who")
}

func TestFilesOfThreadsAreSentAndClosed(t *testing.T) {
	c := startThreadedCrew(t, 3)
	for _, busy := range []int{0, 2} { // the word that a file is open is read by an idle thread, or by its own
		outcomes := c.fill(busy)
		files := make([]*psgi.Response, 20)
		for i := range files {
			r := &psgi.Request{ID: fmt.Sprint(i)}
			r.Env.Set("PATH_INFO", "/file")
			var err error
			if files[i], err = c.Call(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(io.NewSectionReader(files[i].File, files[i].File.Offset, files[i].File.Length))
			if err != nil || string(text) != threadedApp {
				t.Errorf("a file of %d bytes, %v", len(text), err)
			}
			if err := files[i].Body.Close(); err != nil {
				t.Error(err)
			}
		}
		c.until("the worker closes its files", func() bool {
			links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", c.current()[0].pid.Load()))
			for _, link := range links {
				if target, _ := os.Readlink(link); target == filepath.Join(c.dir, "app.psgi") {
					return false
				}
			}
			return err == nil
		})
		c.releaseAll(outcomes)
	}
}

// endless begins a response without end and returns it; leave is its client's leaving.
func (c *crew) endless(name string) (response *psgi.Response, leave func()) {
	c.t.Helper()
	ctx, leave := context.WithCancel(c.t.Context())
	r := &psgi.Request{ID: name}
	r.Env.Set("PATH_INFO", "/endless"+name)
	response, err := c.Call(ctx, r)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, leave
}

func TestStreamsOfThreadsEndWithTheirClients(t *testing.T) {
	c := startThreadedCrew(t, 3)
	for _, n := range []int{1, 3} { // with and without a thread that is idle
		type client struct {
			response *psgi.Response
			leave    func()
		}
		clients := make([]client, n)
		for i := range clients {
			clients[i].response, clients[i].leave = c.endless(fmt.Sprint(n, i))
			if _, err := clients[i].response.Body.Next(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range clients { // the last one first: the others go on
			clients[n-1-i].leave()
			_ = clients[n-1-i].response.Body.Close()
			c.awaitFile(fmt.Sprint("ended", n, n-1-i))
		}
	}
	c.get("/who")
}

func TestReaderThatIsBehindHoldsOneThreadOnly(t *testing.T) {
	c := startThreadedCrew(t, 2)
	response, leave := c.endless("1")
	for range 100 {
		c.get("/who")
	}
	for range 100 {
		if piece, err := response.Body.Next(); len(piece) != 1000 || err != nil {
			t.Fatalf("a piece of %d bytes, %v", len(piece), err)
		}
	}
	leave()
	_ = response.Body.Close()
	c.awaitFile("ended1")
}

func TestLinesOfThreadsCarryTheRequestThatPrintedThem(t *testing.T) {
	c := startThreadedCrew(t, 4)
	outcomes := make([]<-chan error, 12)
	for i := range outcomes {
		outcomes[i] = c.going(fmt.Sprintf("/warn%d", i))
	}
	for i, outcome := range outcomes {
		if err := <-outcome; err != nil {
			t.Fatal(err)
		}
		for line := 1; line <= 20; line++ {
			entry := c.await(fmt.Sprintf("line %d of %d %s", line, i, strings.Repeat(".", 6000)), 1).ContextMap()
			if want := fmt.Sprintf("id/warn%d", i); entry["request_id"] != want {
				t.Errorf("a line of %s is logged as %v", want, entry)
			}
		}
	}
}

func TestPerlWithoutThreads(t *testing.T) {
	c := newCrew(t, app, func(o *setup) {
		folder := t.TempDir()
		o.plan.Boot.Threads, o.plan.Perl = 4, filepath.Join(folder, "perl")
		module := "package Unthreaded; use Config; (tied %Config)->{useithreads} = undef; 1;\n"
		script := fmt.Sprintf("#!/bin/sh\nexec perl -I'%s' -MUnthreaded \"$@\"\n", folder)
		for name, text := range map[string]string{"Unthreaded.pm": module, "perl": script} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	})
	err := c.start(t.Context())
	for _, want := range []string{"threads = 4: this perl (", "is built without threads. Set threads = 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start: %v\nwant %s", err, want)
		}
	}
}
