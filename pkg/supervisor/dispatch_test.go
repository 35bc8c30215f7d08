package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// In these tests time is virtual and the kernel is a fake: what is shown is
// the policy. wire_test.go shows that the kernel keeps its part.

// fakeWorker is a worker and its queue. It runs a request for as long as the
// request's body says.
type fakeWorker struct {
	d    *dispatcher
	slot *slot
	hall *hall

	mu      sync.Mutex
	queue   [][]byte
	arrived chan struct{} // capacity one
	died    chan struct{}
	flags   psgi.Flags // of the heads that it sends
	cancels []uint32
}

// hall is a dispatcher with its workers, and the record of who ran what.
type hall struct {
	*dispatcher
	t       *testing.T
	workers []*fakeWorker

	mu  sync.Mutex
	ran []string // "worker:request", in order of beginning
}

func newHall(t *testing.T, workers int) *hall {
	h := &hall{dispatcher: newDispatcher(100, 0, zap.NewNop()), t: t}
	for range workers {
		h.hire()
	}
	t.Cleanup(func() {
		for _, w := range h.workers {
			w.die()
		}
		h.stop()
	})
	return h
}

func (h *hall) hire() {
	w := &fakeWorker{d: h.dispatcher, hall: h, arrived: make(chan struct{}, 1), died: make(chan struct{})}
	w.slot = &slot{number: len(h.workers), generation: 1, wire: w}
	h.workers = append(h.workers, w)
	h.admit(w.slot)
	go w.run() // ends when the worker dies
}

func (w *fakeWorker) send(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, frame)
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	return nil
}

func (w *fakeWorker) takeBack(bool) []uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []uint32
	for _, b := range w.queue {
		if f, _ := psgi.ParseFrame(b); f.Type == psgi.TypeRequest {
			ids = append(ids, f.ID)
		} else {
			w.cancels = append(w.cancels, f.ID)
		}
	}
	w.queue = nil
	return ids
}

func (w *fakeWorker) next() (psgi.Frame, bool) {
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			frame, _ := psgi.ParseFrame(w.queue[0])
			w.queue = w.queue[1:]
			w.mu.Unlock()
			return frame, true
		}
		w.mu.Unlock()
		select {
		case <-w.arrived:
		case <-w.died:
			return psgi.Frame{}, false
		}
	}
}

func (w *fakeWorker) run() {
	for {
		frame, ok := w.next()
		if !ok {
			return
		}
		if frame.Type == psgi.TypeCancel {
			w.mu.Lock()
			w.cancels = append(w.cancels, frame.ID)
			w.mu.Unlock()
			continue
		}
		name, work := w.read(frame)
		w.hall.mu.Lock()
		w.hall.ran = append(w.hall.ran, fmt.Sprintf("%d:%s", w.slot.number, name))
		w.hall.mu.Unlock()
		select {
		case <-time.After(work):
		case <-w.died:
			return
		}
		w.answer(frame.ID, w.flags|psgi.FlagEnd, work)
	}
}

// read takes name and duration out of a request: "name 20ms".
func (w *fakeWorker) read(f psgi.Frame) (name string, work time.Duration) {
	var text string
	if _, err := fmt.Sscan(string(f.Payload[4:]), &name, &text); err != nil {
		w.hall.t.Errorf("request %q: %v", f.Payload, err)
	}
	work, _ = time.ParseDuration(text)
	return name, work
}

// answer sends a head with an empty body, as the Perl runtime does.
func (w *fakeWorker) answer(id uint32, flags psgi.Flags, took time.Duration) {
	us := uint32(took.Microseconds())
	payload := []byte{0, 200, byte(us >> 24), byte(us >> 16), byte(us >> 8), byte(us), 0, 0, 0, 0}
	if err := w.d.receive(w.slot, psgi.Frame{Type: psgi.TypeHead, Flags: flags, ID: id, Payload: payload}); err != nil {
		w.hall.t.Errorf("receive: %v", err)
	}
}

// die ends the worker as kill -9 would.
func (w *fakeWorker) die() []string {
	select {
	case <-w.died:
		return nil
	default:
	}
	close(w.died)
	synctest.Wait()
	return w.d.lost(w.slot)
}

// order sends a request and returns where its outcome will be.
func (h *hall) order(ctx context.Context, name string, work time.Duration) <-chan error {
	outcome := make(chan error, 1)
	r := &psgi.Request{ID: name, Body: fmt.Appendf(nil, "%s %s", name, work)}
	go func() { // ends with its answer
		response, err := h.Call(ctx, r)
		if err == nil {
			err = response.Body.Close()
		}
		outcome <- err
	}()
	synctest.Wait()
	return outcome
}

// serve sends a request and waits until it has been answered.
func (h *hall) serve(name string, work time.Duration) {
	h.t.Helper()
	h.succeed(h.order(h.t.Context(), name, work))
}

func (h *hall) succeed(outcome <-chan error) {
	h.t.Helper()
	if err := <-outcome; err != nil {
		h.t.Errorf("the request failed: %v", err)
	}
}

// train has the first worker answer quick requests until they are expected of it.
func (h *hall) train(work time.Duration) {
	for range 60 {
		h.serve("training", work)
	}
	h.mu.Lock()
	h.ran = nil
	h.mu.Unlock()
}

func (h *hall) expectRan(want ...string) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, h.ran); diff != "" {
		h.t.Errorf("who ran what (-want +got):\n%s", diff)
	}
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

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
		h.train(1500 * time.Microsecond) // one request may be sent ahead, not two
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
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		ctx, leave := context.WithCancel(t.Context())
		h.order(t.Context(), "busy", 100*time.Millisecond)
		left := h.order(ctx, "left", time.Millisecond)
		stays := h.order(t.Context(), "stays", time.Millisecond)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		h.succeed(stays)
		h.expectRan("0:busy", "0:stays")
	})
}

func TestClientThatLeftIsTakenBackFromTheWorkersQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		h.train(20 * time.Microsecond)
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

func TestWorkerThatCleansUpGetsNothingUntilItIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		w := h.workers[0]
		w.flags = psgi.FlagCleanup
		h.serve("cleans", time.Microsecond)
		h.serve("a", time.Microsecond)
		h.expectRan("0:cleans", "1:a")
		h.idle(w.slot, 0)
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
