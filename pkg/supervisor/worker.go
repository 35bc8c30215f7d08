package supervisor

import (
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// The causes of a worker's end, as they stand in logs.
const (
	causeRetired      = "retired"
	causeHarakiri     = "harakiri"
	causeCrashed      = "crashed"
	causeFailedToBoot = "failed to boot"
)

// termGrace is how long a worker may take to end after TERM.
const termGrace = 5 * time.Second

// worker is one Perl process that runs the app. It belongs to the supervisor's
// own goroutine.
type worker struct {
	slot     *slot
	pid      int // 0 until the template has told
	state    state
	born     time.Time
	deadline time.Time // when the state becomes overdue; zero: never
	cause    string    // why it ends, once that is known
	message  string    // what Perl said when it could not load the app
	status   unix.WaitStatus
	reaped   bool
	dead     chan struct{} // closed when it has ended
	booting  bool          // it ended before it was ready
}

// apply moves a worker on and does what the table of its life asks for.
func (s *Supervisor) apply(w *worker, e event) {
	before := w.state
	state, effect := next(w.state, e)
	if w.state = state; state != before {
		w.deadline = time.Time{}
	}
	switch effect {
	case nothing:
	case admit:
		s.dispatcher.admit(w.slot, w.dead)
		s.log.Info("worker ready", zap.Int("worker", w.slot.number), zap.Int("generation", w.slot.generation),
			zap.Int("pid", w.pid), zap.Duration("boot_time", time.Since(w.born)))
		s.workerBooted()
	case quit:
		w.cause = causeRetired
		s.dispatcher.withdraw(w.slot)
		w.slot.quit()
	case withdraw:
		w.cause = causeHarakiri
		s.dispatcher.withdraw(w.slot)
	case term:
		if w.cause == "" {
			w.cause = causeRetired
		}
		s.signal(w, unix.SIGTERM)
		w.deadline = time.Now().Add(termGrace)
	case kill:
		if w.cause == "" && before == booting {
			w.cause = causeFailedToBoot
		}
		s.signal(w, unix.SIGKILL)
		if w.pid == 0 {
			w.deadline = time.Now().Add(termGrace) // for the template to say whom it forked
		}
	case bury:
		s.bury(w, before)
	}
}

// signal reaches the worker or nobody: its pid is its own until it is reaped. One
// that has no pid yet is signalled when it gets one.
func (s *Supervisor) signal(w *worker, sig unix.Signal) {
	if w.pid != 0 && !w.reaped {
		_ = unix.Kill(w.pid, sig)
	}
}

// bury begins a worker's burial: its slot's reader is woken, to take in what the
// worker has left. Only then is it known why it ended.
func (s *Supervisor) bury(w *worker, before state) {
	w.booting = before == booting
	if w.pid == 0 {
		s.settle(w)
		s.free(w)
		return
	}
	close(w.dead)
	if err := w.slot.socket.wake(); err != nil {
		s.log.Error("slot lost", zap.Int("worker", w.slot.number), zap.Error(err))
	}
}

// settle decides why a worker ended, and accounts for a failure.
func (s *Supervisor) settle(w *worker) {
	if w.cause == "" {
		if w.cause = causeCrashed; w.booting {
			w.cause = causeFailedToBoot
		}
	}
	if w.cause == causeCrashed || w.cause == causeFailedToBoot {
		s.workerFailed(w.born)
	}
}

// drained is called when the reader of a slot has taken in everything that its
// dead worker left.
func (s *Supervisor) drained(w *worker, last, lost []string) {
	s.settle(w)
	fields := []zap.Field{
		zap.Int("worker", w.slot.number), zap.Int("generation", w.slot.generation), zap.Int("pid", w.pid),
		zap.String("cause", w.cause), zap.String("status", describe(w.status)),
		zap.Duration("age", time.Since(w.born)),
	}
	if len(lost) > 0 {
		fields = append(fields, zap.Strings("requests_lost", lost))
	}
	if w.message != "" {
		fields = append(fields, zap.String("error", w.message))
	}
	level := zap.InfoLevel
	switch {
	case w.cause == causeFailedToBoot && s.starting:
		level = zap.DebugLevel // Start returns it
	case w.cause == causeFailedToBoot:
		level = zap.ErrorLevel
	case w.cause == causeCrashed:
		level = zap.WarnLevel
	}
	if level != zap.InfoLevel {
		fields = append(fields, zap.Strings("last_lines", last))
	}
	s.log.Log(level, "worker exited", fields...)
	if w.cause == causeFailedToBoot {
		s.failStart(bootError(s.options.Boot.App, w, last))
	}
	s.free(w)
}

// free gives the slot back.
func (s *Supervisor) free(w *worker) {
	w.slot.pid.Store(0)
	delete(s.workers, w.slot)
}
