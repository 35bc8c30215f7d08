package supervisor

import (
	"context"
	"sync"
	"time"
)

// Roll is the replacing of the workers of other generations by those of a new one.
type Roll struct {
	Generation int // the new one

	began  time.Time
	passed int // workers of it that came and have gone at a limit; the supervisor's goroutine's own

	mu       sync.Mutex
	replaced int
	workers  int
	err      error
	ended    bool
	changed  chan struct{} // closed and replaced at each change
}

func newRoll(generation int) *Roll {
	return &Roll{Generation: generation, began: time.Now(), changed: make(chan struct{})}
}

// Wait blocks until the roll has ended: nil when all workers have been replaced, a
// *SupersededError, a *RolledBackError, psgi.ErrStopping, or ctx's error; then the
// roll goes on. Before that report, if it is not nil, is called at each step.
func (r *Roll) Wait(ctx context.Context, report func(replaced, workers int)) error {
	for {
		r.mu.Lock()
		replaced, workers, ended, err, changed := r.replaced, r.workers, r.ended, r.err, r.changed
		r.mu.Unlock()
		if report != nil && workers > 0 {
			report(replaced, workers)
		}
		if ended {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Done reports whether all workers have been replaced.
func (r *Roll) Done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended && r.err == nil
}

// advance notes how many of the workers are new.
func (r *Roll) advance(replaced, workers int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.replaced == replaced && r.workers == workers {
		return
	}
	r.replaced, r.workers = replaced, workers
	r.tell()
}

// end notes the outcome, once.
func (r *Roll) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended, r.err = true, err
	r.tell()
}

// tell wakes who waits.
func (r *Roll) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}
