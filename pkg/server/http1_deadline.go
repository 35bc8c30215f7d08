package server

import (
	"errors"
	"net"
	"os"
	"time"
)

// deadlines are those of a connection. To set one costs as much as to read a small
// request, and a busy connection would have one for each.
type deadlines struct {
	// until is when the client will have been silent for too long; zero is never.
	// armed is the deadline that the connection has. It may be the earlier one: it
	// passes, and then the time that is left is set.
	until, armed time.Time
	// writing is the deadline for writes. It may be a little late.
	writing time.Time
}

// read sets how long the coming reads may take; zero is forever.
func (d *deadlines) read(c *http1Conn, until time.Time) {
	d.until = until
	if !until.IsZero() && (d.armed.IsZero() || d.armed.After(until)) {
		d.arm(c, until)
	}
}

func (d *deadlines) arm(c *http1Conn, at time.Time) {
	d.armed = at
	_ = c.SetReadDeadline(at)
}

// write sets how long the coming write may take: within, or a little more; zero is
// forever. It returns the time.
func (d *deadlines) write(c *http1Conn, within time.Duration) (now time.Time) {
	slack := min(within/8, time.Second)
	now = time.Now()
	left := d.writing.Sub(now)
	switch {
	case within <= 0 && d.writing.IsZero(), within > 0 && left >= within && left <= within+slack:
		return now
	case within <= 0:
		d.writing = time.Time{}
	default:
		d.writing = now.Add(within + slack)
	}
	_ = c.SetWriteDeadline(d.writing)
	return now
}

// receive reads from the client into p, or into the free part of the connection's buffer
// if p is nil. Once the server stops it fails on a connection that carries no request.
func (c *http1Conn) receive(p []byte) (int, error) {
	for {
		if c.engine.closing.Load() && c.idle() && !c.isFresh() && !c.hasInput() {
			return c.decrypted(p)
		}
		n, err := c.readInto(p)
		d := &c.deadlines
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !d.until.IsZero() && !time.Now().Before(d.until) {
			return n, err
		}
		d.arm(c, d.until)
	}
}

// decrypted reads what TLS has taken from the kernel and nobody has read. If that is
// nothing, as it is without TLS, the connection has ended.
func (c *http1Conn) decrypted(p []byte) (int, error) {
	if c.secured != nil {
		c.deadlines.arm(c, longAgo)
		if n, _ := c.readInto(p); n > 0 {
			return n, nil
		}
	}
	return 0, net.ErrClosed
}

// idle reports whether the connection carries no request, not even the first byte of one.
func (c *http1Conn) idle() bool { return c.open.Load() == 0 && c.guard.atHead() }
