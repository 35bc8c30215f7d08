package supervisor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// Candidate is a generation that has proved that it can run: its app is loaded and
// one worker of it is ready, but takes no requests yet. It belongs to who called
// Prepare, and has to be committed or dropped.
type Candidate struct {
	supervisor *Supervisor
	generation *generation
	released   sync.Once

	// These belong to the supervisor's goroutine.
	ready   time.Time  // when its worker was; zero: not yet
	outcome chan error // capacity one: what Prepare returns
	ended   bool       // the outcome is known
}

// Generation is the number of the candidate's generation.
func (c *Candidate) Generation() int { return c.generation.number }

// Prepare makes a generation beside what is running: it starts the template, loads
// the app and boots one worker, which has to stay alive for the time of probation
// if there is something to take over from. It blocks until that is done. When it
// returns an error, which carries Perl's own message, nothing has changed and
// nothing of the generation is left running for long. One candidate at a time:
// others wait.
func (s *Supervisor) Prepare(ctx context.Context, plan Plan) (*Candidate, error) {
	select {
	case s.preparing <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.done:
		return nil, psgi.ErrStopping
	}
	c := &Candidate{supervisor: s, outcome: make(chan error, 1)}
	s.post(func() { s.prepare(c, plan) })
	select {
	case err := <-c.outcome:
		if err != nil {
			c.release()
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		c.Drop()
		return nil, context.Cause(ctx)
	case <-s.done:
		return nil, psgi.ErrStopping
	}
}

// prepare begins a candidate; what becomes of it comes as events.
func (s *Supervisor) prepare(c *Candidate, plan Plan) {
	plan.Workers = max(plan.Workers, s.settings.Workers, 1)
	if plan.Perl == "" {
		plan.Perl = "perl"
	}
	if plan.Env == nil {
		plan.Env = []string{}
	}
	if s.stopping {
		c.outcome <- psgi.ErrStopping
		return
	}
	g, err := s.newGeneration(plan)
	if err != nil {
		c.outcome <- err
		return
	}
	c.generation, s.trial = g, c
	s.startTemplate(g)
}

// candidate is the generation that is being prepared, or waits to be committed.
func (s *Supervisor) candidate() *generation {
	if s.trial == nil {
		return nil
	}
	return s.trial.generation
}

// trialReady: the worker of the candidate is ready. Its probation begins.
func (s *Supervisor) trialReady() {
	s.trial.ready = time.Now()
}

// probationEnds is when the candidate is trusted; zero: not before an event.
func (s *Supervisor) probationEnds() time.Time {
	c := s.trial
	if c == nil || c.ended || c.ready.IsZero() {
		return time.Time{}
	}
	if s.target == nil || c.generation.plan.Swift {
		return c.ready
	}
	return c.ready.Add(s.settings.Probation)
}

// expireProbation tells Prepare when the candidate has proved itself.
func (s *Supervisor) expireProbation(now time.Time) {
	if at := s.probationEnds(); !at.IsZero() && !now.Before(at) {
		s.trial.ended = true
		s.trial.outcome <- nil
	}
}

// failTrial ends a candidate that could not prove itself, or cannot any more.
func (s *Supervisor) failTrial(g *generation, err error) {
	c := s.trial
	if c == nil || c.generation != g {
		return
	}
	if c.ended { // it waits to be committed; as target it will be seen to fail
		return
	}
	c.ended = true
	c.outcome <- err
	s.dropTrial(c)
}

// dropTrial retires the worker of a candidate; its generation is dismissed then.
func (s *Supervisor) dropTrial(c *Candidate) {
	if s.trial != c {
		return
	}
	s.trial = nil
	for _, w := range s.workers {
		if w.generation == c.generation {
			s.apply(w, retire)
		}
	}
}

// Drop gives up a candidate. Nothing of it is left running for long. After Commit,
// or for the second time, it does nothing.
func (c *Candidate) Drop() {
	c.supervisor.post(func() { c.supervisor.dropTrial(c) })
	c.release()
}

// release lets the next candidate be prepared.
func (c *Candidate) release() {
	c.released.Do(func() { <-c.supervisor.preparing })
}

// Commit makes the candidate's generation the target, and rolls the workers over to
// it. It cannot fail, and does not wait for that: see Roll.Wait. When it returns, the
// others get no new requests any more if the plan is swift. A roll that still runs is
// superseded.
func (c *Candidate) Commit(settings Settings) *Roll {
	roll := newRoll(c.generation.number)
	s := c.supervisor
	s.ask(func() {
		s.configure(settings)
		s.commit(c, roll)
	})
	select {
	case <-s.done:
		roll.end(psgi.ErrStopping)
	default:
	}
	c.release()
	return roll
}

func (s *Supervisor) commit(c *Candidate, roll *Roll) {
	if s.trial != c || s.stopping {
		roll.end(psgi.ErrStopping)
		return
	}
	if s.roll != nil {
		s.roll.end(&SupersededError{By: c.generation.number})
	}
	if s.stable == nil {
		s.stable = s.target // it has had one worker at least
	}
	s.trial, s.target, s.roll = nil, c.generation, roll
	s.adjustment = 0
	for _, w := range s.workers {
		if w.generation == s.target && w.state == ready {
			s.admit(w)
		}
	}
	if s.target.plan.Swift {
		s.retireOthers()
	}
	if s.stable != nil {
		s.log.Info("rolling", zap.Int("generation", s.target.number), zap.Int("from", s.stable.number),
			zap.Int("workers", s.wantedWorkers()))
	}
}

// retireOthers retires the workers of other generations than target, at once.
func (s *Supervisor) retireOthers() {
	for _, w := range s.workers {
		if w.generation != s.target && w.state == ready {
			s.retireWorker(w)
		}
	}
}

// watchRoll tells the roll how far it is, and ends it.
func (s *Supervisor) watchRoll() {
	if s.roll == nil {
		return
	}
	replaced, others := 0, 0
	for _, w := range s.workers {
		switch {
		case w.state != booting && w.state != ready, w.generation == s.candidate():
		case w.generation != s.target:
			others++
		case w.state == ready:
			replaced++
		}
	}
	wanted := s.wantedWorkers()
	replaced = max(replaced, min(replaced+s.roll.passed, wanted-others))
	s.roll.advance(min(replaced, wanted), wanted)
	switch {
	case s.target.failures >= tooManyFailures && s.stable != nil && s.stable != s.target:
		err := &RolledBackError{Generation: s.target.number, To: s.stable.number, Reason: s.target.reason}
		s.log.Error("rolling back", zap.Int("generation", s.target.number), zap.Int("to", s.stable.number),
			zap.String("error", s.target.reason))
		s.target = s.stable
		s.roll.end(err)
		s.roll = nil
	case replaced >= wanted && others == 0:
		if s.stable != nil {
			s.log.Info("rolled", zap.Int("generation", s.target.number), zap.Duration("took", time.Since(s.roll.began)))
		}
		s.stable = s.target
		s.roll.end(nil)
		s.roll = nil
	}
}

// SupersededError means that a newer generation took the place of a roll's target.
type SupersededError struct{ By int }

func (e *SupersededError) Error() string {
	return fmt.Sprintf("superseded by generation %d", e.By)
}

// RolledBackError means that the workers of a new generation did not stay alive, and
// that the one before it was restored. What new workers of that one load is what
// then is on disk, unless its template has preloaded the app.
type RolledBackError struct {
	Generation, To int
	Reason         string // Perl's message or last lines
}

func (e *RolledBackError) Error() string {
	return fmt.Sprintf("generation %d could not keep its workers alive and was rolled back to generation %d: %s",
		e.Generation, e.To, e.Reason)
}
