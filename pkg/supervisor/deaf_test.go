package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestFrameForAProcessThatReadsNothingIsNotWaitedFor(t *testing.T) {
	w := newTestWire(t)
	outcome := make(chan error, 1)
	go func() { // ends with the first frame that has no room
		for {
			if err := w.send(quitFrame); err != nil {
				outcome <- err
				return
			}
		}
	}()
	select {
	case err := <-outcome:
		if !errors.Is(err, errQueueFull) {
			t.Errorf("got %v, want errQueueFull", err)
		}
	case <-time.After(limit):
		w.close() // ends the goroutine
		t.Fatal("the sender waits")
	}
	w.takeBack(true)
	if err := w.send(quitFrame); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// The app takes the runtime's place: it sends piece after piece, and reads none of
// the acknowledgements, while the other thread is busy.
const deafApp = `
no warnings 'redefine';
sub Thralld::Threads::attend { return 0 }
sub Thralld::Threads::await  { return }
` + threadedApp

func TestWorkerThatReadsNothingIsEndedAndHoldsUpNobody(t *testing.T) {
	c := startCrew(t, deafApp, func(o *setup) { o.settings.Workers, o.plan.Boot.Threads = 1, 2 })
	c.await("worker ready", 1)
	busy := c.going("/wait1")
	c.awaitFile("running1")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := c.call(ctx, "/endless"); !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("the stream of the worker that reads nothing: %v, want ErrWorkerDied", err)
	}
	if err := <-busy; !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("the request beside it: %v, want ErrWorkerDied", err)
	}
	entry := c.await("worker sent nonsense", 1)
	if text := entry.ContextMap()["error"]; text != errQueueFull.Error() {
		t.Errorf("logged %v", text)
	}
	c.await("worker ready", 2)
	c.get("/who")
}

func TestFIFOThatAWorkerCallsItsFileIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	raw, err := fifo.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ref psgi.FileRef
	if err := raw.Control(func(fd uintptr) { ref.FD = int(fd) }); err != nil {
		t.Fatal(err)
	}
	s := new(slot)
	s.pid.Store(int64(os.Getpid()))
	outcome := make(chan error, 1)
	go func() { // ends with the opening
		_, err := openWorkerFile(s, ref)
		outcome <- err
	}()
	select {
	case err := <-outcome:
		if err == nil {
			t.Error("a FIFO is taken for a file")
		}
	case <-time.After(limit):
		t.Error("a FIFO is waited for")
		_, _ = os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0) // ends the goroutine
	}
}
