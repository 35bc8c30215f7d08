package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// reader takes in what the workers of a slot send. It belongs to one goroutine.
type reader struct {
	*Supervisor
	slot  *slot
	batch *batch
	pages [batchSize]arrival // what quick is about to hand on
}

// readWorkers takes in what the workers of a slot send, one worker after the
// other, until the slot is closed.
func (s *Supervisor) readWorkers(slot *slot) {
	batch, err := newBatch()
	if err != nil {
		s.log.Error("slot lost", zap.Int("worker", slot.number), zap.Error(err))
		return
	}
	defer batch.release()
	r := &reader{Supervisor: s, slot: slot, batch: batch}
	for {
		err := slot.socket.receive(batch, r.quick)
		switch {
		case err == nil:
			r.rest()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return
		default:
			for slot.socket.receiveLeft(batch) {
				r.rest()
			}
			if s.workerDrained(slot) != nil {
				return
			}
		}
	}
}

// quick handles the frames at the head of a batch that carry whole responses, for
// which nobody has to be waited for, and reports whether these were all.
func (r *reader) quick() bool {
	b, n := r.batch, 0
	for i := range b.count {
		f, err := psgi.ParseFrame(b.bytes(i))
		if err != nil || !isPage(f) || f.Flags&psgi.FlagLeaving != 0 {
			break
		}
		if r.pages[n], err = r.slot.arrive(f); err != nil {
			break
		}
		n++
	}
	if n == 0 {
		return false
	}
	r.slot.logs.drain() // what the requests printed is logged as theirs
	b.next = r.dispatcher.takePages(r.slot, r.pages[:n])
	for _, a := range r.pages[b.next:n] {
		_ = a.page.Close()
	}
	clear(r.pages[:n])
	return b.left() == 0
}

// rest handles what quick has left.
func (r *reader) rest() {
	for b := r.batch; b.left() > 0; b.next++ {
		frame, err := psgi.ParseFrame(b.bytes(b.next))
		if err == nil {
			err = r.receive(r.slot, frame)
		}
		if err != nil {
			r.post(func() { r.workerBroken(r.slot, err) })
		}
	}
}

// workerDrained: the worker is dead, and everything it sent has been read.
func (s *Supervisor) workerDrained(slot *slot) error {
	last := slot.logs.finish()
	lost := s.dispatcher.lost(slot)
	err := slot.socket.rest()
	s.post(func() {
		if w := s.workers[slot]; w != nil {
			s.drained(w, last, lost)
		}
	})
	return err
}

// receive sorts a frame of a worker: what is about the worker goes to the
// supervisor, what is about a request to the dispatcher.
func (s *Supervisor) receive(slot *slot, f psgi.Frame) error {
	switch f.Type {
	case psgi.TypeReady:
		pid, err := f.Process()
		if err == nil {
			s.post(func() { s.workerReady(slot, pid) })
		}
		return err
	case psgi.TypeFail:
		message := string(f.Payload)
		s.post(func() {
			if w := s.workers[slot]; w != nil {
				w.message, w.cause = message, causeFailedToBoot
			}
		})
		return nil
	case psgi.TypeLog:
		return s.logStructured(slot, f)
	}
	if f.Flags&psgi.FlagEnd != 0 || f.Type == psgi.TypeIdle {
		slot.logs.drain() // what the request printed is logged as its own
	}
	if err := s.dispatcher.receive(slot, f); err != nil {
		return err
	}
	if f.Flags&psgi.FlagLeaving != 0 {
		s.post(func() { s.workerLeaves(slot) })
	}
	return nil
}

// workerLeaves notes that a worker ends by itself, which it may have done already.
func (s *Supervisor) workerLeaves(slot *slot) {
	w := s.workers[slot]
	if w == nil {
		return
	}
	if w.cause == "" {
		w.cause = causeHarakiri
	}
	s.apply(w, leaving)
}

// workerBroken ends a worker that does not keep to the protocol.
func (s *Supervisor) workerBroken(slot *slot, err error) {
	w := s.workers[slot]
	if w == nil {
		return
	}
	s.log.Error("worker sent nonsense", zap.Int("worker", slot.number), zap.Int("generation", slot.generation),
		zap.Int("pid", w.pid), zap.Error(err))
	w.cause = causeCrashed
	s.signal(w, unix.SIGKILL)
}

// logLine logs a line that the app printed.
func (s *Supervisor) logLine(slot *slot, line, request string) {
	if request == "" {
		request = s.dispatcher.requestID(slot, 0)
	}
	s.appLog.Info(line, appFields(slot, request)...)
}

// logStructured logs what the app gave to psgix.logger.
func (s *Supervisor) logStructured(slot *slot, f psgi.Frame) error {
	entry, err := f.List()
	if err != nil || len(entry) != 2 {
		return fmt.Errorf("%w: a log line of %d parts", psgi.ErrFrame, len(entry))
	}
	level := map[string]zapcore.Level{
		"debug": zap.DebugLevel, "info": zap.InfoLevel, "warn": zap.WarnLevel,
		"error": zap.ErrorLevel, "fatal": zap.ErrorLevel,
	}[strings.ToLower(entry[0])]
	fields := appFields(slot, s.dispatcher.requestID(slot, f.ID))
	s.appLog.Log(level, entry[1], append(fields, zap.String("app_level", entry[0]))...)
	return nil
}

func appFields(slot *slot, request string) []zap.Field {
	fields := []zap.Field{zap.Int("worker", slot.number), zap.Int("generation", slot.generation)}
	if request != "" {
		fields = append(fields, zap.String("request_id", request))
	}
	return fields
}
