package supervisor

import (
	"testing"
	"testing/synctest"
	"time"
)

// any is one of the workers that serve.
func (w *world) any() *worker {
	for _, m := range w.workers {
		if m.state == ready {
			return m
		}
	}
	w.t.Fatal("no worker serves")
	return nil
}

func TestStopStillKillsAWorkerThatHeedsNoTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 2, RetireTimeout: time.Minute})
		m := w.any()
		w.apply(m, force) // it has overrun, say, and was sent TERM
		w.stop()
		time.Sleep(termGrace)
		w.expire()
		if m.state != killed {
			t.Errorf("the worker is %s %v after TERM", m.state, termGrace)
		}
		if m := w.retiring(); !m.deadline.IsZero() {
			t.Error("a worker that finishes a request has a deadline, which is for the caller of Stop to say")
		}
	})
}

func (w *world) retiring() *worker {
	for _, m := range w.workers {
		if m.state == retiring {
			return m
		}
	}
	w.t.Fatal("no worker is retiring")
	return nil
}

func TestWorkerThatLeavesAndDoesNotEndIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 1, RetireTimeout: 20 * time.Second})
		m := w.any()
		w.apply(m, leaving)
		time.Sleep(20 * time.Second)
		w.expire()
		if m.state != ending || m.cause != causeHarakiri {
			t.Errorf("it is %s (%s), want that it was sent TERM", m.state, m.cause)
		}
	})
}

func TestWorkerNearItsLastRequestStillAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 1, MaxLifetime: time.Hour, Housekeeping: time.Minute})
		m := w.any()
		m.due = dueRequests
		w.run(time.Minute)
		if m.state != ready {
			t.Fatalf("it is %s before its last request", m.state)
		}
		w.run(time.Hour)
		if m.state != gone || m.due != dueLifetime {
			t.Errorf("after an hour it is %s, and due for its %s", m.state, m.due)
		}
	})
}

func TestFailuresThatLieFarApartAreNoRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 2})
		for range 5 {
			w.target.notBefore = time.Time{}
			w.retireWorker(w.any())
			for w.serving() < 2 {
				w.run(10 * time.Millisecond)
			}
			youngest := w.any()
			for _, m := range w.workers {
				if m.born.After(youngest.born) {
					youngest = m
				}
			}
			w.die(youngest)
			w.run(time.Minute)
			if n := w.target.failures; n != 1 {
				t.Fatalf("%d failures in a row, a minute after the last one", n)
			}
		}
	})
}

func TestWorkersAreNotAllReplacedAtOnceWhenTheirLimitIsLowered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := Settings{Workers: 3, MaxQueue: 100, MaxRequests: 1000}
		w := settledWorld(t, settings)
		old := make(map[*worker]bool)
		for _, m := range w.workers {
			old[m] = true
			m.slot.served = 500
		}
		settings.MaxRequests = 100
		w.configure(settings)
		for range 1000 {
			w.run(10 * time.Millisecond)
			if n := w.serving(); n < 3 {
				t.Fatalf("%d workers serve, want 3 all the time", n)
			}
		}
		for _, m := range w.workers {
			if old[m] {
				t.Error("a worker that has run 500 requests is still there")
			}
		}
	})
}

func TestLimitThatIsLiftedKeepsWorkersThatWereNearIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := Settings{Workers: 2, MaxQueue: 100, MaxRequests: 10}
		w := settledWorld(t, settings)
		m := w.any()
		m.slot.served = 9
		w.attend()
		if m.due != dueRequests {
			t.Fatal("it is not due before its last request")
		}
		settings.MaxRequests = 0
		w.configure(settings)
		w.run(time.Minute)
		if m.due != "" || w.serving() != 2 {
			t.Errorf("due for %q, %d workers serve", m.due, w.serving())
		}
	})
}

func TestWorkerThatOverrunsAndHeedsNoTermIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, Settings{Workers: 2, RequestTimeout: time.Minute, Housekeeping: time.Second, MaxQueue: 10})
		w.request(1)
		var m *worker
		for _, other := range w.workers {
			if !w.dispatcher.idleSlot(other.slot) {
				m = other
			}
		}
		for _, step := range []struct {
			after time.Duration
			state state
		}{{59 * time.Second, ready}, {2 * time.Second, ending}, {termGrace, killed}} {
			time.Sleep(step.after)
			w.expire()
			if m.state != step.state {
				t.Errorf("%v later it is %s, want %s", step.after, m.state, step.state)
			}
		}
	})
}

func TestNewLimitsAreLookedAtWhenTheyAreSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := Settings{Workers: 1, MaxLifetime: 24 * time.Hour, Housekeeping: time.Hour}
		w := settledWorld(t, settings)
		m := w.any()
		settings.MaxLifetime, settings.Housekeeping = time.Second, time.Second
		w.configure(settings)
		w.expire()
		if m.due != dueLifetime {
			t.Error("a worker that is too old has to wait for the next look, which was for the old limits")
		}
	})
}
