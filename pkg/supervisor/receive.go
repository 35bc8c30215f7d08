package supervisor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// receive takes in a frame that the slot's worker has sent. It is called by the
// one goroutine that reads the slot, and waits only while a response's reader is
// behind. An error means that the worker does not keep to the protocol.
func (d *dispatcher) receive(s *slot, f psgi.Frame) error {
	switch f.Type {
	case psgi.TypeHead:
		return d.receiveHead(s, f)
	case psgi.TypeBody:
		return d.receiveBody(s, f)
	case psgi.TypeInfo:
		return d.receiveInfo(s, f)
	case psgi.TypeIdle:
		d.idle(s, f.ID, f.Flags)
		return nil
	}
	return fmt.Errorf("%w: type %d", psgi.ErrFrame, f.Type)
}

// lookup finds the call that a frame belongs to.
func (d *dispatcher) lookup(s *slot, id uint32) (*call, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := s.find(id); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w: no request %d was sent to this worker", psgi.ErrFrame, id)
}

// requestID is the name of the request with that number; if there is none, as for 0,
// that of the only one that can have begun; else "".
func (d *dispatcher) requestID(s *slot, id uint32) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, list := range [][]*call{s.sent, s.cleaning} {
		for _, c := range list {
			if c.id == id || len(s.sent)+len(s.cleaning) == 1 {
				return c.name
			}
		}
	}
	return ""
}

func (d *dispatcher) receiveHead(s *slot, f psgi.Frame) error {
	if isPage(f) {
		return d.receivePage(s, f)
	}
	head, err := f.Head()
	if err != nil {
		return err
	}
	c, err := d.lookup(s, f.ID)
	if err != nil {
		return err
	}
	if c.stream != nil {
		return fmt.Errorf("%w: a second head for request %d", psgi.ErrFrame, f.ID)
	}
	r := &psgi.Response{Status: head.Status, Header: head.Header, Worker: s.number, Generation: s.generation}
	r.Failed = f.Flags&psgi.FlagFailed != 0
	r.PID, r.AppTime = int(s.pid.Load()), head.AppTime

	if f.Flags&psgi.FlagEnd == 0 {
		d.mu.Lock()
		c.stream = newStream(c.ctx, s.dead, func() { d.abandon(c) })
		r.Body, r.Stream = c.stream, f.Flags&psgi.FlagStream != 0
		if s.threaded() {
			s.noteRead(c)
			c.stream.taken = func() { d.pieceTaken(s, c) }
		} else {
			d.hold(s)
		}
		d.feed()
		d.deliver(c, r, nil)
		d.mu.Unlock()
		c.stream.push(head.Body)
		return nil
	}

	err = d.takeFile(s, c, r, head)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finish(s, c, f.Flags, head.AppTime)
	d.deliver(c, r, err) // after it: who asks again at once finds the worker idle
	return nil
}

// deliver answers a call, unless its client has left: then nobody takes the
// response, and it is closed here.
func (d *dispatcher) deliver(c *call, r *psgi.Response, err error) {
	switch {
	case err != nil:
		c.answer(nil, err)
	case !c.abandoned:
		c.answer(r, nil)
	case c.stream != nil:
		close(c.stream.gone)
	default:
		_ = r.Body.Close()
	}
}

// takeFile opens the file that the worker holds open as its response's body, and
// lets it close its own.
func (d *dispatcher) takeFile(s *slot, c *call, r *psgi.Response, head psgi.Head) error {
	ref, err := head.FileRef()
	if err != nil {
		return err
	}
	if r.File, err = d.openFile(s, ref); err == nil {
		r.Body = fileBody{r.File}
	}
	_ = d.transmit(s, psgi.AppendFrame(nil, psgi.TypeAck, 0, c.id, nil)) // a dead worker needs none
	return err
}

// pieceTaken tells a worker with threads that a piece of its response has been
// taken. The thread sends on only then: what its reader is behind must not keep
// the slot's other responses from being read.
func (d *dispatcher) pieceTaken(s *slot, c *call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.find(c.id) == c {
		_ = d.transmit(s, psgi.AppendFrame(nil, psgi.TypeAck, 0, c.id, nil))
	}
}

// openWorkerFile opens what a worker of this user has open, by /proc. The runtime sends
// regular files only; what a worker sends nevertheless must not be waited for, as a FIFO.
func openWorkerFile(s *slot, ref psgi.FileRef) (*psgi.File, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/%d", s.pid.Load(), ref.FD), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the file that the app answered with: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.New("open the file that the app answered with: it is no regular file")
	}
	return &psgi.File{File: f, Offset: ref.Offset, Length: ref.Length}, nil
}

func (d *dispatcher) receiveBody(s *slot, f psgi.Frame) error {
	c, err := d.lookup(s, f.ID)
	if err != nil {
		return err
	}
	end := f.Flags&psgi.FlagEnd != 0
	if c.stream == nil && !end {
		return fmt.Errorf("%w: a body before its head for request %d", psgi.ErrFrame, f.ID)
	}
	if c.stream != nil {
		c.stream.push(f.Payload)
	}
	if !end {
		return nil
	}

	d.mu.Lock()
	d.finish(s, c, f.Flags, time.Since(s.since)) // the head told only when it began
	d.mu.Unlock()
	switch {
	case f.Flags&psgi.FlagAbort != 0:
		c.fail(psgi.ErrAborted)
	case c.stream != nil:
		c.stream.end(nil)
	default:
		c.fail(fmt.Errorf("%w: an end before its head for request %d", psgi.ErrFrame, f.ID))
	}
	return nil
}

func (d *dispatcher) receiveInfo(s *slot, f psgi.Frame) error {
	status, header, err := f.Info()
	if err != nil {
		return err
	}
	c, err := d.lookup(s, f.ID)
	if err != nil {
		return err
	}
	if c.inform != nil && c.stream == nil && c.ctx.Err() == nil {
		c.inform(status, header)
	}
	return nil
}

// finish takes a call off its worker, as its response is complete, and gives the
// worker more to do unless it says that it is still busy.
func (d *dispatcher) finish(s *slot, c *call, flags psgi.Flags, took time.Duration) {
	d.complete(s, c, flags, took, time.Now())
	d.feed()
}

func (d *dispatcher) complete(s *slot, c *call, flags psgi.Flags, took time.Duration, now time.Time) {
	s.noteRead(c)
	s.remove(c.id)
	s.learn(took)
	if flags&psgi.FlagCleanup == 0 {
		d.rest(s, flags, now)
		return
	}
	s.cleaning = append(s.cleaning, c)
	if !s.threaded() {
		d.hold(s)
	}
}

// idle notes that the cleanup handlers of a request are done.
func (d *dispatcher) idle(s *slot, id uint32, flags psgi.Flags) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.cleaning = slices.DeleteFunc(s.cleaning, func(c *call) bool { return c.id == id })
	d.rest(s, flags, time.Now())
	d.feed()
}

// rest makes a worker between two requests ready to be used, unless it says that it
// leaves.
func (d *dispatcher) rest(s *slot, flags psgi.Flags, now time.Time) {
	s.held = false
	if flags&psgi.FlagLeaving != 0 {
		s.ready = false
		d.hold(s)
		if s.threaded() {
			s.quit() // its other threads leave, too, after what they run
		}
	}
	if len(s.sent) > 0 && !s.threaded() {
		s.since = now
	}
	if i := slices.Index(d.slots, s); i > 0 {
		copy(d.slots[1:i+1], d.slots[:i])
		d.slots[0] = s
	}
}

// learn moves the estimate an eighth of the way to what a request took. It is to say
// what is usual: if now and then one is slow, or its worker had to wait for a
// processor, that is unusual, and counts as sixteen times the usual at most. More than
// one in sixteen make it grow for good.
func (s *dispatchState) learn(took time.Duration) {
	s.took += took
	took = min(took, longest, max(16*s.estimate, small))
	s.estimate += (took - s.estimate) / 8
}

// admit puts a worker that is ready to use; dead is closed when it has ended. For
// limit see limit.
func (d *dispatcher) admit(s *slot, dead <-chan struct{}, limit int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.dispatchState = dispatchState{ready: true, dead: dead, estimate: unknown, limit: limit}
	d.checkLimit(s)
	d.slots = append(d.slots, s)
	d.feed()
}

// withdraw sends nothing more to a slot. Its worker finishes what it has read. What
// it has only been sent it finishes, too, if it was sent as much as it may run, or
// all have been stopped and there is no other to do it.
func (d *dispatcher) withdraw(s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ready = false
	if !d.stopped && !s.exhausted() {
		d.hold(s)
		d.feed()
	}
}

// lost accounts for a worker that has ended: what it never read is run by
// another, what it was running is never run twice. It returns the ids of the
// requests that were lost. The slot's reader calls it, after the last frame.
func (d *dispatcher) lost(s *slot) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ready = false
	d.takeBack(s, true)
	var ids []string
	for _, c := range s.sent {
		if !c.abandoned {
			ids = append(ids, c.name)
		}
		c.fail(psgi.ErrWorkerDied)
	}
	s.sent, s.bytes, s.cleaning = nil, 0, nil
	if i := slices.Index(d.slots, s); i >= 0 {
		d.slots = slices.Delete(d.slots, i, i+1)
	}
	d.feed()
	return ids
}

// stop refuses what waits and whatever comes; what has been sent is finished.
func (d *dispatcher) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.timer != nil {
		d.timer.Stop()
	}
	for _, c := range d.waiting {
		c.answer(nil, psgi.ErrStopping)
	}
	d.waiting = nil
}
