package supervisor

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// expire tells everybody whose time is up.
func (s *Supervisor) expire() {
	now := time.Now()
	for _, g := range s.generations {
		t := g.template
		if t == nil || t.deadline.IsZero() || now.Before(t.deadline) {
			continue
		}
		t.deadline = time.Time{}
		if !t.stopped {
			t.failure = g.loadTimeout()
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
			w.message = w.generation.loadTimeout()
		case w.pid == 0 && w.generation.template != nil:
			w.generation.template.kill() // it heeds nothing: with its end the wait for it ends
		}
		s.apply(w, overdue)
	}
	s.expireProbation(now)
	s.keepHouse(now)
}

func (g *generation) loadTimeout() string {
	app := g.plan.Boot.App
	if app == "" {
		app = "the code of -e"
	}
	return fmt.Sprintf("%s did not finish loading within %s (start_timeout)", app, g.plan.StartTimeout)
}

// reconcile brings what is there closer to what should be, and returns when to
// look again although nothing has happened; zero: never.
func (s *Supervisor) reconcile() time.Time {
	var again time.Time
	for !s.stopping {
		members, view := s.view()
		next := decide(view)
		again = sooner(again, next.again)
		if next.do == wait || !s.act(next, members) {
			break
		}
	}
	s.watchRoll()
	s.dismiss()
	return sooner(again, s.nextExpiry())
}

// nextExpiry is when somebody's time is up; zero: never.
func (s *Supervisor) nextExpiry() time.Time {
	again := sooner(s.probationEnds(), s.housekeeper.next)
	for _, g := range s.generations {
		if g.template != nil {
			again = sooner(again, g.template.deadline)
		}
	}
	for _, w := range s.workers {
		again = sooner(again, w.deadline)
	}
	return again
}

// view gathers what decide has to know. The workers are in the order of its members.
func (s *Supervisor) view() ([]*worker, view) {
	v := view{
		now: time.Now(), wanted: s.wantedWorkers(), interval: s.settings.SpawnInterval,
		spawned: s.spawned, retired: s.retired,
	}
	if s.target != nil {
		v.target, v.swift, v.notBefore = s.target.number, s.target.plan.Swift, s.target.notBefore
		v.free = s.free(s.target)
	}
	if c := s.candidate(); c != nil {
		v.candidate, v.freeTrial = c.number, s.free(c)
		if s.trial.ended || !s.trial.ready.IsZero() {
			v.freeTrial = 0 // it has had its worker
		}
	}
	workers := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		workers = append(workers, w)
		v.members = append(v.members, member{
			generation: w.generation.number, state: w.state, born: w.born, told: w.told,
			idle: s.dispatcher.idleSlot(w.slot), due: w.due != "", spent: w.spent,
		})
	}
	return workers, v
}

// act does what decide wants; false: it cannot be done yet, and an event will come.
func (s *Supervisor) act(d decision, workers []*worker) bool {
	switch d.do {
	case spawnOne:
		return s.spawn(s.target)
	case spawnTrial:
		return s.spawn(s.candidate())
	case retireOne:
		s.retireWorker(workers[d.member])
		return true
	}
	return false
}

func (s *Supervisor) retireWorker(w *worker) {
	if w.state == ready {
		s.retired = time.Now()
	}
	if w.due != "" && w.generation == s.target {
		w.cause = causeRecycled
	}
	s.apply(w, retire)
}

// spawn starts a worker, or first the template that can; false: not yet.
func (s *Supervisor) spawn(g *generation) bool {
	if g.template == nil {
		s.startTemplate(g)
		return g.template == nil // it failed: decide again, with the delay
	}
	if !g.template.loaded {
		return false
	}
	for _, slot := range g.slots {
		if s.workers[slot] != nil {
			continue
		}
		if err := g.template.spawn(slot.number); err != nil {
			return false // it has ended, or is behind: its reader says so
		}
		g.template.ordered = append(g.template.ordered, s.enter(slot, g))
		return true
	}
	return false
}

// enter notes that a worker is being forked for a slot.
func (s *Supervisor) enter(slot *slot, g *generation) *worker {
	w := &worker{slot: slot, generation: g, template: g.template, born: time.Now(), dead: make(chan struct{})}
	if g.plan.StartTimeout > 0 {
		w.deadline = w.born.Add(g.plan.StartTimeout)
	}
	s.workers[slot] = w
	s.spawned = w.born
	return w
}

// wantedWorkers is how many workers there should be now: one slot stays free, or
// no successor could come before a worker goes.
func (s *Supervisor) wantedWorkers() int {
	wanted := s.mostWorkers()
	if s.settings.MinWorkers > 0 {
		wanted = min(wanted, s.scale.wanted)
	}
	if s.target != nil {
		wanted = min(wanted, s.target.room())
	}
	return wanted
}

// mostWorkers is how many workers there may be at most, if the load asks for them.
func (s *Supervisor) mostWorkers() int { return max(s.settings.Workers+s.adjustment, 1) }

// room is how many workers a generation can have beside that of a surge.
func (g *generation) room() int { return len(g.slots) - 1 }

// Room is how many workers the current generation can have at most, with one slot
// left for the surge of a roll. 0: there is none yet.
func (s *Supervisor) Room() int {
	room := 0
	s.ask(func() {
		if s.target != nil {
			room = s.target.room()
		}
	})
	return room
}

// Adjust makes it so many workers more, or fewer if by is negative, until the next
// Commit or Configure with another number of workers. It returns how many there
// will be: at least one, at most Room.
func (s *Supervisor) Adjust(by int) int {
	wanted := 0
	s.ask(func() {
		if s.target == nil {
			return
		}
		room := s.target.room()
		s.adjustment = min(max(s.settings.Workers+s.adjustment+by, 1), room) - s.settings.Workers
		wanted = s.settings.Workers + s.adjustment
		s.log.Info("workers adjusted", zap.Int("workers", wanted))
	})
	return wanted
}

// ask has f run in the supervisor's goroutine and waits for it; when that has ended
// f does not run.
func (s *Supervisor) ask(f func()) {
	answered := make(chan struct{})
	s.post(func() {
		f()
		close(answered)
	})
	select {
	case <-answered:
	case <-s.done:
	}
}
