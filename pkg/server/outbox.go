package server

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

const (
	// behindAfter is how long a write has to wait before the client counts as slow. Most
	// that have to wait at all wait for less, and cost nothing more than that.
	behindAfter = 20 * time.Millisecond
	// outboxMemory is how much of a response waits in memory for a slow client, in
	// bytes; what is more goes into a file. A lone piece may be larger.
	outboxMemory = 64 << 10
	// outboxPiece is how much is read from that file at a time, in bytes.
	outboxPiece = 32 << 10
)

// outbox is a body that comes in pieces, on its way to a client that may be slow. As long
// as the client keeps up it only passes them on. When a write has waited for behindAfter,
// it begins to take the pieces at the speed of the app, so that the worker is free, and
// keeps them for the client: in memory, then in a file. When there is no room for them it
// takes no more than the client, and the worker waits.
type outbox struct {
	body    psgi.Body
	store   *store
	closing sync.Once   // of body
	timer   *time.Timer // runs takeOver while a write waits; nil before the first

	mu      sync.Mutex
	writing bool
	ended   bool          // nobody reads any more
	taking  bool          // takeOver has begun: pieces come from here
	done    chan struct{} // closed when it has ended
	more    chan struct{} // capacity one: there is something to read, or the end
	drained chan struct{} // capacity one: all that there was has been read

	memory, given []byte // what came first, and the piece that the reader has
	file          *os.File
	read, written int64 // bytes of file
	buf           []byte
	err           error // what follows; nil: not known yet
	failed        error // the file has
	held          bool  // the worker has had to wait
}

func newOutbox(body psgi.Body, s *store) *outbox { return &outbox{body: body, store: s} }

// begin notes that a write to the client begins, and end that it has ended.
func (o *outbox) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taking {
		return
	}
	o.writing = true
	if o.timer == nil {
		o.timer = time.AfterFunc(behindAfter, o.takeOver) // ends with the body, or when it is closed
	} else {
		o.timer.Reset(behindAfter)
	}
}

func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing = false; !o.taking {
		o.timer.Stop()
	}
}

// takeOver takes what the app has to send, to the end.
func (o *outbox) takeOver() {
	o.mu.Lock()
	if !o.writing || o.ended || o.taking {
		o.mu.Unlock()
		return
	}
	o.taking = true
	o.done, o.more, o.drained = make(chan struct{}), make(chan struct{}, 1), make(chan struct{}, 1)
	o.mu.Unlock()

	defer close(o.done)
	err := o.takeAll()
	o.closeBody() // the worker, and what the request holds, are free while the client still reads
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	signal(o.more)
}

// takeAll returns what ended the body: io.EOF if it is complete.
func (o *outbox) takeAll() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	for err == nil {
		var piece []byte
		if piece, err = o.body.Next(); len(piece) > 0 {
			if failed := o.put(piece); failed != nil {
				return failed
			}
		}
	}
	return err
}

// put keeps a piece. It waits while there is no room for it.
func (o *outbox) put(piece []byte) error {
	waits := false
	defer func() {
		if waits {
			o.store.release()
		}
	}()
	for {
		kept, room, err := o.keep(piece)
		if kept || err != nil {
			return err
		}
		if !waits {
			waits = true
			o.store.hold(!o.held)
			o.held = true
		}
		select {
		case <-room:
		case <-o.drained:
		}
	}
}

// keep keeps a piece, or returns what is closed when there may be room for it.
func (o *outbox) keep(piece []byte) (kept bool, room <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false, nil, errClientLeft
	}
	inMemory := o.read == o.written && len(o.memory)+len(piece) <= outboxMemory
	if !inMemory {
		if room = o.store.reserve(int64(len(piece))); room != nil && len(o.memory)+int(o.written) > 0 {
			return false, room, nil
		}
		inMemory = room != nil // there is always room for a lone piece
	}
	if inMemory {
		o.memory = append(o.memory, piece...)
	} else if err := o.spool(piece); err != nil {
		o.failed = fmt.Errorf("spool response: %w", err)
		return false, nil, o.failed
	}
	signal(o.more)
	return true, nil, nil
}

// spool writes a piece that room is reserved for.
func (o *outbox) spool(piece []byte) (err error) {
	at := o.written
	o.written += int64(len(piece))
	if o.file == nil {
		if o.file, err = o.store.create(); err != nil {
			return err
		}
	}
	_, err = o.file.WriteAt(piece, at)
	return err
}

// Next returns what the client is to be sent next.
func (o *outbox) Next() ([]byte, error) {
	o.mu.Lock()
	taking := o.taking // which begins only during a write
	o.mu.Unlock()
	if !taking {
		return o.body.Next()
	}
	for {
		piece, more, err := o.next()
		if more == nil {
			return piece, err
		}
		<-more
	}
}

// next returns a piece, or the end, or what tells that there is one of them.
func (o *outbox) next() (piece []byte, more <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.failed != nil: // what has been kept is of no use without the rest
		return nil, nil, o.failed
	case len(o.memory) > 0:
		o.memory, o.given = o.given[:0], o.memory
		signal(o.drained)
		return o.given, nil, nil
	case o.read < o.written:
		piece, err = o.unspool()
		return piece, nil, err
	case o.err != nil:
		return nil, nil, o.err
	}
	return nil, o.more, nil
}

// unspool reads on in the file. When all has been read the file is empty again.
func (o *outbox) unspool() ([]byte, error) {
	if o.buf == nil {
		o.buf = make([]byte, outboxPiece)
	}
	piece := o.buf[:min(outboxPiece, o.written-o.read)]
	if _, err := o.file.ReadAt(piece, o.read); err != nil {
		return nil, fmt.Errorf("read spooled response: %w", err)
	}
	if o.read += int64(len(piece)); o.read < o.written {
		return piece, nil
	}
	if err := o.file.Truncate(0); err != nil {
		return nil, fmt.Errorf("empty spooled response: %w", err)
	}
	o.store.free(o.written)
	o.read, o.written = 0, 0
	signal(o.drained)
	return piece, nil
}

func (o *outbox) closeBody() { o.closing.Do(func() { _ = o.body.Close() }) }

// Close ends everything at once. It returns when nothing uses the body any more.
func (o *outbox) Close() error {
	o.mu.Lock()
	if o.ended = true; o.timer != nil {
		o.timer.Stop()
	}
	taking := o.taking
	o.mu.Unlock()
	o.closeBody()
	if !taking {
		return nil
	}
	signal(o.drained)
	<-o.done
	o.store.free(o.written)
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
