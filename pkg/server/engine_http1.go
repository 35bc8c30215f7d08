package server

import (
	"context"
	"net"
)

// http1 is the server's own engine for HTTP/1: a goroutine for each connection, which
// reads a request, has it served and writes the response, in one place and in that
// order. The guard is its only reader of framing.
type http1 struct {
	roster

	server  *Server
	http2   *http2
	base    context.Context // of all connections
	cut     context.CancelFunc
	watches watches
}

func newHTTP1(s *Server) *http1 {
	e := &http1{server: s, roster: roster{stopping: make(chan struct{})}}
	e.base, e.cut = context.WithCancel(context.Background())
	e.http2 = newHTTP2(s, &e.roster)
	return e
}

func (e *http1) serve(l net.Listener) error { return e.acceptAll(l, e.server, e.accept) }

// accept starts to serve a connection.
func (e *http1) accept(in incoming, set *settings) {
	e.goroutines.Add(1)
	if in.secure {
		go e.welcome(arrive(&e.roster, e.server, in, set)) // ends with the connection
		return
	}
	c := e.newConn(in)
	go e.run(c) // ends with the connection
}

// newConn makes a connection that has yet to be run.
func (e *http1) newConn(in incoming) *http1Conn {
	c := &http1Conn{
		link:   in.link(e.server),
		engine: e,
	}
	c.x.asked.scheme, c.x.asked.encryption = in.secured.tell()
	c.leave = func() { e.leave(c) }
	e.enter(c)
	return c
}

// welcome makes the handshake of TLS, in which the client chooses the version of HTTP.
func (e *http1) welcome(a *arrival) {
	if !a.introduced() || a.shakeHands() != nil {
		e.goroutines.Done()
		return
	}
	if in := a.done(); in.secured.choseHTTP2() {
		e.http2.take(in)
		a.handOver()
		e.goroutines.Done()
	} else {
		c := e.newConn(in)
		a.handOver()
		e.run(c)
	}
}

func (e *http1) run(c *http1Conn) {
	defer e.goroutines.Done()
	c.run()
}

func (e *http1) shutdown(ctx context.Context) error {
	return e.roster.shutdown(ctx, e.http2.announce, func() {
		e.cut()
		e.eachPeer(peer.cut)
	})
}
