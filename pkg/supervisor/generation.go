package supervisor

import (
	"math/rand/v2"
	"time"
)

// tooManyFailures is after how many failures in a row a generation is given up for
// the one before it, or, if there is none, the app is called broken.
const tooManyFailures = 3

// generation is one reading of the configuration and of the app's code: a plan, a
// template that runs it, and slots for its workers. It belongs to the supervisor's
// own goroutine.
type generation struct {
	number   int
	plan     Plan
	born     time.Time
	slots    []*slot
	template *template // nil while none runs

	failures    int // in a row
	lastFailure time.Time
	notBefore   time.Time // no spawn earlier
	reason      string    // of the last failure, in Perl's words if there are any
	unloadable  time.Time // birth of the last process that could not load the app; zero: all could
	told        time.Time // when failures were last logged in full
}

// newGeneration makes the slots of a generation, and starts their readers.
func (s *Supervisor) newGeneration(plan Plan) (*generation, error) {
	s.lastNumber++
	g := &generation{number: s.lastNumber, plan: plan, born: time.Now()}
	for i := range plan.Workers + spareSlots {
		slot, err := newSlot(i, g.number, plan.Boot.Threads, s.logLine)
		if err != nil {
			g.close()
			return nil, err
		}
		g.slots = append(g.slots, slot)
	}
	for _, slot := range g.slots {
		go slot.logs.run()     // ends when the slot is closed
		go s.readWorkers(slot) // likewise
	}
	s.generations = append(s.generations, g)
	return g, nil
}

// close releases the slots, whose readers then end.
func (g *generation) close() {
	for _, slot := range g.slots {
		slot.close()
	}
}

// free counts the slots of a generation that have no worker.
func (s *Supervisor) free(g *generation) int {
	if g == nil {
		return 0
	}
	free := len(g.slots)
	for _, slot := range g.slots {
		if s.workers[slot] != nil {
			free--
		}
	}
	return free
}

// failed counts a failure and delays the next spawn, the longer the more there
// were in a row.
func (s *Supervisor) failed(g *generation, born time.Time, reason string) {
	now, least := time.Now(), s.settings.ErrRespawnInterval
	for _, w := range s.workers {
		if w.generation == g && w.state != gone {
			w.endRow(now)
		}
	}
	g.failures = failuresAfter(g.failures, g.lastFailure, born, now)
	g.lastFailure, g.reason = now, reason
	g.notBefore = now.Add(max(backoff(g.failures, least, rand.Float64()), least))
}

// endRow forgets the failures before a worker that came after the last of them and
// has lived on.
func (w *worker) endRow(now time.Time) {
	if w.born.After(w.generation.lastFailure) && now.Sub(w.born) >= matureAge {
		w.generation.failures = 0
	}
}

// wanted reports whether workers of a generation may still be spawned.
func (s *Supervisor) wanted(g *generation) bool {
	return !s.stopping && (g == s.target || g == s.stable || g == s.candidate())
}

// dismiss ends generations that have no worker left and get none any more: first
// the template, and when that is gone, the slots.
func (s *Supervisor) dismiss() {
	kept := s.generations[:0]
	for _, g := range s.generations {
		switch {
		case s.wanted(g) || len(g.slots) > s.free(g):
		case g.template != nil:
			g.template.stop()
		default:
			g.close()
			continue
		}
		kept = append(kept, g)
	}
	clear(s.generations[len(kept):])
	s.generations = kept
}
