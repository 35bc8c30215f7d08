package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// mirror answers requests on a worker's end of a wire, each with its own body in the
// body and in the header, until it is told to quit; now and then with what is not
// over when the answer is out.
func mirror(w *socketWire) error {
	in := make([]byte, psgi.MaxFrame)
	for i := 0; ; i++ {
		n, err := unix.Read(int(w.workers.Fd()), in)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		f, err := psgi.ParseFrame(in[:n])
		switch {
		case err != nil || f.Type == psgi.TypeQuit:
			return err
		case f.Type != psgi.TypeRequest:
			continue
		}
		body := f.Payload[4 : 4+int(f.Payload[2])<<8+int(f.Payload[3])]
		payload := append([]byte{0, 200, 0, 0, 0, 1, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
		for _, part := range [][]byte{[]byte("X-Name"), body[:16]} {
			payload = append(append(payload, 0, 0, 0, byte(len(part))), part...)
		}
		flags := psgi.FlagEnd
		if i%50 == 49 {
			flags |= psgi.FlagCleanup
		}
		if _, err := w.workers.Write(psgi.AppendFrame(nil, psgi.TypeHead, flags, f.ID, payload)); err != nil {
			return err
		}
		if flags&psgi.FlagCleanup != 0 {
			if _, err := w.workers.Write(psgi.AppendFrame(nil, psgi.TypeIdle, 0, f.ID, nil)); err != nil {
				return err
			}
		}
	}
}

// Calls and responses are used again when they are over. Here many are under way, of
// all sizes, and clients leave at any moment; whoever keeps a response finds it as it
// came until it is closed, and the text of its header for ever.
func TestNobodySeesTheMemoryOfAnother(t *testing.T) {
	s := &Supervisor{
		log: zap.NewNop(), appLog: zap.NewNop(), dispatcher: newDispatcher(zap.NewNop()),
		messages: make(chan func()), done: make(chan struct{}),
	}
	close(s.done)
	s.dispatcher.maxQueue = 100
	var workers, readers, callers sync.WaitGroup
	var slots []*slot
	for i := range 3 {
		slot, err := newSlot(i, 1, 0, s.logLine)
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, slot)
		readers.Go(func() { s.readWorkers(slot) })
		readers.Go(slot.logs.run)
		workers.Go(func() {
			if err := mirror(slot.socket); err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		})
		s.dispatcher.admit(slot, make(chan struct{}), 0)
	}
	for caller := range 12 {
		callers.Go(func() { s.lookInTheMirror(t, caller) })
	}
	callers.Wait()
	for _, slot := range slots {
		slot.quit()
	}
	workers.Wait()
	for _, slot := range slots {
		slot.close()
	}
	readers.Wait()
}

func (s *Supervisor) lookInTheMirror(t *testing.T, caller int) {
	rng := rand.New(rand.NewPCG(uint64(caller), 1))
	var names []string
	for i := range 300 {
		name := fmt.Sprintf("%04d %011d", caller, i)
		body := bytes.Repeat([]byte(name), 1+rng.IntN(20)*rng.IntN(60))
		ctx, leave := context.WithCancel(t.Context())
		if rng.IntN(4) == 0 {
			time.AfterFunc(time.Duration(rng.IntN(100))*time.Microsecond, leave)
		}
		response, err := s.Call(ctx, &psgi.Request{ID: name, Body: body})
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			leave()
			continue
		}
		piece, err := response.Body.Next()
		if err != nil || !bytes.Equal(piece, body) {
			t.Errorf("%s: a body of %d bytes, want %d, %v", name, len(piece), len(body), err)
		}
		if _, err := response.Body.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the body: %v", name, err)
		}
		got, _ := response.Header.Get("x-name")
		if names = append(names, got); got != name || response.Status != 200 {
			t.Errorf("%s: status %d, header %q", name, response.Status, got)
		}
		_ = response.Body.Close()
		leave()
	}
	for _, name := range names {
		if _, err := fmt.Sscanf(name, "%04d", new(int)); err != nil || name[:4] != fmt.Sprintf("%04d", caller) {
			t.Errorf("the text of a header has become %q", name)
		}
	}
}

func TestLargePagesAreNotKept(t *testing.T) {
	d := newDispatcher(zap.NewNop())
	c, err := d.newCall(t.Context(), &psgi.Request{Body: make([]byte, 2*keepMost)})
	if err != nil {
		t.Fatal(err)
	}
	d.recycle(c)
	if c.frame != nil {
		t.Errorf("a call keeps %d bytes", cap(c.frame))
	}
	p := &page{memory: make([]byte, 2*keepMost)}
	_ = p.Close()
	if p.memory != nil {
		t.Errorf("a page keeps %d bytes", cap(p.memory))
	}
}
