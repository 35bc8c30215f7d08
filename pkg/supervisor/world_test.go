package supervisor

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
)

// world is a supervisor in virtual time and without a kernel: all that it decides
// is decided by its own code, and its workers are events to come. Whatever happens
// in it, it checks what has to be true.
type world struct {
	*Supervisor
	t   *testing.T
	rng *rand.Rand

	quiet     bool // nothing happens any more but what the supervisor does itself
	events    []happening
	known     map[*worker]state // for which state the worker's future has been made
	nature    map[int]nature    // of each generation
	candidate *Candidate        // to be committed or dropped
	rolls     []*Roll
	aims      []*generation // that of each roll

	spawnedAt, retiredAt time.Time
}

// happening is something that will come about.
type happening struct {
	at time.Time
	do func()
}

// nature is what the workers of a generation are like.
type nature int

const (
	sound      nature = iota
	stillborn         // they die while they load
	shortLived        // they die soon after
)

// deaf is the wire of a worker that is only an idea.
type deaf struct{}

func (deaf) send([]byte) error      { return nil }
func (deaf) takeBack(bool) []uint32 { return nil }

const mostWanted = 8

func newWorld(t *testing.T, seed uint64, settings Settings) *world {
	w := &world{
		Supervisor: &Supervisor{
			log: zap.NewNop(), dispatcher: newDispatcher(zap.NewNop()), workers: make(map[*slot]*worker),
		},
		t: t, rng: rand.New(rand.NewPCG(seed, 2)), known: make(map[*worker]state), nature: make(map[int]nature),
	}
	w.configure(settings)
	return w
}

// newIdea is a generation without a template: its workers are only ideas.
func (w *world) newIdea() *generation {
	w.lastNumber++
	g := &generation{number: w.lastNumber, plan: Plan{StartTimeout: 2 * time.Second}}
	for i := range w.settings.Workers + spareSlots {
		g.slots = append(g.slots, &slot{number: i, generation: g.number, wire: deaf{}})
	}
	return g
}

// within draws a time up to that long.
func (w *world) within(d time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (w *world) after(d time.Duration, do func()) {
	w.events = append(w.events, happening{time.Now().Add(d), do})
}

// run lets that much time pass.
func (w *world) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		again := w.step()
		next := end
		for _, e := range w.events {
			next = sooner(next, e.at)
		}
		time.Sleep(time.Until(sooner(next, again)))
		due := slices.Clone(w.events)
		w.events = slices.DeleteFunc(w.events, func(e happening) bool { return !e.at.After(time.Now()) })
		for _, e := range due {
			if !e.at.After(time.Now()) {
				e.do()
			}
		}
	}
}

// step is what Supervisor.run does after an event, with a look at each decision.
func (w *world) step() time.Time {
	w.expire()
	var again time.Time
	for actions := 0; !w.stopping; actions++ {
		workers, v := w.view()
		d := decide(v)
		if actions > 2*(mostWanted+spareSlots) {
			w.t.Fatalf("no end of actions: %v in %+v", d, v)
		}
		if again = d.again; d.do == wait {
			break
		}
		w.check(v, d)
		switch d.do {
		case spawnOne:
			w.spawnFor(w.target)
		case spawnTrial:
			w.spawnFor(w.trial.generation)
		case retireOne:
			w.retireWorker(workers[d.member])
		case wait:
		}
	}
	before := w.roll
	w.watchRoll()
	if before != nil {
		w.checkRoll(before)
	}
	w.foresee()
	w.attendCandidate()
	if !again.IsZero() && !again.After(time.Now()) {
		w.t.Fatalf("told to ask again at once, with nothing to do: %v", again)
	}
	return sooner(again, w.nextExpiry())
}

func (w *world) spawnFor(g *generation) {
	i := slices.IndexFunc(g.slots, func(s *slot) bool { return w.workers[s] == nil })
	w.enter(g.slots[i], g)
}

// check holds a decision against what was promised, counted in its own way.
func (w *world) check(v view, d decision) {
	serving, alive := 0, 0
	for _, m := range v.members {
		if m.state == ready && m.generation != v.candidate {
			serving++
		}
		if m.told.IsZero() || m.state == gone || v.now.Sub(m.told) < linger {
			alive++
		}
	}
	switch {
	case d.do == retireOne && v.members[d.member].state == booting:
	case d.do == retireOne:
		if serving <= v.wanted && !v.swift {
			w.t.Errorf("a worker is retired although only %d of %d serve: %+v", serving, v.wanted, v)
		}
		if !v.swift && v.now.Sub(w.retiredAt) < v.interval {
			w.t.Errorf("two retirements within %v", v.now.Sub(w.retiredAt))
		}
		w.retiredAt = v.now
	default:
		if alive > v.wanted && (!v.swift || d.do == spawnTrial) {
			w.t.Errorf("%s although %d are alive and %d wanted: %+v", d.do, alive, v.wanted, v)
		}
		if v.now.Sub(w.spawnedAt) < v.interval {
			w.t.Errorf("two spawns within %v", v.now.Sub(w.spawnedAt))
		}
		w.spawnedAt = v.now
	}
}

// checkRoll: a roll has succeeded as soon as all workers have been replaced. One that
// has gone at a limit since has replaced one, too.
func (w *world) checkRoll(r *Roll) {
	serving, others := 0, 0
	for _, m := range w.workers {
		switch {
		case m.state != ready && m.state != booting, w.trial != nil && m.generation == w.trial.generation:
		case m.generation.number != r.Generation:
			others++
		case m.state == ready:
			serving++
		}
	}
	done := others == 0 && serving+r.passed >= w.wantedWorkers()
	if r.err == nil && (r.ended != done || done && w.stable.number != r.Generation) {
		w.t.Errorf("the roll to generation %d has ended: %t (%v), with %d of %d workers, and %d others; stable is %d",
			r.Generation, r.ended, r.err, serving, w.wantedWorkers(), others, number(w.stable))
	}
}

// number is that of a generation, 0 for none.
func number(g *generation) int {
	if g == nil {
		return 0
	}
	return g.number
}

// foresee makes the future of workers that have changed.
func (w *world) foresee() {
	for _, m := range w.workers {
		if before, ok := w.known[m]; ok && before == m.state {
			continue
		}
		w.known[m] = m.state
		nature := w.nature[m.generation.number]
		switch m.state {
		case booting:
			if w.after(w.within(time.Second), func() { w.booted(m, nature) }); w.chance(3) && !w.quiet {
				w.after(w.within(time.Second), func() { w.die(m) })
			}
		case ready:
			switch {
			case nature == shortLived:
				w.after(100*time.Millisecond+w.within(400*time.Millisecond), func() { w.die(m) })
			case w.chance(3):
				w.after(w.within(5*time.Second), func() { w.unlessQuiet(func() { w.die(m) }) })
			case w.chance(10):
				w.after(w.within(5*time.Second), func() { w.unlessQuiet(func() { w.serveLast(m) }) })
			}
		case retiring:
			longest := 50 * time.Millisecond
			if w.chance(10) {
				longest = 10 * time.Second
			}
			w.after(w.within(longest), func() { w.die(m) })
		case ending, killed:
			if w.chance(95) || m.state == killed {
				w.after(w.within(50*time.Millisecond), func() { w.die(m) })
			}
		case gone:
		}
	}
}

func (w *world) unlessQuiet(f func()) {
	if !w.quiet {
		f()
	}
}

func (w *world) booted(m *worker, nature nature) {
	switch {
	case m.state != booting:
	case nature == stillborn:
		w.die(m)
	default:
		w.apply(m, booted)
	}
}

// serveLast brings a worker near the limit of its requests, and later to it.
func (w *world) serveLast(m *worker) {
	m.due = dueRequests
	w.after(w.within(20*time.Second), func() {
		if m.state == ready {
			m.spent, m.cause = true, causeRecycled
			w.apply(m, retire)
		}
	})
}

// die ends a worker; a moment later its slot has been read to the end.
func (w *world) die(m *worker) {
	if m.state == gone {
		return
	}
	m.booting = m.state == booting
	m.state, _ = next(m.state, exited)
	w.after(w.within(time.Millisecond), func() {
		w.dispatcher.lost(m.slot)
		w.settle(m, nil)
		w.forget(m)
		delete(w.known, m)
	})
}
