package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// http2Exchange is an exchange on HTTP/2: one stream of a connection.
type http2Exchange struct {
	w       http.ResponseWriter
	control *http.ResponseController
	r       *http.Request
	c       *http2Conn
	set     *settings
	closing *atomic.Bool // the engine's
	asked   request

	informed chan struct{} // closed when the last informational response has been sent; nil: there was none
	patience clientPatience
}

// ServeHTTP hands a request that net/http has read to the server.
func (h *http2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(http2Key{}).(*http2Conn)
	if !c.begin(h.roster) {
		panic(http.ErrAbortHandler)
	}
	defer c.finish(h.roster)
	set := h.server.settings.Load()
	if !h.exchange(w, r, c, set) {
		panic(http.ErrAbortHandler) // net/http resets the stream, and nothing but it
	}
}

// exchange has a request served; false: the response is not whole.
func (h *http2) exchange(w http.ResponseWriter, r *http.Request, c *http2Conn, set *settings) (whole bool) {
	defer func() {
		if r := recover(); r != nil {
			whole = false
			set.Log.Error("panic in a request", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	x := &http2Exchange{
		w: w, control: http.NewResponseController(w), r: r, c: c, set: set,
		closing: &h.roster.closing, asked: http2Request(r, c, set),
	}
	x.patience = clientPatience{within: set.Timeout, reading: x.control.SetReadDeadline, writing: x.control.SetWriteDeadline}
	whole = h.server.serve(r.Context(), set, x)
	if x.informed != nil {
		<-x.informed // it ends with the stream at the latest
	}
	if whole && set.Timeout > 0 { // what waits to be sent is sent when this returns
		_ = x.control.SetWriteDeadline(time.Now().Add(set.Timeout))
	}
	return whole
}

// http2Request copies what net/http has read, and finds what it lets pass and an
// HTTP/1 connection would not.
func http2Request(r *http.Request, c *http2Conn, set *settings) request {
	asked := request{
		method: r.Method, target: r.RequestURI, proto: r.Proto, scheme: c.scheme, host: r.Host,
		length: r.ContentLength, encryption: c.encryption, endpoints: c.endpoints,
		header: make(psgi.Header, 0, len(r.Header)+4),
	}
	for name, values := range r.Header {
		for _, value := range values {
			asked.header = append(asked.header, psgi.Field{Name: name, Value: value})
		}
	}
	asked.flaw = http2Flaw(&asked, r.Header, set.MaxHeaderBytes)
	return asked
}

func (x *http2Exchange) request() *request { return &x.asked }

func (x *http2Exchange) read(p []byte) (int, error) {
	x.patience.begin(x.patience.reading)
	n, err := x.r.Body.Read(p)
	x.patience.end()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, errSilence
	}
	return n, errClientLeft
}

// inform sends in a goroutine of its own, as nothing bounds how long that takes but the
// stream's end.
func (x *http2Exchange) inform(status int, h psgi.Header) {
	if x.informed != nil {
		select {
		case <-x.informed:
		default:
			return // the client has not taken the one before
		}
	}
	to := x.w.Header()
	for _, f := range h {
		to.Add(f.Name, f.Value)
	}
	x.informed = make(chan struct{})
	go func(done chan<- struct{}) { // ends with the stream at the latest, and begin waits for it
		defer close(done)
		x.w.WriteHeader(status)
		clear(to) // else the final response would have them, too
	}(x.informed)
	limit := time.NewTimer(informPatience)
	defer limit.Stop()
	select {
	case <-x.informed:
	case <-limit.C:
	}
}

// begin leaves out that the connection ends, when the app says so: it is not the app's.
func (x *http2Exchange) begin(h head) {
	if x.informed != nil {
		<-x.informed
	}
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
	if x.closing.Load() || x.set.MaxKeepaliveReqs > 0 && int(x.c.served.Load()) >= x.set.MaxKeepaliveReqs {
		to.Set("Connection", "close") // net/http sends GOAWAY in its place
	}
	x.w.WriteHeader(h.status)
}

func (x *http2Exchange) write(p []byte) error {
	x.patience.begin(x.patience.writing)
	_, err := x.w.Write(p)
	x.patience.end()
	return err
}

func (x *http2Exchange) flush() error {
	x.patience.begin(x.patience.writing)
	err := x.control.Flush()
	x.patience.end()
	return err
}

func (x *http2Exchange) sendFile(f *psgi.File) (int64, error) {
	if _, err := f.Seek(f.Offset, io.SeekStart); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	var sent int64
	for sent < f.Length {
		x.patience.begin(x.patience.writing)
		n, err := io.CopyN(x.w, f.File, min(f.Length-sent, window))
		x.patience.end()
		sent += n
		if errors.Is(err, io.EOF) {
			return sent, io.ErrUnexpectedEOF
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// clientPatience bounds each wait for a client on one stream. A deadline of net/http's
// would go on while nobody waits, and resets the stream of an app that takes its time; so
// this sets one that has passed when a wait has been too long.
type clientPatience struct {
	within           time.Duration // zero is for ever
	reading, writing func(time.Time) error

	mu      sync.Mutex
	timer   *time.Timer
	waiting func(time.Time) error // what ends the present wait; nil: there is none
}

// begin begins a wait that end ends.
func (p *clientPatience) begin(what func(time.Time) error) {
	if p.within <= 0 {
		return
	}
	p.mu.Lock()
	p.waiting = what
	p.mu.Unlock()
	if p.timer == nil {
		p.timer = time.AfterFunc(p.within, p.expire)
	} else {
		p.timer.Reset(p.within)
	}
}

func (p *clientPatience) end() {
	if p.within <= 0 {
		return
	}
	p.timer.Stop()
	p.mu.Lock()
	p.waiting = nil
	p.mu.Unlock()
}

func (p *clientPatience) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != nil {
		_ = p.waiting(longAgo)
	}
}
