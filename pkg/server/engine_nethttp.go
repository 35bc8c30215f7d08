package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// netHTTP is the engine on Go's net/http. Its connections keep the times and limits,
// as those of net/http could not change while it serves.
type netHTTP struct {
	roster

	server *Server
	http   *http.Server // of HTTP/1
	http2  *http2
	feed   *handoff      // what http serves
	ended  chan struct{} // closed when it does so no more; nil: it has not begun
	begun  sync.Once
	base   context.Context // of all requests
	cut    context.CancelFunc
}

// connKey is the key of the *conn in a request's context.
type connKey struct{}

func newNetHTTP(s *Server) *netHTTP {
	e := &netHTTP{server: s, roster: roster{stopping: make(chan struct{})}, feed: newHandoff()}
	e.http2 = newHTTP2(s, &e.roster)
	e.base, e.cut = context.WithCancel(context.Background())
	e.http = &http.Server{
		Handler:                      e,
		MaxHeaderBytes:               math.MaxInt32, // the guard keeps the limit
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(engineLog{s}, "", 0),
		BaseContext:                  func(net.Listener) context.Context { return e.base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: e.connState,
		Protocols: new(http.Protocols),
	}
	e.http.Protocols.SetHTTP1(true)
	return e
}

// engineLog makes what net/http logs lines of ours.
type engineLog struct{ server *Server }

func (l engineLog) Write(p []byte) (int, error) {
	l.server.settings.Load().Log.Warn("http engine complained", zap.ByteString("complaint", bytes.TrimSpace(p)))
	return len(p), nil
}

func (e *netHTTP) serve(l net.Listener) error {
	e.begun.Do(func() {
		e.ended = make(chan struct{})
		go e.run() // ends with the shutdown
	})
	return e.acceptAll(l, e.server, e.accept)
}

func (e *netHTTP) run() {
	defer close(e.ended)
	_ = e.http.Serve(e.feed) // which fails when it is closed
}

// accept starts to serve a connection.
func (e *netHTTP) accept(in incoming, set *settings) {
	e.goroutines.Add(1)
	if in.secure {
		go e.welcome(arrive(&e.roster, e.server, in, set)) // ends with the handshake
		return
	}
	go e.receive(in, set) // ends when it is known what the client speaks
}

// welcome makes the handshake of TLS, in which the client chooses the version of HTTP.
func (e *netHTTP) welcome(a *arrival) {
	defer e.goroutines.Done()
	if !a.introduced() || a.shakeHands() != nil {
		return
	}
	if in := a.done(); in.secured.choseHTTP2() {
		e.http2.take(in)
	} else {
		e.take(in)
	}
	a.handOver()
}

// receive finds out whether a connection without TLS begins with HTTP/2, if it may.
func (e *netHTTP) receive(in incoming, set *settings) {
	defer e.goroutines.Done()
	if set.H2C {
		p := &prefaced{link: in.link(e.server)}
		p.leave = func() { e.leave(p) }
		e.enter(p)
		defer e.leave(p) // when somebody else is in the roster for it
		if !p.introduce() {
			_ = p.Close()
			return
		}
		in.introduces, in.told = false, p.told
		is := p.isHTTP2(after(set.Timeout))
		in.early = p.early
		if is {
			e.http2.take(in)
			return
		}
	}
	e.take(in)
}

// take serves a connection that speaks HTTP/1.
func (e *netHTTP) take(in incoming) {
	c := e.guard(in)
	e.goroutines.Add(1) // until net/http has closed it
	if !e.feed.give(c) {
		_ = c.Close()
		e.goroutines.Done()
	}
}

func (e *netHTTP) guard(in incoming) *conn {
	c := &conn{
		link:    in.link(e.server),
		closing: &e.closing,
		early:   in.early,
	}
	c.scheme, c.encryption = in.secured.tell()
	c.leave = func() { e.leave(c) }
	e.enter(c)
	return c
}

func (e *netHTTP) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateIdle:
		if c, ok := c.(*conn); ok {
			c.answered()
			if e.closing.Load() {
				c.closeWaiting() // its response had begun before, and did not announce it
			}
		}
	case http.StateClosed, http.StateHijacked:
		e.goroutines.Done()
	case http.StateNew, http.StateActive:
	}
}

// shutdown is not that of net/http, which would lose requests: it closes a connection
// that it waits on although a request has begun to arrive, and drops what is pipelined.
func (e *netHTTP) shutdown(ctx context.Context) error {
	err := e.roster.shutdown(ctx, e.http2.announce, func() {
		e.cut()
		e.eachPeer(peer.cut)
		_ = e.http.Close()
	})
	e.begun.Do(func() {})
	_ = e.feed.Close()
	if e.ended != nil {
		<-e.ended
	}
	return err
}

// ServeHTTP hands a request that net/http has read to the server.
func (e *netHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	set := e.server.settings.Load()
	if c.endpoints == nil {
		c.endpoints = c.ends()
	}
	c.running.Store(true)
	c.served.Add(1)
	c.pace = newPace(set)
	x := &httpExchange{pace: c.pace, w: w, r: r, c: c, set: set, closing: &e.closing, asked: requestOf(r, c)}
	if e.server.serve(r.Context(), set, x) {
		return
	}
	if x.endless || c.secured != nil {
		c.reset()
	}
	panic(http.ErrAbortHandler) // net/http's way to be told to cut a connection
}

// requestOf copies what net/http has read. Host it has taken out of the header
// already, and Transfer-Encoding too.
func requestOf(r *http.Request, c *conn) request {
	asked := request{
		method:    r.Method,
		target:    r.RequestURI,
		proto:     r.Proto,
		scheme:    c.scheme,
		host:      r.Host,
		header:    make(psgi.Header, 0, len(r.Header)+4),
		length:    r.ContentLength,
		endpoints: c.endpoints,

		encryption: c.encryption,
	}
	for name, values := range r.Header {
		for _, value := range values {
			asked.header = append(asked.header, psgi.Field{Name: name, Value: value})
		}
	}
	return asked
}

// httpExchange is an exchange on net/http.
type httpExchange struct {
	w       http.ResponseWriter
	r       *http.Request
	c       *conn
	set     *settings
	closing *atomic.Bool
	asked   request
	pace    pace // of the client with the request's body

	whole   bool // the body has been read to its end
	endless bool // only the end of the connection tells the end of the response
}

func (x *httpExchange) request() *request { return &x.asked }

func (x *httpExchange) read(p []byte) (int, error) {
	began := time.Now()
	_ = x.c.SetReadDeadline(since(began, x.pace.wait()))
	n, err := x.r.Body.Read(p)
	waited := time.Since(began)
	x.pace.spent(waited, int64(n))
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		// net/http has begun to read ahead, and to wait for the client's leaving.
		_ = x.c.SetReadDeadline(time.Time{})
		x.whole = true
		return n, io.EOF
	case x.c.guard.err != nil:
		return n, x.c.guard.err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, x.pace.late(waited)
	case x.r.Context().Err() != nil, errors.Is(err, io.ErrUnexpectedEOF):
		return n, errClientLeft
	}
	return n, errMalformed
}

func (x *httpExchange) inform(status int, h psgi.Header) {
	pace := x.c.pace
	x.c.pace = strictly(informPatience)
	defer func() {
		x.c.pace = pace
		_ = x.c.SetWriteDeadline(time.Time{})
	}()

	to := x.w.Header()
	for _, f := range h {
		to.Add(f.Name, f.Value)
	}
	x.w.WriteHeader(status)
	clear(to) // else the final response would have them, too
}

func (x *httpExchange) begin(h head) {
	to := x.w.Header()
	for _, f := range h.header {
		to.Add(f.Name, f.Value)
	}
	if h.length >= 0 {
		to.Set("Content-Length", strconv.FormatInt(h.length, 10))
	}
	if _, ok := to["Content-Type"]; !ok {
		to["Content-Type"] = nil // keeps net/http from guessing one
	}
	if h.last || x.closing.Load() || x.set.MaxKeepaliveReqs > 0 && int(x.c.served.Load()) >= x.set.MaxKeepaliveReqs {
		to.Set("Connection", "close")
	}
	if x.asked.length != 0 && !x.whole {
		// net/http looks for the end of a body that was not read. Not for long.
		_ = x.c.SetReadDeadline(time.Now().Add(linger))
	}
	x.endless = h.body && h.length < 0 && x.asked.proto == "HTTP/1.0"
	x.w.WriteHeader(h.status)
}

func (x *httpExchange) write(p []byte) error {
	_, err := x.w.Write(p)
	return err
}

func (x *httpExchange) flush() error {
	return http.NewResponseController(x.w).Flush()
}

// sendFile lets net/http pass the file to the connection's ReadFrom.
func (x *httpExchange) sendFile(f *psgi.File) (int64, error) {
	if _, err := f.Seek(f.Offset, io.SeekStart); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := io.CopyN(x.w, f.File, f.Length)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
