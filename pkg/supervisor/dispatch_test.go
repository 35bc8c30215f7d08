package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestQuickRequestsQueueOnTheWarmestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 3)
		h.train(20 * time.Microsecond)
		for i := range 5 {
			h.order(t.Context(), fmt.Sprint(i), 20*time.Microsecond)
		}
		pass(time.Millisecond)
		h.expectRan("0:0", "0:1", "0:2", "0:3", "0:4")
	})
}

func TestRequestsThatTakeLongerThanWakingAWorkerGoToIdleOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 3)
		h.train(200 * time.Microsecond)
		for i := range 3 {
			h.order(t.Context(), fmt.Sprint(i), 200*time.Microsecond)
		}
		h.expectRan("0:0", "1:1", "2:2")
	})
}

func TestNothingIsQueuedOnAWorkerThatIsHeldUpAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		h.order(t.Context(), "slow", time.Second)
		pass(concentrate + time.Microsecond)
		h.order(t.Context(), "quick", 20*time.Microsecond)
		h.expectRan("0:slow", "1:quick")
	})
}

func TestOneSlowRequestDoesNotMakeAnAppSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 3)
		h.train(20 * time.Microsecond)
		h.serve("slow", time.Second)
		for i := range 3 {
			h.order(t.Context(), fmt.Sprint(i), 20*time.Microsecond)
		}
		pass(time.Millisecond)
		h.expectRan("0:slow", "0:0", "0:1", "0:2")
	})
}

func TestAppThatBecomesSlowIsKnownToBeSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		for range 10 {
			h.serve("slow", 10*time.Millisecond)
		}
		h.mu.Lock()
		h.ran = nil
		h.mu.Unlock()
		h.order(t.Context(), "a", 10*time.Millisecond)
		h.order(t.Context(), "b", 10*time.Millisecond)
		h.expectRan("0:a", "1:b")
	})
}

func TestSlowAppGetsOneRequestPerWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 3)
		for i := range 4 {
			h.order(t.Context(), fmt.Sprint(i), 10*time.Millisecond)
		}
		h.expectRan("0:0", "1:1", "2:2") // the fourth waits for whoever is free first
	})
}

func TestNoRequestWaitsBehindASlowOneWhileAWorkerIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		slow := h.order(t.Context(), "slow", time.Second)
		quick := h.order(t.Context(), "quick", 20*time.Microsecond)
		began := time.Now()
		h.succeed(quick)
		if took := time.Since(began); took > patience+time.Millisecond {
			t.Errorf("the quick request took %v behind a slow one, with an idle worker beside it", took)
		}
		h.expectRan("0:slow", "1:quick")
		h.succeed(slow)
	})
}

func TestWhatWaitsBehindASlowRequestIsRunByWhoeverIsFreeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		h.order(t.Context(), "slow", time.Second)
		h.order(t.Context(), "a", 100*time.Millisecond) // is taken back from the first worker
		pass(2 * patience)
		for i := range 3 {
			h.order(t.Context(), fmt.Sprint(i), time.Millisecond)
		}
		pass(150 * time.Millisecond)
		h.expectRan("0:slow", "1:a", "1:0", "1:1", "1:2")
	})
}

func TestRequestThatIsTakenBackGoesBeforeThoseThatCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.train(900 * time.Microsecond) // one request may be sent ahead, not two
		h.order(t.Context(), "slow", 50*time.Millisecond)
		h.order(t.Context(), "ahead", time.Microsecond)
		h.order(t.Context(), "waits", time.Microsecond)
		pass(time.Second)
		h.expectRan("0:slow", "0:ahead", "0:waits")
	})
}

func TestRequestNeverReadByADeadWorkerIsRunByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.train(20 * time.Microsecond)
		running := h.order(t.Context(), "running", time.Second)
		unread := h.order(t.Context(), "unread", time.Microsecond)
		lost := h.workers[0].die()
		if diff := cmp.Diff([]string{"running"}, lost); diff != "" {
			t.Errorf("lost (-want +got):\n%s", diff)
		}
		if err := <-running; !errors.Is(err, psgi.ErrWorkerDied) {
			t.Errorf("running: %v, want ErrWorkerDied", err)
		}
		h.hire()
		if err := <-unread; err != nil {
			t.Errorf("unread: %v", err)
		}
		h.expectRan("0:running", "1:unread")
	})
}

func TestClientThatLeftLeavesTheQueue(t *testing.T) {
	for name, training := range map[string]time.Duration{
		"of those who wait for a worker": 10 * time.Millisecond,
		"of a worker, taken back":        20 * time.Microsecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, 1)
				h.train(training)
				ctx, leave := context.WithCancel(t.Context())
				h.order(t.Context(), "busy", 500*time.Microsecond)
				left := h.order(ctx, "left", time.Millisecond)
				stays := h.order(t.Context(), "stays", time.Millisecond)
				leave()
				if err := <-left; !errors.Is(err, context.Canceled) {
					t.Errorf("left: %v", err)
				}
				h.succeed(stays)
				h.expectRan("0:busy", "0:stays")
			})
		})
	}
}

func TestWorkerIsToldThatTheClientOfItsRequestHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		ctx, leave := context.WithCancel(t.Context())
		left := h.order(ctx, "left", 100*time.Millisecond)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		after := h.order(t.Context(), "after", time.Millisecond)
		if err := <-after; err != nil {
			t.Fatal(err)
		}
		h.expectRan("0:left", "0:after")
		w := h.workers[0]
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.cancels) != 1 {
			t.Errorf("cancels: %v, want one", w.cancels)
		}
	})
}

func TestRequestsBeyondTheQueueAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.maxQueue = 1
		h.order(t.Context(), "runs", time.Second)
		h.order(t.Context(), "waits", time.Millisecond)
		if err := <-h.order(t.Context(), "refused", time.Millisecond); !errors.Is(err, psgi.ErrQueueFull) {
			t.Errorf("refused: %v, want ErrQueueFull", err)
		}
	})
}

func TestRequestThatWaitsTooLongIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.queueTimeout = 10 * time.Second
		h.order(t.Context(), "runs", time.Minute)
		began := time.Now()
		first := h.order(t.Context(), "first", time.Millisecond)
		pass(4 * time.Second)
		second := h.order(t.Context(), "second", time.Millisecond)
		for _, waiting := range []<-chan error{first, second} {
			if err := <-waiting; !errors.Is(err, psgi.ErrQueueTimeout) {
				t.Errorf("%v, want ErrQueueTimeout", err)
			}
		}
		if took := time.Since(began); took != 14*time.Second {
			t.Errorf("refused after %v, want 14s", took)
		}
	})
}

func TestStoppedDispatcherRefusesWhatWaitsAndWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		runs := h.order(t.Context(), "runs", time.Second)
		waits := h.order(t.Context(), "waits", time.Second)
		h.stop()
		if err := <-waits; !errors.Is(err, psgi.ErrStopping) {
			t.Errorf("waits: %v, want ErrStopping", err)
		}
		if err := <-h.order(t.Context(), "comes", time.Second); !errors.Is(err, psgi.ErrStopping) {
			t.Errorf("comes: %v, want ErrStopping", err)
		}
		if err := <-runs; err != nil {
			t.Errorf("runs: %v", err)
		}
	})
}

func TestRequestThatNobodyIsLeftToRunIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.train(20 * time.Microsecond)
		h.order(t.Context(), "runs", time.Second)
		unread := h.order(t.Context(), "unread", time.Second)
		h.stop()
		h.withdraw(h.workers[0].slot)
		h.workers[0].die()
		if err := <-unread; !errors.Is(err, psgi.ErrStopping) {
			t.Errorf("unread: %v, want ErrStopping", err)
		}
	})
}

func TestStoppedWorkerFinishesWhatItHasBeenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.train(20 * time.Microsecond)
		first := h.order(t.Context(), "first", 100*time.Microsecond)
		second := h.order(t.Context(), "second", time.Millisecond)
		h.stop()
		h.withdraw(h.workers[0].slot)
		h.succeed(first)
		h.succeed(second)
	})
}

func TestWorkerThatCleansUpGetsNothingUntilItIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		w := h.workers[0]
		w.flags = psgi.FlagCleanup
		h.serve("cleans", time.Microsecond)
		h.serve("a", time.Microsecond)
		h.expectRan("0:cleans", "1:a")
		if name := w.slot.cleaning[0].name; name != "cleans" {
			t.Errorf("the call that is not over has become %q", name)
		}
		h.idle(w.slot, w.slot.cleaning[0].id, 0)
		w.flags = 0
		h.serve("b", time.Microsecond)
		h.expectRan("0:cleans", "1:a", "0:b")
	})
}

func TestWorkerThatLeavesGetsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		h.workers[0].flags = psgi.FlagLeaving
		last := h.order(t.Context(), "last", 100*time.Microsecond)
		ahead := h.order(t.Context(), "ahead", time.Microsecond)
		h.succeed(last)
		h.succeed(ahead)
		h.serve("next", time.Microsecond)
		h.mu.Lock()
		defer h.mu.Unlock()
		if want := "0:last"; h.ran[0] != want || !slices.Contains(h.ran, "1:next") {
			t.Errorf("ran %v", h.ran)
		}
	})
}

func TestNothingIsSentAheadOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		w := h.workers[0]
		h.order(t.Context(), "streams", time.Hour)
		behind := h.order(t.Context(), "behind", time.Microsecond)
		var id uint32
		h.dispatcher.mu.Lock()
		id = w.slot.sent[0].id
		h.dispatcher.mu.Unlock()
		w.answer(id, psgi.FlagStream, time.Microsecond) // the head, long before the end
		h.succeed(behind)
		h.serve("next", time.Microsecond)
		h.expectRan("0:streams", "1:behind", "1:next")
	})
}

func TestFramesThatBelongToNoRequestAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		s := h.workers[0].slot
		for _, f := range []psgi.Frame{
			{Type: psgi.TypeHead, Flags: psgi.FlagEnd, ID: 99, Payload: make([]byte, 10)},
			{Type: psgi.TypeHead, ID: 99},
			{Type: psgi.TypeBody, ID: 99},
			{Type: psgi.TypeInfo, ID: 99, Payload: []byte{0, 103}},
			{Type: 77},
		} {
			if err := h.receive(s, f); !errors.Is(err, psgi.ErrFrame) {
				t.Errorf("%+v: %v, want ErrFrame", f, err)
			}
		}
	})
}

func TestWorkerThatReachesItsLimitRunsWhatItHasBeenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		h.limit(h.workers[0].slot, 60+3)
		var outcomes []<-chan error
		for i := range 4 {
			outcomes = append(outcomes, h.order(t.Context(), fmt.Sprint(i), 100*time.Microsecond))
		}
		if due, spent := h.used(h.workers[0].slot); !due || !spent {
			t.Errorf("near its limit: %t, at it: %t", due, spent)
		}
		h.withdraw(h.workers[0].slot)
		for _, outcome := range outcomes {
			h.succeed(outcome)
		}
		h.expectRan("0:0", "1:3", "0:1", "0:2")
	})
}
