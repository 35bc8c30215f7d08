package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests; none comes near it unless it fails.
const patience = 10 * time.Second

// app is a PSGI application written in Go.
type app func(ctx context.Context, req *psgi.Request) (*psgi.Response, error)

func (a app) Call(ctx context.Context, req *psgi.Request) (*psgi.Response, error) { return a(ctx, req) }

// always returns an app that has one answer for everybody.
func always(answer func() *psgi.Response) app {
	return func(context.Context, *psgi.Request) (*psgi.Response, error) { return answer(), nil }
}

// echo answers with the request's body.
var echo = app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
	return whole(200, string(req.Body)), nil
})

// showEnv answers with the values of some keys of the environment.
func showEnv(keys ...string) app {
	return func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		env := req.Env.Map()
		var lines []string
		for _, key := range keys {
			value, ok := env[key]
			if !ok {
				value = "(none)"
			}
			lines = append(lines, key+"="+value)
		}
		return whole(200, strings.Join(lines, "\n")), nil
	}
}

// fields makes a header of names and values, over a text/plain that all have.
func fields(list ...string) psgi.Header {
	h := psgi.Header{{Name: "Content-Type", Value: "text/plain"}}
	for i := 0; i < len(list); i += 2 {
		h = append(h, psgi.Field{Name: list[i], Value: list[i+1]})
	}
	return h
}

func whole(status int, text string, header ...string) *psgi.Response {
	return &psgi.Response{Status: status, Header: fields(header...), Body: script(text), Whole: true}
}

func pieces(body *scripted, header ...string) *psgi.Response {
	return &psgi.Response{Status: 200, Header: fields(header...), Body: body}
}

func stream(body *scripted) *psgi.Response {
	r := pieces(body)
	r.Stream = true
	return r
}

// scripted is a response body that is known beforehand.
type scripted struct {
	pieces []string
	err    error           // after the last piece; nil is io.EOF
	gate   <-chan struct{} // if set, each piece but the first waits for it
	ctx    context.Context // ends such a wait
	given  int
	closed atomic.Int32
	ended  chan struct{} // closed by Close
}

func script(pieces ...string) *scripted {
	return &scripted{pieces: pieces, ended: make(chan struct{}), ctx: context.Background()}
}

func (s *scripted) failing(err error) *scripted { s.err = err; return s }

func (s *scripted) gated(ctx context.Context, gate <-chan struct{}) *scripted {
	s.ctx, s.gate = ctx, gate
	return s
}

func (s *scripted) Next() ([]byte, error) {
	if s.gate != nil && s.given > 0 {
		select {
		case <-s.gate:
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		case <-s.ended:
			return nil, io.ErrClosedPipe
		}
	}
	if s.given < len(s.pieces) {
		s.given++
		return []byte(s.pieces[s.given-1]), nil
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, io.EOF
}

func (s *scripted) Close() error {
	if s.closed.Add(1) == 1 {
		close(s.ended)
	}
	return nil
}

// engineUnderTest is the engine that these tests run with: the server's own, or with
// HTTP_ENGINE=net/http in the environment the other one. test/run does both.
func engineUnderTest() Engine {
	if os.Getenv("HTTP_ENGINE") == "net/http" {
		return NetHTTP
	}
	return OwnEngine
}

// site is a server that runs for one test.
type site struct {
	t      *testing.T
	server *Server
	addr   net.Addr
	logs   *observer.ObservedLogs
	pipe   *pipe   // what it listens on in virtual time, else nil
	opts   Options // those that it began with
}

// serve runs an app on a free port of 127.0.0.1.
func serve(t *testing.T, a psgi.App, change ...func(*Options)) *site {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", a, change...)
}

// serveUnix runs an app on a unix socket.
func serveUnix(t *testing.T, a psgi.App, change ...func(*Options)) *site {
	t.Helper()
	return serveOn(t, filepath.Join(t.TempDir(), "s"), a, change...)
}

func serveOn(t *testing.T, addr string, a psgi.App, change ...func(*Options)) *site {
	t.Helper()
	l, err := Listen(addr, ListenOptions{IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	return serveAt(t, l, a, change...)
}

func serveAt(t *testing.T, l net.Listener, a psgi.App, change ...func(*Options)) *site {
	t.Helper()
	return serveBy(t, engineUnderTest(), l, a, change...)
}

func serveBy(t *testing.T, e Engine, l net.Listener, a psgi.App, change ...func(*Options)) *site {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	opts := Options{App: a, Log: zap.New(core), Timeout: patience, SpoolDir: t.TempDir(), MaxSpool: 1 << 30}
	for _, c := range change {
		c(&opts)
	}
	s := &site{t: t, server: New(e), addr: l.Addr(), logs: logs, opts: opts}
	s.prepare(opts).Commit()
	accepting := make(chan struct{})
	go func() { // ends with Shutdown
		defer close(accepting)
		s.server.accept(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		<-accepting
		select {
		case err := <-s.server.Failed():
			t.Errorf("serve: %v", err)
		default:
		}
	})
	return s
}

// at makes listeners of addresses, with no options.
func at(addresses ...string) []Listener { return with(ListenOptions{}, addresses...) }

func with(opts ListenOptions, addresses ...string) (list []Listener) {
	for _, address := range addresses {
		list = append(list, Listener{address, opts})
	}
	return list
}

// prepare prepares a change that has to be possible.
func (s *site) prepare(opts Options, addresses ...string) *Change {
	s.t.Helper()
	change, err := s.server.Prepare(opts, at(addresses...))
	if err != nil {
		s.t.Fatal(err)
	}
	return change
}

// listen has it listen on these alone, besides where it began.
func (s *site) listen(listeners ...Listener) {
	s.t.Helper()
	change, err := s.server.Prepare(s.opts, listeners)
	if err != nil {
		s.t.Fatal(err)
	}
	change.Commit()
}

// logged waits for a log line with that message.
func (s *site) logged(message string) observer.LoggedEntry {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if found := s.logs.FilterMessage(message).All(); len(found) > 0 {
			return found[0]
		}
		<-tick.C
	}
	s.t.Fatalf("nothing logged as %q; there is: %v", message, s.logs.All())
	return observer.LoggedEntry{}
}

// client is a bare connection to a site.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (s *site) dial() *client {
	s.t.Helper()
	c, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.over(c)
}

func (s *site) over(c net.Conn) *client {
	_ = c.SetDeadline(time.Now().Add(patience))
	s.t.Cleanup(func() { c.Close() })
	return &client{s.t, c, bufio.NewReader(c)}
}

// another is a further client in virtual time.
func (s *site) another() *client {
	s.t.Helper()
	c := s.over(s.pipe.dial())
	_ = c.SetDeadline(time.Time{})
	return c
}

// send writes bytes as they are.
func (c *client) send(raw string) *client {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// pipe is a listener in memory: a write to one of its connections returns when the
// server has read it.
type pipe struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), ended: make(chan struct{})} }

func (p *pipe) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// reply is a response that has been read whole.
type reply struct {
	*http.Response
	text string
	err  error // of reading the body
}

// reply reads the response to a request of that method.
func (c *client) reply(method string) reply {
	c.t.Helper()
	r, err := c.tryReply(method)
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	return r
}

func (c *client) tryReply(method string) (reply, error) {
	r, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return reply{Response: &http.Response{}}, err
	}
	text, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	return reply{r, string(text), err}, nil
}

// get is a request of one line and its response.
func (c *client) get(path string) reply {
	c.t.Helper()
	return c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n").reply("GET")
}

// wantClosed checks that the server ends the connection, and sends no more.
func (c *client) wantClosed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("the connection is still open")
	}
	if len(rest) > 0 {
		c.t.Fatalf("the server sent more: %q", rest)
	}
}

// wantStatus checks a status.
func (r reply) wantStatus(t *testing.T, status int) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d; body %q", r.StatusCode, status, r.text)
	}
	return r
}

// wantText checks a whole response of status 200.
func (r reply) wantText(t *testing.T, text string) reply {
	t.Helper()
	r.wantStatus(t, 200)
	if r.text != text || r.err != nil {
		t.Fatalf("body %q, error %v, want %q", r.text, r.err, text)
	}
	return r
}

// waitFor waits for an event.
func waitFor(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}
