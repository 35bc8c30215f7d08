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
	mu    sync.Mutex
	timer *time.Timer // nil before the first request that needs one
	armed bool
	done  chan struct{} // closed at its end; nil while it does not run
}

// start has the client of c watched in a while. The request must have been read whole;
// until stop returns, c is not to be read from.
func (w *watch) start(c *http1Conn) {
	if c.pos < c.end {
		return // the next request is there already
	}
	c.letGo()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(watchAfter, func() { w.run(c) })
	} else {
		w.timer.Reset(watchAfter)
	}
}

// stop returns when nothing watches c.
func (w *watch) stop(c *http1Conn) {
	w.mu.Lock()
	done := w.done
	if w.armed {
		w.armed = false
		w.timer.Stop()
	}
	if done != nil {
		c.deadlines.arm(c, longAgo)
	}
	w.done = nil
	w.mu.Unlock()
	if done != nil {
		<-done
	}
}

// run watches.
func (w *watch) run(c *http1Conn) {
	w.mu.Lock()
	if !w.armed {
		w.mu.Unlock()
		return
	}
	w.armed = false
	done := make(chan struct{})
	w.done = done
	c.deadlines.arm(c, time.Time{})
	w.mu.Unlock()

	defer close(done)
	n, err := c.readInto(nil)
	if c.end += n; n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.cancel()
	}
}
