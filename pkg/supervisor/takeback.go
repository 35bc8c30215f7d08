package supervisor

import (
	"slices"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// How requests that were sent to a worker come back: it is slow, it is stopped, it is
// dead, or nobody wants the answer any more.

// hold stops sending ahead to a slot and takes back what its worker has not
// read. Each call goes where it would be had it never been sent.
func (d *dispatcher) hold(s *slot) {
	s.held = true
	if len(s.sent) > 0 {
		d.takeBack(s, false)
	}
}

func (d *dispatcher) takeBack(s *slot, dead bool) {
	for _, id := range s.wire.takeBack(dead) {
		c := s.remove(id)
		if c == nil {
			continue
		}
		s.served--
		if c.abandoned {
			continue
		}
		c.slot = nil
		if d.stopped {
			c.answer(nil, psgi.ErrStopping)
			continue
		}
		at := len(d.waiting)
		for at > 0 && d.waiting[at-1].after(c) {
			at--
		}
		d.waiting = slices.Insert(d.waiting, at, c)
	}
	s.noteRead(nil)
}

// noteRead notes that a worker with threads has read what was sent up to that call,
// as it answers it; nil: everything, as the rest was taken back.
func (s *slot) noteRead(last *call) {
	if !s.threaded() {
		return
	}
	for _, c := range s.sent {
		if c.unread {
			c.unread = false
			s.bytes -= len(c.frame)
			s.since = time.Now()
		}
		if c == last {
			return
		}
	}
}

func (s *slot) find(id uint32) *call {
	for _, c := range s.sent {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (s *slot) remove(id uint32) *call {
	for i, c := range s.sent {
		if c.id == id {
			s.sent = slices.Delete(s.sent, i, i+1)
			if c.unread {
				s.bytes -= len(c.frame)
			}
			return c
		}
	}
	return nil
}

// abandon takes a call out of the dispatcher because its client has left. If a
// worker runs it already, the worker is told.
func (d *dispatcher) abandon(c *call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.waiting, c); i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
		return
	}
	s := c.slot
	if s == nil || s.find(c.id) != c || c.abandoned {
		return
	}
	c.abandoned = true
	d.takeBack(s, false)
	if s.find(c.id) == c {
		_ = d.transmit(s, psgi.AppendFrame(nil, psgi.TypeCancel, 0, c.id, nil))
	}
	d.feed()
}

// arm makes tick run after at most that long.
func (d *dispatcher) arm(after time.Duration, now time.Time) {
	due := now.Add(after)
	if !d.due.IsZero() && !due.Before(d.due) {
		return
	}
	d.due = due
	if d.timer == nil {
		d.timer = time.AfterFunc(after, d.tick)
	} else {
		d.timer.Reset(after)
	}
}

// tick takes back what waits behind a slow request, or for a worker that does not
// read, and refuses what has waited too long for a worker. It runs as long as one of the two can happen.
func (d *dispatcher) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = time.Time{}
	if d.stopped {
		return
	}
	now := time.Now()
	for _, s := range slices.Clone(d.slots) {
		if s.bytes == 0 || s.held {
			continue
		}
		if wait := s.patience() - now.Sub(s.since); wait > 0 {
			d.arm(wait, now)
			continue
		}
		sent := len(s.sent)
		d.hold(s)
		if len(s.sent) == 0 || s.threaded() {
			s.held = false
		}
		if len(s.sent) == 0 || s.threaded() && len(s.sent) < sent {
			// The worker has not even begun: it is busy with what it does after
			// a response, or stopped. Others come first.
			d.slots = append(slices.DeleteFunc(d.slots, func(o *slot) bool { return o == s }), s)
		}
	}
	d.feed()
	for d.queueTimeout > 0 && len(d.waiting) > 0 {
		if wait := d.queueTimeout - now.Sub(d.waiting[0].arrived); wait > 0 {
			d.arm(wait, now)
			break
		}
		d.waiting[0].answer(nil, psgi.ErrQueueTimeout)
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
}
