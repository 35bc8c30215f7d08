package supervisor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestStopWaitsForTheRunningRequest(t *testing.T) {
	c := startCrew(t, app, nil)
	outcome := c.going("/wait")
	c.awaitFile("running")
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(t.Context()) }()              // ends when the request has
	for err := error(nil); !errors.Is(err, psgi.ErrStopping); { // until the stop has begun
		if _, err = c.call(t.Context(), "/pid"); err != nil && !errors.Is(err, psgi.ErrStopping) {
			t.Fatalf("a request meanwhile: %v, want ErrStopping", err)
		}
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
