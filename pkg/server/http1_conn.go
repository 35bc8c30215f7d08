package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"
)

// http1Conn is a connection of the engine http1.
//
// Its own goroutine does everything, but for one thing: a request that runs for a while
// is watched by another, which alone reads then.
type http1Conn struct {
	link
	engine *http1

	ctx    context.Context // of the requests; ends when the client leaves; nil before the first
	cancel context.CancelFunc

	guard     guard
	buf       []byte // from the pool while there is something in it
	pos, end  int    // buf[pos:end] has been read from the client, and not yet followed by the guard
	deadlines deadlines
	watch     watch
	socket    socket
	x         http1Exchange
}

var writeBuffers = sync.Pool{New: func() any { return new([gather]byte) }}

// run serves the connection to its end.
func (c *http1Conn) run() {
	defer c.finish()
	c.prepare()
	defer func() {
		if r := recover(); r != nil {
			c.broken.Store(true)
			c.settings().Log.Error("panic in a connection", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	if !c.introduce() { // a header comes before all else, a handshake too
		return
	}
	for {
		if err := c.readHead(); err != nil {
			c.leaveOff(err)
			return
		}
		if !c.exchange() {
			return
		}
		c.release()
		c.x.forget()
		if c.open.Add(-1); !c.rest() {
			return
		}
	}
}

// leaveOff does what is left to do after a head could not be read: nothing, if the client
// has left, or nothing more came.
func (c *http1Conn) leaveOff(err error) {
	var other *beganHTTP2
	switch {
	case errors.As(err, &other):
		c.moveToHTTP2(other.early)
	case c.guard.err != nil:
		c.refuse()
	}
}

// finish lets go of everything.
func (c *http1Conn) finish() {
	if c.cancel != nil {
		c.cancel()
	}
	c.engine.watches.stop(c) // runs still when there was a panic
	c.release()
	_ = c.Close()
}

// rest is the state between two requests; false: the server has closed the connection.
func (c *http1Conn) rest() bool {
	return c.pos < c.end || // the next one has begun to arrive
		c.phase.CompareAndSwap(engaged, waiting)
}

// readHead reads a request's head and parses it into c.x.asked. If the guard has
// refused it, c.guard.err says why; any other error is the end of the connection.
func (c *http1Conn) readHead() error {
	var before []byte   // what of the head has gone from the buffer
	var until time.Time // when it must be complete
	begun := false
	for {
		if c.guard.atHead() {
			c.guard.limit = c.settings().MaxHeaderBytes
		}
		head := c.scanHead()
		switch {
		case c.guard.err != nil:
			if early := c.preface(before, head); early != nil {
				return &beganHTTP2{early}
			}
			return c.guard.err
		case !c.guard.atHead() || c.open.Load() > 0:
			if !c.engage() {
				return net.ErrClosed
			}
		}
		if c.open.Load() > 0 {
			c.x.parseHead(headText(before, head))
			return nil
		}
		before = append(before, head...)
		c.letGo()
		if c.guard.atHead() {
			c.phase.CompareAndSwap(engaged, waiting) // there was but an empty line behind a request
		}
		if !begun {
			now := time.Now()
			c.idles(now)
			begun, until = c.guard.midHead(), since(now, c.patience())
		}
		c.deadlines.read(c, until)
		if err := c.fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && c.guard.midHead() {
				c.guard.refuse(errSilence, "in a request's head")
			}
			return err
		}
	}
}

// patience returns how long the client may be silent now: it has one time for a head
// that has begun, and one to begin it. Zero is forever.
func (c *http1Conn) patience() time.Duration {
	set := c.settings()
	if c.served.Load() > 0 && !c.guard.midHead() {
		return set.KeepaliveTimeout
	}
	return set.headerTimeout
}

// headText makes one string of the parts of a head.
func headText(before, rest []byte) string {
	if len(before) == 0 {
		return string(rest)
	}
	return string(append(before, rest...))
}

// scanHead has the guard follow what is in the buffer to the end of a head, or as far
// as it goes, and returns that. A head that is complete is counted in c.open.
func (c *http1Conn) scanHead() []byte {
	start, heads := c.pos, c.guard.heads
	for c.pos < c.end && c.guard.err == nil && c.guard.heads == heads {
		n, drop := c.guard.step(c.buf[c.pos:c.end])
		if c.pos += n; drop {
			start = c.pos
		}
	}
	if c.guard.heads > heads {
		c.open.Add(1)
	}
	return c.buf[start:c.pos]
}

// fill waits for something from the client and reads it into the free part of the
// buffer.
func (c *http1Conn) fill() error {
	n, err := c.receive(nil)
	if c.end += n; n > 0 {
		return nil
	}
	return err
}

// outgoing returns an empty buffer for a response.
func (c *http1Conn) outgoing() []byte {
	if c.x.out != nil {
		return c.x.out[:0]
	}
	array, _ := writeBuffers.Get().(*[gather]byte)
	return array[:0]
}

// release gives back the buffers with nothing in them.
func (c *http1Conn) release() {
	if cap(c.x.out) == gather {
		writeBuffers.Put((*[gather]byte)(c.x.out[:gather]))
	}
	c.x.out = nil
	c.letGo()
}

// exchange has the request that has been read served. It returns false if the
// connection ends with it.
func (c *http1Conn) exchange() bool {
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(c.engine.base)
		c.x.asked.endpoints = c.ends()
	}
	set := c.settings()
	c.served.Add(1)
	x := &c.x
	x.start(c, set)
	whole := c.engine.server.serve(c.ctx, set, x)
	c.engine.watches.stop(c)
	switch {
	case !whole:
		if x.endless || c.secured != nil {
			c.reset()
		}
		return false
	case x.complete() != nil:
		c.broken.Store(true)
		return false
	case x.unread, !x.keep && c.hasInput():
		c.linger()
		return false
	}
	return x.keep
}

// refuse answers a request that could not be read.
func (c *http1Conn) refuse() {
	set, err := c.settings(), c.guard.err
	set.Log.Debug("request refused",
		zap.Stringer("remote", c.client()), zap.Int("status", statusOf(err)), zap.Error(err))
	set.access.refused(c.client(), statusOf(err), len(outcomeOf(err).text()))
	c.deadlines.write(c, set.Timeout)
	if _, err := c.send(refusal(err, set.ServerSoftware)); err == nil {
		c.linger()
	}
}

// linger holds the connection open for the client to read what it was sent last, while
// more comes from it that nobody reads: closing it then throws away what is on its way.
func (c *http1Conn) linger() {
	if c.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(linger))
	_, _ = io.Copy(io.Discard, c.Conn)
}
