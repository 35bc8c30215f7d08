package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestWorkerRunsAsManyRequestsAsItHasThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 1, 3)
		for i := range 5 {
			h.order(t.Context(), fmt.Sprint(i), time.Duration(100-10*i)*time.Millisecond)
		}
		h.expectRan("0:0", "0:1", "0:2")
		pass(85 * time.Millisecond) // until the third is done, the first of all
		h.expectRan("0:0", "0:1", "0:2", "0:3")
		pass(10 * time.Millisecond)
		h.expectRan("0:0", "0:1", "0:2", "0:3", "0:4")
	})
}

func TestNothingIsSentAheadToAWorkerWithThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 2, 2)
		h.train(20 * time.Microsecond)
		for i := range 6 {
			h.order(t.Context(), fmt.Sprint(i), 20*time.Microsecond)
		}
		h.expectRan("0:0", "0:1", "1:2", "1:3")
		h.mu.Lock()
		h.ran = nil
		h.mu.Unlock()
		pass(time.Millisecond)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.ran) != 2 {
			t.Errorf("then ran %v, want the other two", h.ran)
		}
	})
}

func TestStreamHoldsOneThreadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 1, 2)
		w := h.workers[0]
		h.order(t.Context(), "streams", time.Hour)
		h.dispatcher.mu.Lock()
		id := w.slot.sent[0].id
		h.dispatcher.mu.Unlock()
		w.answer(id, psgi.FlagStream, time.Microsecond) // the head, long before the end
		h.serve("a", time.Millisecond)
		h.serve("b", time.Millisecond)
		h.expectRan("0:streams", "0:a", "0:b")
	})
}

func TestCleanupHoldsOneThreadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 1, 2)
		w := h.workers[0]
		w.flags = psgi.FlagCleanup
		h.serve("cleans", time.Millisecond)
		w.flags = 0
		slow := h.order(t.Context(), "slow", time.Second)
		waits := h.order(t.Context(), "waits", time.Millisecond)
		h.expectRan("0:cleans", "0:slow")
		if name := h.requestID(w.slot, w.slot.cleaning[0].id); name != "cleans" {
			t.Errorf("a line of the cleanup handlers is logged as one of %q", name)
		}
		h.idle(w.slot, w.slot.cleaning[0].id, 0)
		h.succeed(waits)
		h.succeed(slow)
		h.expectRan("0:cleans", "0:slow", "0:waits")
	})
}

func TestOtherThreadsOfAWorkerThatLeavesFinishWhatTheyRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 2, 3)
		w := h.workers[0]
		slow := h.order(t.Context(), "slow", time.Second)
		w.flags = psgi.FlagLeaving
		h.serve("last", time.Millisecond)
		w.flags = 0
		h.serve("next", time.Millisecond)
		h.succeed(slow)
		h.serve("after", time.Millisecond)
		h.expectRan("0:slow", "0:last", "1:next", "1:after")
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.quits != 3 {
			t.Errorf("the worker was told to quit %d times, want once for each thread", w.quits)
		}
	})
}

func TestDeathOfAWorkerFailsWhatAllItsThreadsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 1, 3)
		var outcomes []<-chan error
		for i := range 3 {
			outcomes = append(outcomes, h.order(t.Context(), fmt.Sprint(i), time.Second))
		}
		waits := h.order(t.Context(), "waits", time.Millisecond)
		if diff := cmp.Diff([]string{"0", "1", "2"}, h.workers[0].die()); diff != "" {
			t.Errorf("lost (-want +got):\n%s", diff)
		}
		for i, outcome := range outcomes {
			if err := <-outcome; !errors.Is(err, psgi.ErrWorkerDied) {
				t.Errorf("request %d: %v, want ErrWorkerDied", i, err)
			}
		}
		h.hire()
		h.succeed(waits)
		h.expectRan("0:0", "0:1", "0:2", "1:waits")
	})
}

func TestClientThatLeftEndsItsOwnRequestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 1, 2)
		ctx, leave := context.WithCancel(t.Context())
		stays := h.order(t.Context(), "stays", 100*time.Millisecond)
		left := h.order(ctx, "left", 100*time.Millisecond)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		waits := h.order(t.Context(), "waits", time.Millisecond)
		h.expectRan("0:stays", "0:left") // its thread is busy until it has looked
		h.succeed(stays)
		h.succeed(waits)
		w := h.workers[0]
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.cancels) != 1 {
			t.Errorf("cancels: %v, want one", w.cancels)
		}
	})
}

func TestLargeRequestsDoNotFillTheSocketOfAWorkerWithThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 1, 4)
		for i := range 4 {
			h.order(t.Context(), fmt.Sprintf("%d%s", i, strings.Repeat("x", 60_000)), time.Second)
		}
		h.mu.Lock()
		began := len(h.ran)
		h.mu.Unlock()
		if began != 1 {
			t.Errorf("%d were sent although the first may not have been read", began)
		}
		pass(4 * patience)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.ran) != 4 {
			t.Errorf("after a while %d of them run, want 4", len(h.ran))
		}
	})
}

func TestRequestThatAStoppedWorkerWithThreadsDoesNotReadIsRunByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThreadedHall(t, 2, 2)
		h.train(20 * time.Microsecond)
		close(h.workers[0].died) // it reads no more, and nobody knows
		h.serve("a", time.Microsecond)
		began := time.Now()
		h.serve("b", time.Microsecond)
		if took := time.Since(began); took > patience/2 {
			t.Errorf("the next one was answered after %v", took)
		}
		h.expectRan("1:a", "1:b")
	})
}
