package supervisor

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// settle makes the world one in which all workers of a first generation are ready
// and nothing unforeseen happens.
func settledWorld(t *testing.T, settings Settings) *world {
	w := newWorld(t, 1, settings)
	w.quiet = true
	w.target = w.newIdea()
	w.run(time.Minute)
	return w
}

// serving counts the workers that serve.
func (w *world) serving() (n int) {
	for _, m := range w.workers {
		if m.state == ready {
			n++
		}
	}
	return n
}

func (w *world) expectServing(n int, when string) {
	w.t.Helper()
	if got := w.serving(); got != n {
		w.t.Errorf("%s: %d workers serve, want %d", when, got, n)
	}
}

// request sends requests that are never answered, one a worker.
func (w *world) request(n int) {
	for i := range n {
		c, err := w.dispatcher.newCall(w.t.Context(), &psgi.Request{ID: fmt.Sprint(i)})
		if err == nil {
			err = w.dispatcher.submit(c)
		}
		if err != nil {
			w.t.Error(err)
		}
	}
	w.attend()
}

// answer finishes everything that workers run or have been sent, again and again.
func (w *world) answer() {
	for _, s := range w.dispatcher.slots {
		for len(s.sent) > 0 {
			w.dispatcher.mu.Lock()
			w.dispatcher.finish(s, s.sent[0], 0, time.Second)
			w.dispatcher.mu.Unlock()
		}
	}
}

func TestWorkersGrowWithTheLoadAndGoWhenTheyAreIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 6, MinWorkers: 2, MaxQueue: 100, RetireTimeout: time.Minute})
		w.expectServing(2, "with nothing to do")
		w.request(5)
		w.run(3 * time.Second)
		w.expectServing(5, "with five requests")
		w.request(20)
		w.run(10 * time.Second)
		w.expectServing(6, "with more requests than workers")
		w.run(2 * idleWindow)
		w.expectServing(6, "as long as they are busy")
		w.answer()
		w.run(idleWindow + time.Second)
		w.expectServing(3, "when all were idle for a while") // half of the five spare ones
		w.run(2 * idleWindow)
		w.expectServing(2, "when they still are")
	})
}

func TestOneRequestThatWaitsWantsOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 6, MinWorkers: 1, MaxQueue: 100, SpawnInterval: 2 * time.Second})
		w.request(2) // one of them has to wait, for the interval and a boot
		w.run(idleWindow)
		w.expectServing(2, "with two requests")
	})
}

func TestLoadMayUseTheWorkersThatWereAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 2, MinWorkers: 1, MaxQueue: 100})
		w.adjustment = 2
		w.request(4)
		w.run(5 * time.Second)
		w.expectServing(4, "with four requests")
	})
}

func TestBusyWorkersStayWhenScalingIsSwitchedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := Settings{Workers: 5, MaxQueue: 100, RetireTimeout: time.Minute}
		w := settledWorld(t, settings)
		w.request(5)
		settings.MinWorkers = 1
		w.configure(settings)
		w.run(2 * idleWindow)
		w.expectServing(5, "while all are busy")
		w.answer()
		w.run(4 * idleWindow)
		w.expectServing(1, "when all have long been idle")
	})
}

func TestNumberOfWorkersFollowsTheSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := Settings{Workers: 3, SpawnInterval: time.Second, RetireTimeout: time.Minute}
		w := settledWorld(t, settings)
		for _, n := range []int{5, 1, 4} {
			settings.Workers = n
			w.configure(settings)
			w.run(10 * time.Second)
			w.expectServing(n, fmt.Sprint("set to ", n))
		}
		settings.Workers = 100
		w.configure(settings)
		w.run(10 * time.Second)
		w.expectServing(w.target.room(), "set to more than there is room for")
	})
}
