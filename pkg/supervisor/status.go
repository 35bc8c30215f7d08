package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Status is what a supervisor runs at one moment.
type Status struct {
	Wanted      int    // workers that should be ready
	Target      int    // a generation's number; 0: none yet
	Stable      int    // the last generation that was rolled out whole; 0: none yet
	Waiting     int    // requests that wait for a worker
	AtOnce      int    // workers that are used at a time, as the app computes and the processors can run no more; 0: all
	Healthy     bool   // there is a worker that takes requests
	Problem     string // why it is not healthy, or why workers do not stay alive; or ""
	Generations []GenerationStatus
	Workers     []WorkerStatus
}

// GenerationStatus is a generation that is not gone.
type GenerationStatus struct {
	Number   int
	Role     string // "target", "stable", "candidate" or "retiring"
	Born     time.Time
	Template int // pid; 0: none runs
}

// WorkerStatus is a worker that is not gone.
type WorkerStatus struct {
	Worker     int // the number of its slot, which it has in its generation
	Generation int
	PID        int    // 0: not known yet
	State      string // "booting", "ready", "retiring", "ending" or "killed"
	Born       time.Time
	Requests   int // how many it has been sent
	Running    []Running
}

// Status tells what is running. After Stop it is empty.
func (s *Supervisor) Status() Status {
	var status Status
	s.ask(func() { status = s.status() })
	return status
}

func (s *Supervisor) status() Status {
	now := time.Now()
	status := Status{Wanted: s.wantedWorkers(), Waiting: s.dispatcher.queued(), AtOnce: s.dispatcher.atOnce(s.wantedWorkers())}
	if s.stable != nil {
		status.Stable = s.stable.number
	}
	for _, w := range s.workers {
		if w.state == gone {
			continue
		}
		status.Healthy = status.Healthy || w.state == ready && w.generation != s.candidate()
		worker := WorkerStatus{
			Worker: w.slot.number, Generation: w.generation.number, PID: w.pid, State: w.state.String(), Born: w.born,
		}
		if w.state != booting { // until then the slot's figures are those of the worker before
			worker.Requests, worker.Running = s.dispatcher.served(w.slot), s.dispatcher.running(w.slot, now)
		}
		status.Workers = append(status.Workers, worker)
	}
	slices.SortFunc(status.Workers, func(a, b WorkerStatus) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Worker, b.Worker))
	})
	for _, g := range s.generations {
		status.Generations = append(status.Generations, s.generationStatus(g))
	}
	if g := s.target; g != nil {
		status.Target = g.number
		if s.failing(g, now) {
			status.Problem = g.reason
		}
	}
	if !status.Healthy && status.Problem == "" {
		status.Problem = s.whyNoneIsReady()
	}
	return status
}

// whyNoneIsReady says what is being waited for when no worker takes requests.
func (s *Supervisor) whyNoneIsReady() string {
	loading := 0
	for _, w := range s.workers {
		if w.state == booting {
			loading++
		}
	}
	switch {
	case loading > 0:
		return fmt.Sprintf("no worker is ready; loading the app: %d", loading)
	case s.target != nil && s.target.reason != "":
		return s.target.reason
	}
	return "no worker is ready, and none has been started yet"
}

func (s *Supervisor) generationStatus(g *generation) GenerationStatus {
	status := GenerationStatus{Number: g.number, Role: "retiring", Born: g.born}
	switch g {
	case s.target:
		status.Role = "target"
	case s.stable:
		status.Role = "stable"
	case s.candidate():
		status.Role = "candidate"
	}
	if g.template != nil {
		status.Template = g.template.cmd.Process.Pid
	}
	return status
}

// failing reports whether the workers of a generation have died again and again, and
// none that came later has proved itself.
func (s *Supervisor) failing(g *generation, now time.Time) bool {
	return g.failures >= tooManyFailures && !slices.ContainsFunc(s.workersOf(g), func(w *worker) bool {
		return w.state == ready && w.born.After(g.lastFailure) && now.Sub(w.born) >= matureAge
	})
}

func (s *Supervisor) workersOf(g *generation) []*worker {
	var list []*worker
	for _, w := range s.workers {
		if w.generation == g {
			list = append(list, w)
		}
	}
	return list
}
