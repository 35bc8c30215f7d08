package server

import (
	"errors"
	"strings"
	"time"
)

// preface is how a client begins that speaks HTTP/2 without being asked (RFC 9113, 3.4),
// up to where it stops looking like a request of HTTP/1.
const preface = "PRI * HTTP/2.0"

// beganHTTP2 is the error of a connection that begins with HTTP/2.
type beganHTTP2 struct{ early []byte }

func (*beganHTTP2) Error() string { return "the client speaks HTTP/2" }

// preface returns all that has been read, if the guard has refused it for being HTTP/2 and
// it may be that; else nil. before and head are what it has let through.
func (c *http1Conn) preface(before, head []byte) []byte {
	first := c.served.Load() == 0 && c.guard.blank == 0
	if !first || c.secured != nil || !errors.Is(c.guard.err, errVersion) || !c.settings().H2C {
		return nil
	}
	early := append(append(before, head...), c.buf[c.pos:c.end]...)
	if !strings.HasPrefix(string(early), preface) {
		return nil
	}
	return early
}

// moveToHTTP2 hands the connection over.
func (c *http1Conn) moveToHTTP2(early []byte) {
	c.engine.http2.take(incoming{conn: c.Conn, since: c.accepted, early: early, told: c.told})
	if c.phase.Swap(closed) != closed { // it is not closed, but no affair of this engine's any more
		c.leave()
	}
}

// prefaced is a connection of which is not known yet whether it begins with HTTP/2, where
// the engine cannot tell by itself.
type prefaced struct {
	link
	early []byte // what has been read
}

// isHTTP2 reads as much as it takes to know, before a time.
func (p *prefaced) isHTTP2(until time.Time) bool {
	_ = p.SetReadDeadline(until)
	var room [len(preface)]byte
	for len(p.early) < len(preface) {
		n, err := p.Read(room[len(p.early):])
		p.early = room[:len(p.early)+n]
		if err != nil || !strings.HasPrefix(preface, string(p.early)) {
			return false
		}
	}
	return true
}
