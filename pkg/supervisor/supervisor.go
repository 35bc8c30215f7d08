package supervisor

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// Supervisor keeps enough healthy workers alive, hands requests to them, and
// ends them well. Make one with New; it runs no app before a candidate of Prepare
// has been committed, and has to be stopped in any case.
type Supervisor struct {
	log         *zap.Logger
	appLog      *zap.Logger
	reapOrphans bool
	dispatcher  *dispatcher

	messages  chan func()   // from readers and callers, to be run by run
	preparing chan struct{} // capacity one: held by who has a candidate
	done      chan struct{} // closed when run has ended

	// Below this line everything belongs to the goroutine of run.

	settings    Settings
	generations []*generation // the oldest first
	lastNumber  int
	target      *generation // nil before the first commit
	stable      *generation // the last one that was rolled out whole; nil before
	trial       *Candidate  // nil while nothing is prepared
	roll        *Roll       // nil while no roll is under way
	workers     map[*slot]*worker
	spawned     time.Time // the last spawn
	retired     time.Time // the last retirement
	stopping    bool
	adjustment  int // by Adjust, until the next commit
	scale       scale
	housekeeper housekeeper
}

// New makes a supervisor. It fails only where the kernel refuses to let this
// process adopt its workers.
func New(o Options) (*Supervisor, error) {
	if err := adoptOrphans(); err != nil {
		return nil, err
	}
	s := &Supervisor{
		log:         orNop(o.Log),
		appLog:      orNop(o.AppLog),
		reapOrphans: o.ReapOrphans,
		messages:    make(chan func()),
		preparing:   make(chan struct{}, 1),
		done:        make(chan struct{}),
		workers:     make(map[*slot]*worker),
	}
	s.dispatcher = newDispatcher(s.log)
	s.dispatcher.crowd.processors = runtime.GOMAXPROCS(0) // as many as the quota of a container, too, lets run
	s.dispatcher.deaf = func(slot *slot) {
		go s.post(func() { s.workerBroken(slot, errQueueFull) }) // who is deaf may be found out by run itself
	}
	s.configure(o.Settings)
	go s.run() // ends after Stop
	return s, nil
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

// Configure changes the settings, at once and for all workers. Workers beyond Room
// have to wait for the next generation.
func (s *Supervisor) Configure(settings Settings) {
	s.post(func() { s.configure(settings) })
}

func (s *Supervisor) configure(settings Settings) {
	settings.Workers = max(settings.Workers, 1)
	if settings.Housekeeping <= 0 {
		settings.Housekeeping = 100 * time.Millisecond
	}
	if settings.Workers != s.settings.Workers {
		s.adjustment = 0
	}
	s.settings = settings
	s.housekeeper.next = time.Time{} // look at once: there may be new limits
	s.scale.reset(settings)
	s.dispatcher.configure(&s.settings)
	for _, w := range s.workers {
		if w.state != ready {
			continue
		}
		if w.due == dueRequests {
			w.due, w.spent = "", false
		}
		if s.dispatcher.limit(w.slot, s.settings.drawLimit()) {
			w.due, w.spent = dueRequests, true // replaced one by one, as for its age
		}
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

func (s *Supervisor) stop() {
	if s.stopping {
		return
	}
	s.stopping = true
	s.dispatcher.stop()
	if c := s.trial; c != nil {
		s.failTrial(c.generation, psgi.ErrStopping)
		s.trial = nil
	}
	if s.roll != nil {
		s.roll.end(psgi.ErrStopping)
		s.roll = nil
	}
	for _, w := range s.workers {
		s.apply(w, retire)
		if w.state == retiring {
			w.deadline = time.Time{} // who called Stop says how long it may take
		}
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
		case <-s.dispatcher.attention:
			s.attend()
		case <-timer.C:
		}
		s.expire()
		if again := s.reconcile(); !again.IsZero() {
			timer.Reset(time.Until(again))
		}
	}
}

// finished reports whether all that was started has ended.
func (s *Supervisor) finished() bool {
	return s.stopping && len(s.workers) == 0 && len(s.generations) == 0
}

// reapChildren takes in which workers have ended. As long as the pid of a worker
// is not known, no stranger is reaped: it might be that worker.
func (s *Supervisor) reapChildren() {
	strangers := s.reapOrphans
	pids := make(map[int]bool, len(s.workers)+len(s.generations))
	for _, g := range s.generations {
		if g.template != nil {
			pids[g.template.cmd.Process.Pid] = true
		}
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
