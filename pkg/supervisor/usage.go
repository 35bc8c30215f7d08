package supervisor

import (
	"slices"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// What the supervisor asks of the dispatcher about workers, to replace them in time,
// to end those that are stuck, and to tell what they are doing.

// Running is a request that a worker is running.
type Running struct {
	Request string        // its id
	Line    string        // method and path
	For     time.Duration // cleanup handlers included

	number uint32
}

// configure sets the bounds of the queue, for those that come.
func (d *dispatcher) configure(o *Settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.maxQueue, d.queueTimeout, d.scaling = o.MaxQueue, o.QueueTimeout, o.MinWorkers > 0
}

// limit says how many requests the worker of a slot may be sent; 0: any number. The
// supervisor is told a few requests before the last one. One that has been sent as
// many already goes on without a limit until it is replaced: that is what over says.
func (d *dispatcher) limit(s *slot, limit int) (over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.limit = limit
	if over = s.exhausted(); over {
		s.limit = 0
	}
	d.checkLimit(s)
	return over
}

// checkLimit wakes the supervisor when a worker that has got a limit is near it.
func (d *dispatcher) checkLimit(s *slot) {
	if s.nearLimit() {
		wake(d.attention)
	}
}

// nearLimit reports whether the successor of a worker is wanted.
func (s *dispatchState) nearLimit() bool { return s.limit > 0 && s.served >= s.nearAt() }

// nearAt is after how many requests it is: when a tenth of those that the worker may
// run is left, or just one.
func (s *dispatchState) nearAt() int { return s.limit - max(s.limit/10, 1) }

// exhausted reports whether the worker has been sent all that it may run.
func (s *dispatchState) exhausted() bool { return s.limit > 0 && s.served >= s.limit }

// prolong lets a worker run a few requests more than its limit.
func (d *dispatcher) prolong(s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.limit = s.served + max(s.limit/10, 1)
	d.feed()
}

// used reports whether a worker is near the limit of its requests, and whether it has
// been sent the last one.
func (d *dispatcher) used(s *slot) (due, spent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.nearLimit(), s.exhausted()
}

// served is how many requests the worker of a slot has been sent and not given back.
func (d *dispatcher) served(s *slot) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.served
}

// running lists what the worker of a slot is running.
func (d *dispatcher) running(s *slot, now time.Time) []Running {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := slices.Concat(s.cleaning, s.sent)
	if !s.threaded() {
		calls = calls[:min(len(calls), 1)]
	}
	var list []Running
	for _, c := range calls {
		began := s.since
		if s.threaded() {
			began = c.sent
		}
		list = append(list, Running{Request: c.name, Line: c.line, For: now.Sub(began), number: c.id})
	}
	return list
}

// overrun answers a request that takes too long, and sends nothing more to its
// worker, which is about to be ended.
func (d *dispatcher) overrun(s *slot, number uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ready = false
	d.hold(s)
	if c := s.find(number); c != nil && !c.abandoned {
		c.abandoned = true
		c.fail(psgi.ErrRequestTimeout)
	}
	d.feed()
}

// tellOnce is true the first time it is called for a request.
func (d *dispatcher) tellOnce(s *slot, number uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range slices.Concat(s.cleaning, s.sent) {
		if c.id == number && !c.told {
			c.told = true
			return true
		}
	}
	return false
}

// queued is how many requests wait for a worker.
func (d *dispatcher) queued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// idleWorkers is how many workers run nothing.
func (d *dispatcher) idleWorkers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, s := range d.slots {
		if s.isIdle() {
			n++
		}
	}
	return n
}

// idleSlot reports whether the worker of a slot runs nothing.
func (d *dispatcher) idleSlot(s *slot) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.isIdle()
}

func (s *dispatchState) isIdle() bool { return s.ready && len(s.sent) == 0 && len(s.cleaning) == 0 }
