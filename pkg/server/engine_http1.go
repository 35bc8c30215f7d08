package server

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
)

// http1 is the server's own engine for HTTP/1: a goroutine for each connection, which
// reads a request, has it served and writes the response, in one place and in that
// order. The guard is its only reader of framing.
type http1 struct {
	roster

	server  *Server
	base    context.Context // of all connections
	cut     context.CancelFunc
	watches watches

	accepting context.Context // ends when the server begins to stop
	stop      context.CancelFunc
}

func newHTTP1(s *Server) *http1 {
	e := &http1{server: s}
	e.base, e.cut = context.WithCancel(context.Background())
	e.accepting, e.stop = context.WithCancel(e.base)
	return e
}

func (e *http1) serve(l net.Listener) error {
	if !e.open(l) {
		return nil
	}
	defer e.close(l)
	var pause time.Duration
	for {
		inner, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			if set := e.server.settings.Load(); e.admits(set.most) {
				e.accept(inner, introduces(l))
			} else {
				e.turnAway(inner, set)
			}
		case !passes(err):
			_ = l.Close()
			return err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			e.server.settings.Load().Log.Warn("connection not accepted: trying again",
				zap.Stringer("address", l.Addr()), zap.Error(err), zap.Duration("after", pause))
			select { // nothing announces that descriptors are there again
			case <-time.After(pause):
			case <-e.accepting.Done():
			}
		}
	}
}

// passes reports whether a failure to accept is one of a moment: a client that left at
// once, or no descriptors or memory.
func passes(err error) bool {
	var failure net.Error
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &failure) && failure.Temporary() //nolint:staticcheck // what it says of other errors does not matter for these
}

// accept starts to serve a connection.
func (e *http1) accept(inner net.Conn, introduces bool) {
	c := &http1Conn{
		link:   link{Conn: inner, settings: e.server.settings.Load, accepted: time.Now(), introduces: introduces},
		engine: e,
	}
	c.x.asked.scheme = "http"
	c.leave = func() { e.leave(c) }
	e.goroutines.Add(1)
	e.enter(c)
	go func() { // ends with the connection
		defer e.goroutines.Done()
		c.run()
	}()
}

func (e *http1) shutdown(ctx context.Context) error {
	e.stop()
	return e.roster.shutdown(ctx, func() {
		e.cut()
		e.eachPeer(peer.cut)
	})
}
