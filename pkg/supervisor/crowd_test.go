package supervisor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestNoMoreWorkersOfAnAppThatComputesAreUsedThanTheProcessorsCanRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 10)
		h.crowd.bound = 3
		for i := range 5 {
			h.order(t.Context(), fmt.Sprint(i), time.Duration(2+i%3)*time.Millisecond)
		}
		h.expectRan("0:0", "1:1", "2:2")
		pass(3500 * time.Microsecond)
		h.expectRan("0:0", "1:1", "2:2", "0:3", "1:4") // by workers that are warm
	})
}

func TestRequestsThatTakeLongMakeRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 10)
		h.crowd.bound = 3
		for i := range 3 {
			h.order(t.Context(), fmt.Sprint(i), time.Second)
		}
		quick := h.order(t.Context(), "quick", time.Millisecond)
		began := time.Now()
		h.succeed(quick)
		if took := time.Since(began); took > lonePatience+time.Millisecond {
			t.Errorf("it took %v, with idle workers", took)
		}
		h.expectRan("0:0", "1:1", "2:2", "3:quick")
	})
}

func TestWorkerThatCleansUpCountsAsRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.crowd.bound = 1
		h.workers[0].flags = psgi.FlagCleanup
		h.serve("first", time.Millisecond)
		second := h.order(t.Context(), "second", time.Millisecond)
		h.expectRan("0:first")
		h.idle(h.workers[0].slot, 1, 0)
		h.succeed(second)
		h.expectRan("0:first", "0:second")
	})
}

func TestBoundIsTheProcessorsTimesWhatRequestsTakeByWhatTheyCompute(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		effort effort
		want   int
	}{
		{"it only computes", effort{ran: 100 * ms, took: 100 * ms}, 3},
		{"it only computes, and others had the processors", effort{ran: 100 * ms, delayed: 400 * ms, took: 500 * ms}, 3},
		{"half of it is waiting", effort{ran: 100 * ms, delayed: 300 * ms, took: 500 * ms}, 5},
		{"nearly all of it is waiting", effort{ran: 10 * ms, took: 1000 * ms}, 201},
		{"most is done after the responses", effort{ran: 100 * ms, took: 10 * ms}, 3},
		{"it has done next to nothing", effort{ran: fewSamples - 1, took: 100 * ms}, 0},
	} {
		crowd := crowd{processors: 2}
		if crowd.learn(c.effort); crowd.bound != c.want {
			t.Errorf("%s: the bound is %d, want %d", c.name, crowd.bound, c.want)
		}
	}
}

func TestAppThatBeginsToWaitIsKnownToDoSoSoon(t *testing.T) {
	crowd := crowd{processors: 2}
	for range 100 {
		crowd.learn(effort{ran: 100 * time.Millisecond, took: 100 * time.Millisecond})
	}
	for range 3 {
		crowd.learn(effort{ran: 10 * time.Millisecond, took: 200 * time.Millisecond})
	}
	if crowd.bound < 10 {
		t.Errorf("the bound is %d", crowd.bound)
	}
}

func TestBoundIsMeasuredWhenAsManyWorkersRunAsThereAreProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 4)
		h.crowd.processors = 2
		asked := 0
		h.schedule = func(pid int64) (ran, delayed time.Duration, err error) {
			if asked++; pid == 102 {
				return 0, 0, errors.New("it has just ended")
			}
			took := h.took(int(pid - 100))
			return took/2 + time.Second, took / 4, nil // a third of what is left is waiting
		}
		for i, w := range h.workers {
			w.slot.pid.Store(int64(100 + i))
		}
		h.serve("alone", 20*time.Millisecond)
		if asked > 0 {
			t.Error("one running worker says nothing")
		}
		for range 3 {
			for i := range 4 {
				h.order(t.Context(), fmt.Sprint(i), 20*time.Millisecond)
			}
			pass(measureEvery)
		}
		if want := 3*2/2 + 1; h.crowd.bound != want {
			t.Errorf("the bound is %d, want %d", h.crowd.bound, want)
		}
		if asked != 3*4 {
			t.Errorf("the kernel was asked %d times, want once for each worker at a time, thrice", asked)
		}
	})
}

// took is what the requests of a worker have taken.
func (h *hall) took(worker int) time.Duration {
	h.dispatcher.mu.Lock()
	defer h.dispatcher.mu.Unlock()
	return h.workers[worker].slot.took
}

func TestKernelTellsHowLongAProcessWasRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	before, _, err := schedule(int64(os.Getpid()))
	if err != nil || before <= 0 {
		t.Fatalf("%v, %v", before, err)
	}
	if _, _, err := schedule(1 << 40); err == nil {
		t.Error("no error for a process that is not there")
	}
}
