package supervisor

import (
	"context"
	"errors"
	"testing"
	"time"

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
