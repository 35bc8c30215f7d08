package supervisor

import (
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"
)

// memoryPeriod is how often a worker's memory is looked at, at most: the kernel has
// to walk all of it.
const memoryPeriod = time.Second

// housekeeper knows when to look after the workers again.
type housekeeper struct {
	next   time.Time // zero: there is nothing to look after
	memory time.Time // when memory was last looked at
}

// The limits that a worker is replaced for, as they stand in logs.
const (
	dueRequests = "requests"
	dueLifetime = "lifetime"
	dueMemory   = "memory"
)

// drawLimit draws how many requests a worker may run; 0: any number.
func (o *Settings) drawLimit() int {
	if least := o.MinRequests; least > 0 && least < o.MaxRequests {
		return least + rand.IntN(o.MaxRequests-least+1)
	}
	return o.MaxRequests
}

// attend looks after the workers that the dispatcher has something to tell of.
func (s *Supervisor) attend() {
	for _, w := range s.workers {
		if w.state != ready {
			continue
		}
		due, spent := s.dispatcher.used(w.slot)
		if due && w.due == "" {
			w.due = dueRequests
		}
		switch {
		case spent && s.barren(w.generation):
			s.dispatcher.prolong(w.slot) // nobody could take its place
		case spent && !w.spent:
			w.due, w.spent, w.cause = dueRequests, true, causeRecycled
			s.apply(w, retire) // nothing is sent to it any more
		}
	}
	s.scaleUp()
}

// barren reports whether a generation has lost the ability to make workers, as the app
// on the disk is broken, for one: its workers are the last ones.
func (s *Supervisor) barren(g *generation) bool {
	return !g.unloadable.IsZero() && !slices.ContainsFunc(s.workersOf(g), func(w *worker) bool {
		return w.state == ready && w.born.After(g.unloadable)
	})
}

// keepHouse looks, once a period, at what no event tells.
func (s *Supervisor) keepHouse(now time.Time) {
	o := &s.settings
	if s.stopping || o.MaxLifetime <= 0 && o.MaxMemory <= 0 && o.RequestTimeout <= 0 && o.SlowRequest <= 0 && o.MinWorkers <= 0 {
		s.housekeeper.next = time.Time{}
		return
	}
	if now.Before(s.housekeeper.next) {
		return
	}
	s.housekeeper.next = now.Add(o.Housekeeping)
	weigh := o.MaxMemory > 0 && now.Sub(s.housekeeper.memory) >= memoryPeriod
	if weigh {
		s.housekeeper.memory = now
	}
	for _, w := range s.workers {
		if w.state == ready || w.state == retiring {
			s.watchRequests(w, now)
		}
		if w.state != ready || w.spent {
			continue
		}
		switch {
		case o.MaxLifetime > 0 && now.Sub(w.born) >= o.MaxLifetime:
			w.due, w.spent = dueLifetime, true
		case weigh && s.tooHeavy(w):
			w.due, w.spent = dueMemory, true
		}
	}
	s.scaleDown(now)
}

func (s *Supervisor) tooHeavy(w *worker) bool {
	used, err := Memory(w.pid)
	if err != nil || used <= s.settings.MaxMemory {
		return false // it may have ended in this moment
	}
	s.log.Info("worker has grown too large", zap.Int("worker", w.slot.number), zap.Int("generation", w.generation.number),
		zap.Int("pid", w.pid), zap.Int64("memory", used), zap.Int64("max_memory", s.settings.MaxMemory))
	return true
}

// watchRequests ends a worker that has run a request for too long, and tells of
// those that take long.
func (s *Supervisor) watchRequests(w *worker, now time.Time) {
	for _, r := range s.dispatcher.running(w.slot, now) {
		switch {
		case s.settings.RequestTimeout > 0 && r.For >= s.settings.RequestTimeout && w.cause != causeOverran:
			s.overrun(w, r)
		case s.settings.SlowRequest > 0 && r.For >= s.settings.SlowRequest && s.dispatcher.tellOnce(w.slot, r.number):
			s.logSlow(w, r)
		}
	}
}

// overrun answers a request that takes too long, and ends its worker: nothing else
// can stop Perl for sure.
func (s *Supervisor) overrun(w *worker, r Running) {
	s.log.Warn("request overran", zap.Int("worker", w.slot.number), zap.Int("generation", w.generation.number),
		zap.Int("pid", w.pid), zap.String("request_id", r.Request), zap.String("request", r.Line), zap.Duration("after", r.For),
		zap.Duration("request_timeout", s.settings.RequestTimeout))
	w.cause = causeOverran
	s.dispatcher.overrun(w.slot, r.number)
	s.apply(w, force)
}
