package server

import (
	"bytes"
	"context"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// mostStreams is how many requests an HTTP/2 connection may have under way. A client that
// gives up its requests as fast as it sends them ("rapid reset") gets no more than these
// run, and is cut off when four times as many wait.
const mostStreams = 250

// http2 serves the connections that speak HTTP/2, for either engine, by Go's net/http.
//
// An http.Server cannot change its limits while it serves, so each set of limits has one
// of its own: connections keep what they began with.
type http2 struct {
	server *Server
	roster *roster

	mu      sync.Mutex
	newest  *http2Server
	all     map[*http2Server]struct{} // that have connections, or are the newest
	stopped bool
}

// http2Limits are those that a connection keeps.
type http2Limits struct {
	timeout, keepalive time.Duration
	header             int
}

// http2Server is an http.Server that is handed its connections.
type http2Server struct {
	http   *http.Server
	limits http2Limits
	feed   *handoff
	conns  int // guarded by http2.mu
}

// http2Conn is a connection that speaks HTTP/2, as the roster sees it, and as net/http
// does if there is no TLS.
type http2Conn struct {
	link
	scheme     string
	encryption *encryption
	endpoints  *endpoints
	early      []byte // to be read before the rest
	by         *http2Server

	mu    sync.Mutex
	ended bool // no more requests of it are served
}

func newHTTP2(s *Server, r *roster) *http2 {
	return &http2{server: s, roster: r, all: make(map[*http2Server]struct{})}
}

// take serves a connection, whose present owner is still in the roster. After the stop
// has begun it closes it instead: the client has not been answered anything, and may send
// its requests to somebody else.
func (h *http2) take(in incoming) {
	c := &http2Conn{
		link:  in.link(h.server),
		early: in.early,
	}
	c.endpoints = c.ends()
	c.scheme, c.encryption = in.secured.tell()
	c.leave = func() { h.roster.leave(c) }
	_ = c.SetDeadline(time.Time{})
	h.roster.goroutines.Add(1) // until forget
	h.roster.enter(c)
	if !h.serve(c) {
		_ = c.Close()
		h.roster.goroutines.Done()
	}
}

// serve hands a connection to net/http; false: the server is being stopped.
func (h *http2) serve(c *http2Conn) bool {
	var conn net.Conn = c
	if c.secured != nil {
		c.secured.wire.owner, conn = c, c.secured.Conn // net/http looks for HTTP/2 in just this type
	}
	for {
		h.mu.Lock()
		if h.stopped {
			h.mu.Unlock()
			return false
		}
		c.by = h.serverFor(c.settings())
		c.by.conns++
		h.mu.Unlock()
		if c.by.feed.give(conn) {
			return true
		}
		h.release(c.by) // another one has taken its place
	}
}

// release counts a connection of a server off.
func (h *http2) release(s *http2Server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.conns--; s.conns == 0 && s != h.newest {
		delete(h.all, s)
	}
}

// serverFor returns the server with the limits of those settings.
func (h *http2) serverFor(set *settings) *http2Server {
	limits := http2Limits{set.Timeout, set.KeepaliveTimeout, set.MaxHeaderBytes}
	if h.newest != nil && h.newest.limits == limits {
		return h.newest
	}
	if h.newest != nil {
		h.retire(h.newest)
	}
	s := &http2Server{limits: limits, feed: newHandoff(), http: &http.Server{
		Handler:        h,
		IdleTimeout:    limits.keepalive,
		MaxHeaderBytes: 2 * limits.header, // beyond that it answers by itself
		Protocols:      new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: mostStreams,
			WriteByteTimeout:     limits.timeout,
		},
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(http2Log{h.server}, "", 0),
		ConnContext:                  connContext,
		ConnState:                    h.connState,
	}}
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	h.newest, h.all[s] = s, struct{}{}
	h.roster.goroutines.Add(1)
	go h.run(s) // ends when its feed is closed
	return s
}

func (h *http2) run(s *http2Server) {
	defer h.roster.goroutines.Done()
	_ = s.http.Serve(s.feed) // the feed is closed: it fails in no other way
}

// retire has a server take no more connections. Its caller holds h.mu.
func (h *http2) retire(s *http2Server) {
	_ = s.feed.Close()
	if s.conns == 0 {
		delete(h.all, s)
	}
}

// announce begins the stop: it tells the clients of all connections that no more
// requests will be taken (GOAWAY), and which have been. Those are answered.
func (h *http2) announce() {
	h.mu.Lock()
	h.stopped = true
	servers := slices.Collect(maps.Keys(h.all))
	h.mu.Unlock()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range servers {
		_ = s.feed.Close()
		_ = s.http.Shutdown(over) // who would wait is the roster
	}
}

// connState notes the end of a connection.
func (h *http2) connState(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	c := ownerOf(conn)
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	_ = c.Close()
	h.release(c.by)
	h.roster.goroutines.Done()
}

// http2Key is the key of the *http2Conn in a request's context.
type http2Key struct{}

func connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, http2Key{}, ownerOf(conn))
}

// ownerOf returns the connection that net/http knows as conn.
func ownerOf(conn net.Conn) *http2Conn {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	if w, ok := conn.(*wire); ok {
		return w.owner
	}
	c, _ := conn.(*http2Conn)
	return c
}

// Read reads what has been read too early, and then the rest.
func (c *http2Conn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// closeWaiting does nothing: the client has been told, and finds the connection closed
// when it has its answers.
func (c *http2Conn) closeWaiting() {}

// begin counts a request; false: the connection has ended.
func (c *http2Conn) begin(r *roster) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	r.goroutines.Add(1)
	c.open.Add(1)
	c.served.Add(1)
	return true
}

// finish ends what begin has begun.
func (c *http2Conn) finish(r *roster) {
	c.open.Add(-1)
	r.goroutines.Done()
}

// http2Log makes what net/http logs, which clients bring about, lines of ours.
type http2Log struct{ server *Server }

func (l http2Log) Write(p []byte) (int, error) {
	l.server.settings.Load().Log.Debug("HTTP/2 client at fault", zap.ByteString("complaint", bytes.TrimSpace(p)))
	return len(p), nil
}
