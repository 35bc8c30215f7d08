package supervisor

import (
	"context"
	"encoding/binary"
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
	quits   int
}

// hall is a dispatcher with its workers, and the record of who ran what.
type hall struct {
	*dispatcher
	t       *testing.T
	workers []*fakeWorker
	threads int // of each worker; 0: one

	mu  sync.Mutex
	ran []string // "worker:request", in order of beginning
}

func newHall(t *testing.T, workers int) *hall { return newThreadedHall(t, workers, 0) }

func newThreadedHall(t *testing.T, workers, threads int) *hall {
	h := &hall{dispatcher: newDispatcher(zap.NewNop()), t: t, threads: threads}
	h.maxQueue = 100
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
	w.slot = &slot{number: len(h.workers), generation: 1, threads: h.threads, wire: w}
	h.workers = append(h.workers, w)
	h.admit(w.slot, w.died, 0)
	for range max(h.threads, 1) {
		go w.run() // ends when the worker dies
	}
}

func (w *fakeWorker) send(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, slices.Clone(frame))
	wake(w.arrived)
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
			w.heed(f)
		}
	}
	w.queue = nil
	return ids
}

// heed counts the frames that are no requests.
func (w *fakeWorker) heed(f psgi.Frame) {
	switch f.Type {
	case psgi.TypeCancel:
		w.cancels = append(w.cancels, f.ID)
	case psgi.TypeQuit:
		w.quits++
	}
}

func (w *fakeWorker) next() (psgi.Frame, bool) {
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			frame, _ := psgi.ParseFrame(w.queue[0])
			if w.queue = w.queue[1:]; len(w.queue) > 0 {
				wake(w.arrived) // another thread
			}
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
		if frame.Type != psgi.TypeRequest {
			w.mu.Lock()
			w.heed(frame)
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
	body := f.Payload[4:][:binary.BigEndian.Uint32(f.Payload)]
	_, err := fmt.Sscan(string(body), &name, &text)
	if err == nil {
		work, err = time.ParseDuration(text)
	}
	if err != nil {
		w.hall.t.Errorf("request %q: %v", f.Payload, err)
	}
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
