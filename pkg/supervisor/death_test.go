package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

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

func TestStatusSaysWhatIsWaitedForWhenNoWorkerIsReady(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
	pid := c.pid()
	c.rewrite("sleep 1 while 1")
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.until("its successor is loading", func() bool {
		list := c.Status().Workers
		return len(list) == 1 && list[0].State == "booting"
	})
	status := c.Status()
	if status.Healthy || status.Problem != "no worker is ready; loading the app: 1" {
		t.Errorf("healthy: %t, problem: %q", status.Healthy, status.Problem)
	}
	if n := status.Workers[0].Requests; n != 0 {
		t.Errorf("the worker that boots has run %d requests, which are another's", n)
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
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
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
	for _, s := range c.current() {
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
	c.post(func() { template <- c.target.template.cmd.Process.Pid })
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
