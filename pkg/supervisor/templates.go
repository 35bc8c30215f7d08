package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// startTemplate starts the process that forks workers.
func (s *Supervisor) startTemplate() {
	boot := s.options.Boot
	boot.Generation, boot.Threads = s.generation, s.options.Threads
	t, err := startTemplate(s.options.Perl, s.options.Env, boot, s.slots, func(line, _ string) {
		s.appLog.Info(line, zap.Int("generation", s.generation))
	})
	if err != nil {
		s.workerFailed(time.Now())
		if s.starting {
			s.failStart(err)
		} else {
			s.log.Error("template not started", zap.Int("generation", s.generation), zap.Error(err))
		}
		return
	}
	if s.options.StartTimeout > 0 {
		t.deadline = time.Now().Add(s.options.StartTimeout)
	}
	s.template = t
	go s.readTemplate(t) // ends when the template has ended
}

// readTemplate takes in what a template says until it has ended.
func (s *Supervisor) readTemplate(t *template) {
	buf := make([]byte, psgi.MaxFrame+1)
	for {
		f, err := t.read(buf)
		if err == nil {
			err = s.receiveTemplate(t, f)
		}
		if errors.Is(err, psgi.ErrFrame) {
			s.log.Error("template sent nonsense", zap.Int("generation", t.generation), zap.Error(err))
			t.kill()
		}
		if err != nil {
			break
		}
	}
	status, last := t.wait()
	s.post(func() { s.templateEnded(t, status, last) })
}

func (s *Supervisor) receiveTemplate(t *template, f psgi.Frame) error {
	slot, text := int(f.ID), string(f.Payload)
	switch f.Type {
	case psgi.TypeLoaded:
		s.post(func() { t.loaded, t.deadline = true, time.Time{} })
	case psgi.TypeSpawned:
		pid, err := f.Process()
		if err != nil {
			return err
		}
		s.post(func() { s.workerSpawned(s.workerAt(slot), pid) })
	case psgi.TypeFail:
		s.post(func() { s.templateFailed(t, slot, text) })
	default:
		return fmt.Errorf("%w: type %d", psgi.ErrFrame, f.Type)
	}
	return nil
}

// workerAt is the worker in the slot of that number, or nil.
func (s *Supervisor) workerAt(number int) *worker {
	if number < 0 || number >= len(s.slots) {
		return nil
	}
	return s.workers[s.slots[number]]
}

// workerReady: the app is loaded. A worker that nobody waits for any more, as the
// template that forked it died before it told, is ended.
func (s *Supervisor) workerReady(slot *slot, pid int) {
	w := s.workers[slot]
	if w == nil {
		killChild(pid)
		return
	}
	s.workerSpawned(w, pid)
	s.apply(w, booted)
}

// workerSpawned learns the pid of a worker, which may have ended already.
func (s *Supervisor) workerSpawned(w *worker, pid int) {
	if w == nil || w.pid != 0 {
		return
	}
	w.pid = pid
	w.slot.pid.Store(int64(pid))
	switch w.state {
	case ending:
		s.signal(w, unix.SIGTERM)
	case killed:
		s.signal(w, unix.SIGKILL)
	}
	s.reapChildren()
}

// templateFailed: before it is loaded, the app or a module of it could not be
// loaded; later, it could not fork.
func (s *Supervisor) templateFailed(t *template, slot int, text string) {
	t.failure = text
	if !t.loaded {
		return
	}
	if w := s.workerAt(slot); w != nil {
		s.log.Error("worker not spawned", zap.Int("worker", slot), zap.String("error", text))
		s.apply(w, exited)
		s.failStart(errors.New(text))
	}
}

// templateEnded: its workers live on, and those that it was asked for and has not
// told of are forgotten. reconcile starts another template when one is needed.
func (s *Supervisor) templateEnded(t *template, status string, last []string) {
	if s.template == t {
		s.template = nil
	}
	t.stop()
	for _, w := range s.workers {
		if w.pid == 0 {
			s.apply(w, exited)
		}
	}
	if s.stopping {
		return
	}
	fields := []zap.Field{
		zap.Int("generation", t.generation), zap.String("status", status),
		zap.String("error", t.failure), zap.Strings("last_lines", last),
	}
	if t.loaded {
		s.log.Warn("template exited", fields...)
		return
	}
	level := zap.ErrorLevel
	if s.starting {
		level = zap.DebugLevel // Start returns it
	}
	s.log.Log(level, "template exited", fields...)
	s.workerFailed(t.born)
	switch {
	case t.failure != "":
		s.failStart(loadError(s.options.Boot.App, t.failure))
	case len(last) > 0:
		s.failStart(fmt.Errorf("%s ended before %s was loaded (%s); it last printed:\n%s",
			s.options.Perl, s.options.Boot.App, status, strings.Join(last, "\n")))
	default:
		s.failStart(fmt.Errorf("%s ended before %s was loaded (%s), and printed nothing", s.options.Perl, s.options.Boot.App, status))
	}
}
