package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// TestWhateverHappensNoRequestIsLostOrRunTwice simulates seconds of a busy site
// in virtual time: apps that are quick, slow or both, clients that leave, workers
// that die and are replaced. Beside what its name says it shows, all the while,
// that nobody waits for a worker while one is idle.
func TestWhateverHappensNoRequestIsLostOrRunTwice(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { simulate(t, seed, 0) })
		})
	}
}

func TestWhateverHappensToWorkersWithThreadsNoRequestIsLostOrRunTwice(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed, 2+int(seed%3)) })
		})
	}
}

func simulate(t *testing.T, seed uint64, threads int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	h := newThreadedHall(t, 1+rng.IntN(5), threads)
	usual := []time.Duration{20 * time.Microsecond, 200 * time.Microsecond, 2 * time.Millisecond, 20 * time.Millisecond}[seed%4]
	slowOnes, leavers, deaths := rng.IntN(10), rng.IntN(10), rng.IntN(4)

	ctx, end := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { h.watchForIdleness(ctx) })

	outcomes := make(map[string]<-chan error)
	ends := make(map[string]context.CancelFunc)
	for i := range 300 {
		name, work := fmt.Sprint(i), usual
		if rng.IntN(100) < slowOnes {
			work = 500 * time.Millisecond
		}
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		outcomes[name], ends[name] = h.order(ctx, name, work), leave
		switch n := rng.IntN(100); {
		case n < leavers:
			ends[fmt.Sprint(rng.IntN(i+1))]()
		case n >= 100-deaths:
			h.workers[rng.IntN(len(h.workers))].die()
			h.hire()
		}
		pass(time.Duration(rng.ExpFloat64() * float64(usual) / float64(len(h.workers)*max(threads, 1))))
	}

	died := 0
	for name, outcome := range outcomes {
		switch err := <-outcome; {
		case err == nil, errors.Is(err, context.Canceled), errors.Is(err, psgi.ErrQueueFull):
		case errors.Is(err, psgi.ErrWorkerDied):
			died++
		default:
			t.Errorf("request %s: %v", name, err)
		}
	}
	end()
	watch.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	times := make(map[string]int)
	for _, entry := range h.ran {
		_, name, _ := strings.Cut(entry, ":")
		if times[name]++; times[name] > 1 {
			t.Errorf("request %s was run more than once", name)
		}
	}
	if most := len(h.workers) * max(threads, 1); died > most {
		t.Errorf("%d requests died with a worker, and at most %d were run by one that did", died, most)
	}
}

// watchForIdleness looks again and again, as long as ctx lasts.
func (h *hall) watchForIdleness(ctx context.Context) {
	const blink = 90 * time.Microsecond // what is due at this very moment may not be done yet
	for ctx.Err() == nil {
		h.dispatcher.mu.Lock()
		idle := 0
		for _, s := range h.slots {
			if s.ready && (len(s.cleaning) == 0 && len(s.sent) == 0 || s.threaded() && s.hasThread(0)) {
				idle++
			}
		}
		if idle > 0 && len(h.waiting) > 0 {
			h.t.Errorf("%d requests wait although %d workers are idle", len(h.waiting), idle)
		}
		for _, s := range h.slots {
			if behind := time.Since(s.since); idle > 0 && len(s.sent) > 1 && !s.threaded() && behind > patience+blink {
				h.t.Errorf("%d requests wait on worker %d, behind one that has run for %v, although %d workers are idle",
					len(s.sent)-1, s.number, behind, idle)
			}
		}
		h.dispatcher.mu.Unlock()
		select {
		case <-time.After(blink):
		case <-ctx.Done():
		}
	}
}
