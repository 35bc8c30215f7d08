package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// The causes of a worker's end, as they stand in logs.
const (
	causeRetired      = "retired"
	causeRecycled     = "recycled"
	causeHarakiri     = "harakiri"
	causeOverran      = "overran"
	causeCrashed      = "crashed"
	causeFailedToBoot = "failed to boot"
)

// termGrace is how long a worker may take to end after TERM.
const termGrace = 5 * time.Second

// tellAgain is how often a failure that repeats itself is logged in full.
const tellAgain = time.Minute

// worker is one Perl process that runs the app. It belongs to the supervisor's
// own goroutine.
type worker struct {
	slot       *slot
	generation *generation
	template   *template // which forked it; it may have ended
	pid        int       // 0 until the template has told
	state      state
	born       time.Time
	told       time.Time // when it was told to end; zero: it was not
	deadline   time.Time // when the state becomes overdue; zero: never
	due        string    // the limit that it is about to reach, or has reached; "": none
	spent      bool      // it has reached it
	cause      string    // why it ends, once that is known
	message    string    // what Perl said when it could not load the app
	status     unix.WaitStatus
	reaped     bool
	dead       chan struct{} // closed when it has ended
	booting    bool          // it ended before it was ready
}

// apply moves a worker on and does what the table of its life asks for.
func (s *Supervisor) apply(w *worker, e event) {
	before := w.state
	state, effect := next(w.state, e)
	if w.state = state; state != before {
		w.deadline = time.Time{}
		if state != ready && state != gone && w.told.IsZero() {
			w.told = time.Now()
		}
	}
	switch effect {
	case nothing:
	case admit:
		s.booted(w)
	case quit:
		if w.cause == "" {
			w.cause = causeRetired
		}
		s.passed(w)
		s.dispatcher.withdraw(w.slot)
		w.slot.quit()
		w.deadline = time.Now().Add(s.settings.RetireTimeout)
	case withdraw:
		w.cause = causeHarakiri
		s.passed(w)
		s.dispatcher.withdraw(w.slot)
		w.deadline = time.Now().Add(max(s.settings.RetireTimeout, termGrace)) // its END blocks may hang
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

// passed notes that a worker has served its time. It took the place of an old one all
// the same: under load, with a low limit, they may never be all ready at one time.
func (s *Supervisor) passed(w *worker) {
	if s.roll != nil && w.generation == s.target && (w.cause == causeRecycled || w.cause == causeHarakiri) {
		s.roll.passed++
	}
}

// booted: the worker is ready. That of a candidate takes no requests yet.
func (s *Supervisor) booted(w *worker) {
	s.log.Info("worker ready", zap.Int("worker", w.slot.number), zap.Int("generation", w.generation.number),
		zap.Int("pid", w.pid), zap.Duration("boot_time", time.Since(w.born)))
	if w.generation == s.candidate() {
		s.trialReady()
		return
	}
	s.admit(w)
}

// admit puts a worker that is ready to use.
func (s *Supervisor) admit(w *worker) {
	s.dispatcher.admit(w.slot, w.dead, s.settings.drawLimit())
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
		s.settle(w, nil)
		s.forget(w)
		return
	}
	close(w.dead)
	if err := w.slot.socket.wake(); err != nil {
		s.log.Error("slot lost", zap.Int("worker", w.slot.number), zap.Error(err))
	}
}

// settle decides why a worker ended, and accounts for a failure. last is what it
// last printed.
func (s *Supervisor) settle(w *worker, last []string) {
	if w.cause == "" {
		if w.cause = causeCrashed; w.booting {
			w.cause = causeFailedToBoot
		}
	}
	if w.cause == causeCrashed || w.cause == causeFailedToBoot {
		err := w.deathError(last)
		s.failed(w.generation, w.born, err.Error())
		if w.booting {
			w.generation.unloadable = later(w.generation.unloadable, w.born)
		}
		s.failTrial(w.generation, err)
		return
	}
	w.endRow(time.Now())
}

// drained is called when the reader of a slot has taken in everything that its
// dead worker left.
func (s *Supervisor) drained(w *worker, last, lost []string) {
	returned := w.generation == s.candidate() && !s.trial.ended // by Prepare
	s.settle(w, last)
	fields := []zap.Field{
		zap.Int("worker", w.slot.number), zap.Int("generation", w.generation.number), zap.Int("pid", w.pid),
		zap.String("cause", w.cause), zap.String("status", describe(w.status)),
		zap.Duration("age", time.Since(w.born)),
	}
	if w.cause == causeRecycled {
		fields = append(fields, zap.String("limit", w.due))
	}
	if len(lost) > 0 {
		fields = append(fields, zap.Strings("requests_lost", lost))
	}
	level := zap.InfoLevel
	switch {
	case returned && (w.cause == causeFailedToBoot || w.cause == causeCrashed):
		level = zap.DebugLevel
	case w.cause == causeFailedToBoot:
		level = zap.ErrorLevel
	case w.cause == causeCrashed, w.cause == causeOverran:
		level = zap.WarnLevel
	}
	if w.cause == causeCrashed || w.cause == causeFailedToBoot {
		level = min(level, s.loudness(w.generation))
		fields = append(fields, zap.Int("failures", w.generation.failures), zap.Strings("last_lines", last))
	}
	if len(lost) > 0 {
		level = max(level, zap.WarnLevel) // that is always told
	}
	if w.message != "" {
		fields = append(fields, zap.String("error", w.message))
	}
	s.log.Log(level, "worker exited", fields...)
	s.forget(w)
}

// loudness is the level at which a failure may be logged: one that repeats itself
// is told once, and then in intervals.
func (s *Supervisor) loudness(g *generation) (most zapcore.Level) {
	if g.failures < tooManyFailures || time.Since(g.told) >= tellAgain {
		if g.failures >= tooManyFailures {
			g.told = time.Now()
			s.log.Error("workers keep failing", zap.Int("generation", g.number), zap.Int("failures", g.failures),
				zap.Duration("next_attempt_in", time.Until(g.notBefore)), zap.String("error", g.reason))
		}
		return zap.ErrorLevel
	}
	return zap.DebugLevel
}

// forget gives the slot back.
func (s *Supervisor) forget(w *worker) {
	w.slot.pid.Store(0)
	delete(s.workers, w.slot)
}

// deathError says why a worker died, in Perl's words if there are any.
func (w *worker) deathError(last []string) error {
	app := w.generation.plan.Boot.App
	when := fmt.Sprintf("%s after it was born", time.Since(w.born).Round(time.Millisecond))
	if w.booting {
		when = "while it was loading"
	}
	switch {
	case w.message != "":
		return w.generation.loadError(w.message, last)
	case w.pid == 0:
		return fmt.Errorf("%s: no worker could be forked", app)
	case len(last) > 0:
		return fmt.Errorf("%s: its process %s %s; it last printed:\n%s", app, describe(w.status), when, strings.Join(last, "\n"))
	}
	return fmt.Errorf("%s: its process %s %s, and printed nothing", app, describe(w.status), when)
}

// loadError names the app where Perl's message does not, and adds what an app printed
// that took too long: it may tell what it waits for.
func (g *generation) loadError(message string, last []string) error {
	app := g.plan.Boot.App
	if message == g.loadTimeout() && len(last) > 0 {
		return fmt.Errorf("%s; it last printed:\n%s", message, strings.Join(last, "\n"))
	}
	if strings.Contains(message, app) || app == "" {
		return errors.New(message)
	}
	return fmt.Errorf("cannot load %s: %s", app, message)
}
