package supervisor

import (
	"context"
	"io"
	"math"
	"sync"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// call is a request on its way through the dispatcher.
type call struct {
	id       uint32
	name     string                 // the request's own id, for the log
	line     string                 // method and path, for the log
	inform   func(int, psgi.Header) // the request's; nil drops them
	frame    []byte                 // packed; kept while it may have to be sent again
	arrived  time.Time
	ctx      context.Context // the client's; only its end is looked at
	answered chan answer     // capacity one: the first answer counts

	// Guarded by dispatcher.mu.
	slot      *slot     // where it was sent; nil while it waits
	unread    bool      // the worker may not have read it; only kept of slots with threads
	sent      time.Time // when it was sent to a thread
	abandoned bool      // nobody wants the answer any more
	told      bool      // that it is slow has been logged

	// stream is the body of a response that comes in pieces. It belongs to the
	// goroutine that reads the slot.
	stream *stream
}

// newCall makes a call, of the memory of one that is over if there is one.
func (d *dispatcher) newCall(ctx context.Context, r *psgi.Request) (*call, error) {
	c, ok := d.calls.Get().(*call)
	if !ok {
		c = &call{answered: make(chan answer, 1)}
	}
	c.id, c.ctx = d.lastID.Add(1), ctx
	c.name, c.line, c.inform = r.ID, r.Line, r.Inform
	var err error
	c.frame, err = psgi.AppendRequest(c.frame, c.id, r)
	return c, err
}

// recycle keeps the memory of a call that is over for another one.
func (d *dispatcher) recycle(c *call) {
	frame := c.frame[:0]
	if cap(frame) > keepMost {
		frame = nil
	}
	*c = call{frame: frame, answered: c.answered}
	d.calls.Put(c)
}

type answer struct {
	response *psgi.Response
	err      error
	over     bool // the dispatcher has forgotten the call: its memory may be used for another
}

// after reports whether c came later than other. Numbers wrap around.
func (c *call) after(other *call) bool { return int32(c.id-other.id) > 0 }

// answer is called by who took the call off the queue or off the slot. Only a call
// that overran is answered before that: what comes then is for nobody.
func (c *call) answer(r *psgi.Response, err error) { c.settle(answer{response: r, err: err}) }

func (c *call) settle(a answer) {
	select {
	case c.answered <- a:
	default:
	}
}

// fail ends a call whose worker is gone or has broken off.
func (c *call) fail(err error) {
	if c.stream != nil {
		c.stream.end(err)
		return
	}
	c.answer(nil, err)
}

// fileBody has no pieces: the response carries the file. Closing closes it.
type fileBody struct{ io.Closer }

func (fileBody) Next() ([]byte, error) { return nil, io.EOF }

// streamDepth is how many pieces of a response wait in memory for a client that
// is slower than the app, before the worker has to wait, too. A piece has up to
// 128 KiB. A worker with threads waits by itself (Thralld::Threads, WINDOW).
const streamDepth = 4

// stream is a body that comes in pieces: written by the goroutine that reads the
// slot, read by the caller of Call.
type stream struct {
	ctx  context.Context
	dead <-chan struct{} // closed when the worker has ended

	mu     sync.Mutex
	pieces [][]byte
	err    error // what Next returns after the last piece

	more  chan struct{} // capacity one: there is a piece, or the end
	space chan struct{} // capacity one: there is room

	taken     func() // called when the reader has taken a piece; nil: nobody counts
	closeOnce sync.Once
	gone      chan struct{} // closed when the reader has left
	abandon   func()        // tells the dispatcher that it has
}

func newStream(ctx context.Context, dead <-chan struct{}, abandon func()) *stream {
	return &stream{
		ctx: ctx, dead: dead, abandon: abandon,
		more: make(chan struct{}, 1), space: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push hands a piece on, waiting while the reader is behind. What a dead worker
// has left, at most a socket's buffer, is taken in at once: its slot is needed.
func (s *stream) push(piece []byte) {
	if len(piece) == 0 {
		return
	}
	piece = append([]byte(nil), piece...)
	for !s.put(piece, streamDepth) {
		select {
		case <-s.space:
		case <-s.dead:
			s.put(piece, math.MaxInt)
			return
		case <-s.gone:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *stream) put(piece []byte, depth int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pieces) >= depth {
		return false
	}
	s.pieces = append(s.pieces, piece)
	wake(s.more)
	return true
}

// end closes the writing side. A nil err is a clean end.
func (s *stream) end(err error) {
	if err == nil {
		err = io.EOF
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil { // the first reason is the true one
		s.err = err
	}
	wake(s.more)
}

func (s *stream) Next() ([]byte, error) {
	for {
		piece, err := s.take()
		if piece != nil && s.taken != nil {
			s.taken()
		}
		if piece != nil || err != nil {
			return piece, err
		}
		select {
		case <-s.more:
		case <-s.gone:
			return nil, io.ErrClosedPipe
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		}
	}
}

func (s *stream) take() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pieces) == 0 {
		return nil, s.err
	}
	piece := s.pieces[0]
	s.pieces[0] = nil // its memory may be needed while a slow client keeps the stream
	s.pieces = s.pieces[1:]
	wake(s.space)
	return piece, nil
}

func (s *stream) Close() error {
	s.closeOnce.Do(func() {
		close(s.gone)
		s.abandon()
	})
	return nil
}
