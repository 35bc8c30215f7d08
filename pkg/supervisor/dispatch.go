package supervisor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// The budgets of sending ahead. What costs at the speed of a small app is waking
// processes: a worker that finds its next request waiting needs no waking.
const (
	// maxAhead and maxAheadBytes bound the requests in a worker's queue, so that
	// a write never finds it full.
	maxAhead      = 16
	maxAheadBytes = 64 << 10
	// small is what the requests of an app may take that is cheaper to run than a
	// worker is to wake, and concentrate how much estimated work may then be queued on
	// the most recently used worker while others are idle.
	small       = 100 * time.Microsecond
	concentrate = 250 * time.Microsecond
	// patience is how long a request may be run while others wait behind it on
	// the same worker; then they are taken back.
	patience = time.Millisecond
	// lonePatience is how long that may be for a request that nobody waits behind,
	// before its worker is found to be busy. It may not even have been read. Each look
	// costs a wake-up, and most of these would find nothing.
	lonePatience = 5 * patience
	// ahead is how much may be queued on a worker when none is idle: what would be
	// taken back before it is run is not worth sending.
	ahead = patience
	// unknown is the estimate for a worker that has not answered yet, and
	// longest bounds what one slow request does to the estimate.
	unknown = 5 * time.Millisecond
	longest = 20 * time.Millisecond
)

// dispatcher hands requests to workers. It decides under one lock, and the
// decisions are short; nothing in it waits for a worker or a client.
//
// Invariants:
//   - A call is in waiting, in the sent list of exactly one slot, or finished.
//   - Whoever takes a call out of either place answers it or puts it into the other.
//   - A call is put back into waiting only when takeBack returned it: then no
//     worker has read it.
type dispatcher struct {
	maxQueue     int           // waiting calls beyond which new ones are refused
	queueTimeout time.Duration // 0: wait as long as the client does
	log          *zap.Logger
	scaling      bool          // the supervisor wants to know when a call waits
	attention    chan struct{} // capacity one: wakes the supervisor, to ask what is new
	openFile     func(*slot, psgi.FileRef) (*psgi.File, error)
	deaf         func(*slot) // ends a worker that reads nothing; does not block
	schedule     func(pid int64) (ran, delayed time.Duration, err error)
	lastID       atomic.Uint32
	calls        sync.Pool // of those that are over

	mu      sync.Mutex
	slots   []*slot // with a worker, the most recently used first
	waiting []*call // in the order of arrival
	stopped bool
	crowd   crowd
	timer   *time.Timer // runs tick at due, when something here becomes overdue
	due     time.Time   // zero: the timer is not set
}

func newDispatcher(log *zap.Logger) *dispatcher {
	return &dispatcher{
		log: log, attention: make(chan struct{}, 1), openFile: openWorkerFile, deaf: func(*slot) {},
		schedule: schedule,
	}
}

// Call implements psgi.App.
func (d *dispatcher) Call(ctx context.Context, r *psgi.Request) (*psgi.Response, error) {
	// Nothing of r is used after this function has returned: its owner may then
	// use it again, while a worker still runs an abandoned call.
	c, err := d.newCall(ctx, r)
	if err == nil {
		err = d.submit(c)
	}
	if err != nil {
		return nil, err
	}
	select {
	case a := <-c.answered:
		if a.over {
			d.recycle(c)
		}
		return a.response, a.err
	case <-ctx.Done():
		d.abandon(c)
		select {
		case a := <-c.answered: // it came before the client was known to have left
			if a.response != nil {
				_ = a.response.Body.Close()
			}
		default:
		}
		return nil, context.Cause(ctx)
	}
}

// submit sends a call to a worker or puts it at the end of the queue.
func (d *dispatcher) submit(c *call) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return psgi.ErrStopping
	}
	c.arrived = time.Now()
	if len(d.waiting) == 0 {
		if s := d.pick(len(c.frame), c.arrived); s != nil {
			d.send(s, c, c.arrived)
			return nil
		}
	}
	if len(d.waiting) >= d.maxQueue {
		return psgi.ErrQueueFull
	}
	d.waiting = append(d.waiting, c)
	if d.scaling {
		wake(d.attention)
	}
	if d.queueTimeout > 0 {
		d.arm(d.queueTimeout, c.arrived)
	}
	return nil
}

// pick chooses the worker for a frame of that size: of a small app the most recently
// used one whose queue is short, and not held up already, so that caches stay warm and
// idle workers stay idle; else the most recently used idle one, unless as many run as
// the processors can; else one that will soon be free; else nil. A worker with threads
// counts as idle while one of them is.
func (d *dispatcher) pick(size int, now time.Time) *slot {
	var idle, soon *slot
	running, oldest := 0, now
	for _, s := range d.slots {
		if s.counts(now) {
			running++
			if s.since.Before(oldest) {
				oldest = s.since
			}
		}
		switch {
		case !s.ready || s.exhausted():
		case s.threaded():
			if idle == nil && s.hasThread(size) {
				idle = s
			}
		case len(s.cleaning) > 0:
		case len(s.sent) == 0:
			if idle == nil {
				idle = s
			}
		case s.held || len(s.sent) >= maxAhead || s.bytes+size > maxAheadBytes:
		case s.estimate <= small && s.load() <= concentrate && now.Sub(s.since) <= concentrate:
			return s
		case soon == nil && s.load() <= ahead:
			soon = s
		}
	}
	if idle == nil {
		return soon
	}
	d.consider(running, now)
	if d.crowd.isFull(running) && !idle.threaded() {
		d.arm(lonePatience-now.Sub(oldest), now) // then there is room, if nobody is done before
		return soon
	}
	return idle
}

// hasThread reports whether one of several threads is idle, and the frame fits
// what may still be in the socket.
func (s *slot) hasThread(size int) bool {
	fits := s.bytes == 0 || s.bytes+size <= maxAheadBytes
	return len(s.sent)+len(s.cleaning) < s.threads && fits
}

// load is the estimated work queued on the slot's worker.
func (s *dispatchState) load() time.Duration {
	return s.estimate * time.Duration(len(s.sent))
}

func (d *dispatcher) send(s *slot, c *call, now time.Time) {
	if len(s.sent) == 0 || s.threaded() && s.bytes == 0 {
		s.since = now
	}
	c.slot, c.unread = s, true
	if s.threaded() {
		c.sent = now
	}
	s.sent = append(s.sent, c)
	s.bytes += len(c.frame)
	s.served++
	if s.limit > 0 && (s.served == s.nearAt() || s.exhausted()) { // told once, not at each of the last
		wake(d.attention)
	}
	d.arm(s.patience()-now.Sub(s.since), now)
	if err := d.transmit(s, c.frame); err != nil {
		// The queue is ours as well, so this is no dead worker: its end comes
		// as an event of its own, and fails what is in sent.
		d.log.Error("request not sent to worker", zap.Int("worker", s.number), zap.Error(err))
	}
}

// patience is how long the first of the slot's requests may be run without a look.
func (s *slot) patience() time.Duration {
	if len(s.sent) == 1 && !s.threaded() {
		return lonePatience
	}
	return patience
}

// transmit sends a frame to a worker. One that is so far behind that its queue is
// full does not read, and is ended: an honest one has little in its queue.
func (d *dispatcher) transmit(s *slot, frame []byte) error {
	err := s.wire.send(frame)
	if errors.Is(err, errQueueFull) {
		d.deaf(s)
	}
	return err
}

// feed sends waiting calls to the workers that can take them.
func (d *dispatcher) feed() {
	if len(d.waiting) == 0 {
		return
	}
	n, now := 0, time.Now()
	for n < len(d.waiting) {
		s := d.pick(len(d.waiting[n].frame), now)
		if s == nil {
			break
		}
		d.send(s, d.waiting[n], now)
		n++
	}
	d.waiting = slices.Delete(d.waiting, 0, n)
}
