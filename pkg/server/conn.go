package server

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// window is how much is written under one deadline, in bytes: small enough
	// that a slow client which does read gets through it, and large enough that
	// the deadlines cost nothing.
	window = 256 << 10
	// linger is how long a connection is held open after a refusal, for the
	// client to read it: closing earlier, with bytes of its own still on the
	// way, makes its kernel throw the refusal away.
	linger = 500 * time.Millisecond
	// headGrace is how long a head that has begun to arrive, or the first one on a
	// connection that has just been accepted, is waited for when the server stops.
	headGrace = time.Second
	// informPatience bounds what an informational response may wait for a client.
	informPatience = time.Second
)

// conn is a client's connection as net/http sees it: what it reads has passed the
// guard, every write has a deadline of its own, and what net/http would answer to
// a malformed request is replaced by the server's own refusal.
//
// When the guard refuses, net/http first gets all the bytes before the offending
// one, and then a few that it is certain to refuse. So it answers the requests
// before the bad one, in order, and its habit of reading one byte ahead while a
// request runs cannot fail that request because of the next one.
type conn struct {
	link
	endpoints  *endpoints // nil before the first request
	scheme     string
	encryption *encryption
	closing    *atomic.Bool // the engine's

	// These are touched only by Read, which net/http never calls twice at once.
	early   []byte // has been read already
	guard   guard
	poison  string    // what is left of the bytes to be refused
	timed   bool      // headEnd is set
	headEnd time.Time // when the head that has begun must be there; zero is never

	pace pace // of the client that is written to

	running atomic.Bool // a request is with the server: writes are its response
}

// Read reads what the guard lets through.
func (c *conn) Read(p []byte) (int, error) {
	if !c.introduce() {
		_ = c.Close()
		return 0, io.EOF
	}
	for c.guard.err == nil {
		c.await()
		if c.closing.Load() && c.idle() && len(c.early) == 0 && !c.isFresh() && !c.hasInput() {
			if c.secured == nil {
				return 0, io.EOF
			}
			_ = c.SetReadDeadline(longAgo) // for what TLS has taken from the kernel
		}
		n, err := c.fetch(p)
		if c.guard.atHead() {
			c.guard.limit = c.settings().MaxHeaderBytes
		}
		before := c.guard.heads
		n = c.guard.scan(p[:n])
		if heads := c.guard.heads - before; heads > 0 {
			c.open.Add(int32(heads))
			c.timed = false
		}
		switch {
		case c.guard.err != nil:
			c.poison = c.guard.poison()
		case err != nil && n == 0:
			if c.closing.Load() && c.idle() && errors.Is(err, os.ErrDeadlineExceeded) {
				if c.secured != nil && !c.isFresh() && !c.hasInput() {
					return 0, io.EOF // and TLS has nothing, either
				}
				continue // woken by closeWaiting
			}
			if !c.silent(err) {
				return 0, err
			}
			c.guard.refuse(errSilence, "in a request's head")
			c.poison = c.guard.poison()
		}
		if n == 0 {
			continue // nothing, or empty lines
		}
		if !c.engage() {
			return 0, net.ErrClosed
		}
		return n, nil
	}
	if c.poison == "" {
		return 0, io.EOF
	}
	n := copy(p, c.poison)
	c.poison = c.poison[n:]
	return n, nil
}

// fetch reads what the client has sent.
func (c *conn) fetch(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// await gives the coming read the time that a client has to begin a request, or to
// end the head that it has begun. While a request is open it changes nothing: then
// deadlines are set by the exchange and by net/http, which takes this one off when it
// has read the head.
func (c *conn) await() {
	if c.open.Load() > 0 {
		return
	}
	set := c.settings()
	var until time.Time
	switch {
	case c.guard.midHead():
		if !c.timed {
			c.timed, c.headEnd = true, after(set.headerTimeout)
		}
		until = c.headEnd
	case c.served.Load() > 0:
		until = after(set.KeepaliveTimeout)
	default:
		until = after(set.headerTimeout)
	}
	_ = c.SetReadDeadline(until)
}

// silent reports whether a read has failed because the client stopped in the
// middle of a head. While a request is open, net/http breaks off its reading
// ahead with a deadline in the past, and that is not the client's doing.
func (c *conn) silent(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && c.guard.midHead() && c.open.Load() == 0
}

// idle reports whether the connection carries no request, not even the first byte of one.
func (c *conn) idle() bool { return c.open.Load() == 0 && c.guard.atHead() }

// Write writes a piece of a response. While no request is with the server, it is
// net/http refusing one.
func (c *conn) Write(p []byte) (int, error) {
	if !c.running.Load() {
		return len(p), c.refuse(p)
	}
	return c.write(p)
}

func (c *conn) write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		began := c.patiently()
		k, err = c.Conn.Write(p[n:min(len(p), n+window)])
		if n += k; c.pace.again(&c.link, time.Since(began), int64(k), err) {
			err = nil
		}
	}
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

// patiently sets how long the client may take for the coming write, and returns the time.
func (c *conn) patiently() (now time.Time) {
	now = time.Now()
	if within := c.pace.slice(&c.link); within > 0 {
		_ = c.SetWriteDeadline(now.Add(within))
	}
	return now
}

// ReadFrom lets the kernel copy a file to the client where it can.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	type plain struct{ io.Writer }
	from, ok := c.Conn.(io.ReaderFrom)
	file, limited := r.(*io.LimitedReader)
	if !ok || !limited {
		return io.Copy(plain{c}, r)
	}
	for file.N > 0 && err == nil {
		part := io.LimitedReader{R: file.R, N: min(file.N, window)}
		var k int64
		began := c.patiently()
		k, err = from.ReadFrom(&part)
		n += k
		file.N -= k
		switch {
		case c.pace.again(&c.link, time.Since(began), k, err):
			err = nil
		case k == 0:
			return n, err
		}
	}
	return n, err
}

// refuse answers in net/http's place.
func (c *conn) refuse(instead []byte) error {
	err := c.guard.err
	if err == nil || c.open.Load() > 0 { // the guard's is of a later request
		err = refusedBy(instead)
	}
	set := c.settings()
	set.Log.Debug("request refused",
		zap.Stringer("remote", c.client()), zap.Int("status", statusOf(err)), zap.Error(err))
	c.pace = newPace(set)
	set.access.refused(c.client(), statusOf(err), len(outcomeOf(err).text()))
	if _, err := c.write(refusal(err, set.ServerSoftware)); err != nil {
		return err
	}
	if c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, c.Conn)
	}
	return nil
}

// answered notes that the response to a request has been sent whole. No read runs
// then.
func (c *conn) answered() {
	c.running.Store(false)
	c.idles(time.Now())
	if c.open.Add(-1) == 0 && !c.guard.midHead() && c.guard.err == nil {
		c.phase.CompareAndSwap(engaged, waiting)
	}
}
