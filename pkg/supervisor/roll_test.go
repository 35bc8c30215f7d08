package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhateverHappensTheRollConverges simulates a minute of reloads, crashes and
// changes of mind in virtual time, and then peace. See world.check for what has to
// be true all the while; in peace all workers become those of one generation.
func TestWhateverHappensTheRollConverges(t *testing.T) {
	for seed := range uint64(120) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { live(t, seed) })
		})
	}
}

func live(t *testing.T, seed uint64) {
	settings := Settings{
		Workers:       1 + int(seed%mostWanted),
		SpawnInterval: []time.Duration{0, 100 * time.Millisecond, time.Second}[seed%3],
		Probation:     []time.Duration{0, 200 * time.Millisecond, 3 * time.Second}[seed/3%3],
		RetireTimeout: 5 * time.Second,
	}
	if seed%5 == 0 {
		settings.MaxLifetime = 10 * time.Second
	}
	w := newWorld(t, seed, settings)
	w.reload()
	for range 20 {
		w.run(w.within(6 * time.Second))
		switch n := w.rng.IntN(10); {
		case n < 5:
			w.reload()
		case n < 7:
			s := w.settings
			s.Workers = 1 + w.rng.IntN(mostWanted)
			w.configure(s)
		case n < 8:
			w.settings.SpawnInterval = []time.Duration{0, 100 * time.Millisecond, time.Second}[w.rng.IntN(3)]
		case n < 9:
			for _, m := range w.workers { // all of one generation die at once
				if m.generation == w.target {
					w.die(m)
				}
			}
		}
	}

	w.quiet = true
	w.settings.MaxLifetime = 0
	for g := range w.nature {
		w.nature[g] = sound
	}
	w.run(3 * time.Minute)
	w.checkPeace()
}

// reload begins a candidate, if there is none.
func (w *world) reload() {
	if w.candidate != nil {
		return
	}
	g := w.newIdea()
	g.plan.Swift = w.chance(10)
	switch {
	case w.chance(10):
		w.nature[g.number] = stillborn
	case w.chance(30):
		w.nature[g.number] = shortLived
	}
	w.candidate = &Candidate{supervisor: w.Supervisor, generation: g, outcome: make(chan error, 1)}
	w.trial = w.candidate
}

// attendCandidate does what the caller of Prepare does when it returns.
func (w *world) attendCandidate() {
	c := w.candidate
	if c == nil {
		return
	}
	select {
	case err := <-c.outcome:
		if err != nil {
			w.candidate = nil
			if w.trial == c {
				w.t.Errorf("candidate %d has failed and is still there", c.Generation())
			}
			return
		}
		w.after(w.within(time.Second), func() { w.commitOrDrop(c) })
	default:
	}
}

func (w *world) commitOrDrop(c *Candidate) {
	w.candidate = nil
	if w.chance(20) {
		w.dropTrial(c)
		return
	}
	roll := newRoll(c.Generation())
	w.commit(c, roll)
	w.rolls, w.aims = append(w.rolls, roll), append(w.aims, c.generation)
}

// checkPeace: there is nothing left to do.
func (w *world) checkPeace() {
	if w.target == nil {
		if len(w.workers) > 0 || len(w.rolls) > 0 {
			w.t.Errorf("no target, %d workers, %d rolls", len(w.workers), len(w.rolls))
		}
		return
	}
	if w.target != w.stable || w.roll != nil || w.trial != nil {
		w.t.Errorf("the target is %d, stable is %d, roll %v, candidate %v", number(w.target), number(w.stable), w.roll, w.trial)
	}
	for _, m := range w.workers {
		if m.state != ready || m.generation != w.target || m.spent {
			w.t.Errorf("a worker of generation %d, where %d is the target, is %s, spent: %t",
				m.generation.number, w.target.number, m.state, m.spent)
		}
	}
	if n := len(w.workers); n != w.wantedWorkers() {
		w.t.Errorf("%d workers, want %d", n, w.wantedWorkers())
	}
	w.checkOutcomes()
}

// checkOutcomes holds what the rolls have told against what has become of them: the
// last one that did not fail is the stable one. The first generation counts as stable
// when it is superseded: it has had a worker, and there is no other.
func (w *world) checkOutcomes() {
	var stable *generation
	for i, r := range w.rolls {
		var superseded *SupersededError
		var back *RolledBackError
		switch {
		case !r.ended:
			w.t.Errorf("the roll of generation %d has not ended", r.Generation)
		case r.err == nil:
			stable = w.aims[i]
		case errors.As(r.err, &superseded):
			if i+1 == len(w.rolls) || superseded.By != w.rolls[i+1].Generation {
				w.t.Errorf("generation %d was %v", r.Generation, r.err)
			}
			if stable == nil {
				stable = w.aims[i]
			}
		case errors.As(r.err, &back):
			if stable == nil || back.To != stable.number || back.Generation != r.Generation || back.Reason == "" {
				w.t.Errorf("roll of generation %d: %v; want one to %d", r.Generation, r.err, number(stable))
			}
		default:
			w.t.Errorf("roll of generation %d: %v", r.Generation, r.err)
		}
	}
	if w.stable != stable {
		w.t.Errorf("stable is generation %d, want %d", number(w.stable), number(stable))
	}
	numbers := slices.Clone(w.rolls)
	if !slices.IsSortedFunc(numbers, func(a, b *Roll) int { return a.Generation - b.Generation }) {
		w.t.Error("the numbers of generations do not grow")
	}
}
