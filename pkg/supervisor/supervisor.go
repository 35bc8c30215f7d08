package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// Supervisor keeps enough healthy workers alive, hands requests to them, and
// ends them well. Make one with New; it starts nothing before Start.
type Supervisor struct {
	options    Options
	log        *zap.Logger
	appLog     *zap.Logger
	dispatcher *dispatcher

	messages chan func()   // from readers and callers, to be run by run
	started  chan error    // capacity one: the outcome of Start
	done     chan struct{} // closed when run has ended

	// Below this line everything belongs to the goroutine of run.

	generation  int
	slots       []*slot
	template    *template // nil while none runs
	workers     map[*slot]*worker
	up          bool // one worker has been ready: Start has succeeded
	starting    bool // Start waits for its outcome
	stopping    bool
	failures    int
	lastFailure time.Time
	notBefore   time.Time
}

// New prepares a supervisor. It does no I/O.
func New(o Options) *Supervisor {
	o.Workers = max(o.Workers, 1)
	if o.Trial {
		o.Workers = 1
	}
	if o.Perl == "" {
		o.Perl = "perl"
	}
	if o.Env == nil {
		o.Env = []string{}
	}
	s := &Supervisor{
		options:    o,
		log:        orNop(o.Log),
		appLog:     orNop(o.AppLog),
		messages:   make(chan func()),
		started:    make(chan error, 1),
		done:       make(chan struct{}),
		generation: 1,
		workers:    make(map[*slot]*worker),
	}
	s.dispatcher = newDispatcher(o.MaxQueue, o.QueueTimeout, s.log)
	return s
}

func orNop(l *zap.Logger) *zap.Logger {
	if l == nil {
		return zap.NewNop()
	}
	return l
}

// Call implements psgi.App.
func (s *Supervisor) Call(ctx context.Context, r *psgi.Request) (*psgi.Response, error) {
	return s.dispatcher.Call(ctx, r)
}

// Start makes the first generation and blocks until one worker is ready; the
// others follow. When it returns an error nothing is left running, and the error
// carries Perl's own message. It may be called once.
func (s *Supervisor) Start(ctx context.Context) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	for i := range s.options.Workers + spareSlots {
		slot, err := newSlot(i, s.generation, s.options.Threads, s.logLine)
		if err != nil {
			s.closeSlots()
			return err
		}
		s.slots = append(s.slots, slot)
	}
	for _, slot := range s.slots {
		go slot.logs.run()     // ends when run closes the slot
		go s.readWorkers(slot) // likewise
	}
	s.starting = true
	go s.run() // ends after Stop, or when the start has failed

	select {
	case err := <-s.started:
		if err != nil {
			<-s.done
		}
		return err
	case <-ctx.Done():
		s.forceStop()
		return context.Cause(ctx)
	}
}

// Stop retires all workers, waits until they have finished what they run, and
// returns when every process is gone. When ctx is done first they are sent TERM,
// and five seconds later KILL; the error then is ctx's.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.post(s.stop)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.forceStop()
		return context.Cause(ctx)
	}
}

// Kill ends every worker at once, whatever it is running, and returns when every
// process is gone.
func (s *Supervisor) Kill() {
	s.post(s.force) // TERM for those that run something
	s.forceStop()   // KILL for all
}

func (s *Supervisor) forceStop() {
	s.post(s.force)
	<-s.done
}

func (s *Supervisor) force() {
	s.stop()
	for _, w := range s.workers {
		s.apply(w, force)
	}
}

// post has f run in the supervisor's goroutine, unless that has ended.
func (s *Supervisor) post(f func()) {
	select {
	case s.messages <- f:
	case <-s.done:
	}
}

// run owns the state of the supervisor. Whatever happens, it then looks at the
// whole and decides what to do next.
func (s *Supervisor) run() {
	defer close(s.done)
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)

	timer := time.NewTimer(0)
	defer timer.Stop()
	for !s.finished() {
		select {
		case f := <-s.messages:
			f()
		case <-children:
			s.reapChildren()
		case <-timer.C:
		}
		s.expire()
		if again := s.reconcile(); !again.IsZero() {
			timer.Reset(time.Until(again))
		}
	}
	s.closeSlots()
}

// finished reports whether all that was started has ended.
func (s *Supervisor) finished() bool {
	return s.stopping && len(s.workers) == 0 && s.template == nil
}

// expire tells the workers that have used up the time for their state.
func (s *Supervisor) expire() {
	now := time.Now()
	if t := s.template; t != nil && !t.deadline.IsZero() && !now.Before(t.deadline) {
		t.deadline = time.Time{}
		if !t.stopped {
			t.failure = s.loadTimeout()
		}
		t.kill()
	}
	for _, w := range s.workers {
		if w.deadline.IsZero() || now.Before(w.deadline) {
			continue
		}
		w.deadline = time.Time{}
		switch {
		case w.state == booting:
			w.message = s.loadTimeout()
		case w.pid == 0 && s.template != nil:
			s.template.kill() // it heeds nothing: with its end the wait for it ends
		}
		s.apply(w, overdue)
	}
}

func (s *Supervisor) loadTimeout() string {
	app := s.options.Boot.App
	if app == "" {
		app = "the code of -e"
	}
	return fmt.Sprintf("%s did not finish loading within %s (start_timeout)", app, s.options.StartTimeout)
}

// reconcile brings what is there closer to what should be, and returns when to
// look again although nothing has happened.
func (s *Supervisor) reconcile() time.Time {
	var again time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (again.IsZero() || t.Before(again)) {
			again = t
		}
	}
	for !s.stopping {
		spawn, later := decide(s.view())
		sooner(later)
		if !spawn || !s.spawn() {
			break
		}
	}
	if s.stopping && len(s.workers) == 0 && s.template != nil {
		s.template.stop()
	}
	if s.template != nil {
		sooner(s.template.deadline)
	}
	for _, w := range s.workers {
		sooner(w.deadline)
	}
	return again
}

func (s *Supervisor) view() view {
	v := view{now: time.Now(), wanted: s.options.Workers, free: len(s.slots) - len(s.workers), notBefore: s.notBefore}
	if !s.up {
		// Until it is known that the app loads there is one worker, also while
		// it is dying.
		v.wanted, v.alive = 1, len(s.workers)
		return v
	}
	for _, w := range s.workers {
		if w.state == booting || w.state == ready || w.state == gone {
			v.alive++ // one that is gone counts until it is known why
		}
	}
	return v
}

// spawn starts a worker, or first the template that can; false: not yet.
func (s *Supervisor) spawn() bool {
	if s.template == nil {
		s.startTemplate()
		return false
	}
	if !s.template.loaded {
		return false
	}
	for _, slot := range s.slots {
		if s.workers[slot] != nil {
			continue
		}
		w := &worker{slot: slot, born: time.Now(), dead: make(chan struct{})}
		if s.options.StartTimeout > 0 {
			w.deadline = w.born.Add(s.options.StartTimeout)
		}
		if err := s.template.spawn(slot.number); err != nil {
			return false // it has ended: its reader says so
		}
		s.workers[slot] = w
		return true
	}
	return false
}

// reapChildren takes in which workers have ended. As long as the pid of a worker
// is not known, no stranger is reaped: it might be that worker.
func (s *Supervisor) reapChildren() {
	strangers := s.options.ReapOrphans
	pids := make(map[int]bool, len(s.workers)+1)
	if s.template != nil {
		pids[s.template.cmd.Process.Pid] = true
	}
	for _, w := range s.workers {
		if w.pid == 0 {
			strangers = false
			continue
		}
		pids[w.pid] = true
		s.reapWorker(w)
	}
	if strangers {
		reapStrangers(func(pid int) bool { return pids[pid] })
	}
}

func (s *Supervisor) reapWorker(w *worker) {
	if w.reaped {
		return
	}
	if status, ended := reap(w.pid); ended {
		w.status, w.reaped = status, true
		s.apply(w, exited)
	}
}

// workerBooted completes the start.
func (s *Supervisor) workerBooted() {
	s.up = true
	if s.starting {
		s.starting = false
		s.started <- nil
	}
}

// workerFailed delays the next spawn, the longer the more failures there were in a row.
func (s *Supervisor) workerFailed(born time.Time) {
	now := time.Now()
	s.failures = failuresAfter(s.failures, s.lastFailure, born, now)
	s.lastFailure = now
	delay := max(backoff(s.failures, s.options.ErrRespawnInterval, rand.Float64()), s.options.ErrRespawnInterval)
	s.notBefore = now.Add(delay)
}

// failStart ends a start that has not succeeded, and all that it began.
func (s *Supervisor) failStart(err error) {
	if !s.starting {
		return
	}
	s.starting = false
	s.started <- err
	s.stop()
}

func (s *Supervisor) stop() {
	if s.stopping {
		return
	}
	s.stopping = true
	s.dispatcher.stop()
	for _, w := range s.workers {
		s.apply(w, retire)
	}
}

func (s *Supervisor) closeSlots() {
	for _, slot := range s.slots {
		slot.close()
	}
}

// bootError says why the app could not be loaded, in Perl's words if there are any.
func bootError(app string, w *worker, last []string) error {
	switch {
	case w.message != "":
		return loadError(app, w.message)
	case len(last) > 0:
		return fmt.Errorf("%s: its process %s while it was loading; it last printed:\n%s",
			app, describe(w.status), strings.Join(last, "\n"))
	}
	return fmt.Errorf("%s: its process %s while it was loading, and printed nothing", app, describe(w.status))
}

// loadError names the app where Perl's message does not.
func loadError(app, message string) error {
	if strings.Contains(message, app) || app == "" {
		return errors.New(message)
	}
	return fmt.Errorf("cannot load %s: %s", app, message)
}
