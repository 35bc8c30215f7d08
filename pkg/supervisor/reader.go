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

// readWorkers takes in what the workers of a slot send, one worker after the
// other, until the slot is closed.
func (s *Supervisor) readWorkers(slot *slot) {
	buf := make([]byte, psgi.MaxFrame+1)
	for {
		n, err := slot.socket.read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if s.workerDrained(slot) != nil {
				return
			}
			continue
		}
		if err != nil {
			return
		}
		frame, err := psgi.ParseFrame(buf[:n])
		if err == nil {
			err = s.receive(slot, frame)
		}
		if err != nil {
			s.post(func() { s.workerBroken(slot, err) })
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
		request = slot.requestID()
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
