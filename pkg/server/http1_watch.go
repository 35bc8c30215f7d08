package server

import (
	"errors"
	"os"
	"sync"
	"time"
)

// watchAfter is how long a request may run before its client is watched. Until then a
// client that leaves costs no more than an answer that nobody reads, and to watch costs
// more than most requests take.
const watchAfter = 10 * time.Millisecond

// watch notices that the client leaves while its request is run. It reads for that, as
// nothing else tells; what it reads of the next request goes into the connection's
// buffer, and then it does not notice any more.
type watch struct {
	since      time.Time // when the request began to run
	prev, next *watch    // of those that do not read yet, the ones that began before and after
	listed     bool
	conn       *http1Conn
	done       chan struct{} // closed when it ends to read; nil while it has not begun
}

// watches are those of an engine. One timer serves all that do not read yet, in the order
// in which they began: most requests end before it is their turn, and a timer of its own
// for each would wake the runtime again and again.
type watches struct {
	mu          sync.Mutex
	first, last *watch
	timer       *time.Timer // runs tick; nil before the first watch
	armed       bool        // the timer is set
}

// start has the client of c watched in a while. The request must have been read whole;
// until stop returns, c is not to be read from.
func (l *watches) start(c *http1Conn) {
	if c.pos < c.end {
		return // the next request is there already
	}
	c.letGo()
	w := &c.watch
	w.since, w.conn = time.Now(), c
	l.mu.Lock()
	defer l.mu.Unlock()
	w.prev, w.next, w.listed = l.last, nil, true
	if l.last = w; w.prev == nil {
		l.first = w
	} else {
		w.prev.next = w
	}
	if !l.armed {
		l.arm(watchAfter)
	}
}

func (l *watches) arm(after time.Duration) {
	l.armed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(after, l.tick)
	} else {
		l.timer.Reset(after)
	}
}

// stop returns when nothing watches c.
func (l *watches) stop(c *http1Conn) {
	w := &c.watch
	l.mu.Lock()
	l.unlist(w)
	done := w.done
	if w.done = nil; done != nil {
		c.deadlines.arm(c, longAgo)
	}
	l.mu.Unlock()
	if done != nil {
		<-done
	}
}

// unlist takes a watch off that is not to read.
func (l *watches) unlist(w *watch) {
	if !w.listed {
		return
	}
	w.listed = false
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// tick has those read whose time has come.
func (l *watches) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	for now := time.Now(); l.first != nil; {
		w := l.first
		if left := watchAfter - now.Sub(w.since); left > 0 {
			l.arm(left)
			return
		}
		l.unlist(w)
		w.done = make(chan struct{})
		w.conn.deadlines.arm(w.conn, time.Time{})
		go w.conn.watchClient(w.done) // ends when the client does something, or with stop
	}
}

// watchClient reads until the client sends something or leaves, or until it is stopped.
func (c *http1Conn) watchClient(done chan<- struct{}) {
	defer close(done)
	n, err := c.readInto(nil)
	if c.end += n; n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.cancel()
	}
}
