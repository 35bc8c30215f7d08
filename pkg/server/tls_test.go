package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestRequestsOverTLS(t *testing.T) {
	s := serveTLS(t, echo)
	c := s.dial()
	for _, size := range []int{0, 1, readSize, 60_000} {
		text := strings.Repeat("x", size)
		c.send(posted(text)).reply("POST").wantText(t, text)
	}
	c.send(posted("one") + getOne + posted("three"))
	for _, want := range []string{"one", "", "three"} {
		c.reply("POST").wantText(t, want)
	}
	c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").reply("GET").wantStatus(t, 200)
	c.wantClosed()
	if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("it ends without a farewell: %v", err)
	}
}

// posted is a request with that body.
func posted(text string) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

func TestLargeAnswersAndFilesOverTLS(t *testing.T) {
	text := strings.Repeat("0123456789", 100_000)
	dir := t.TempDir()
	s := serveTLS(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		switch req.Line {
		case "GET /file":
			return fileAnswer(t, put(t, dir, "file", []byte("skip"+text+"rest")), 4, int64(len(text))), nil
		case "GET /pieces":
			return pieces(script(text, text)), nil
		}
		return whole(200, text), nil
	}))
	c := s.dial()
	c.get("/file").wantText(t, text)
	c.get("/pieces").wantText(t, text+text)
	c.get("/").wantText(t, text)
}

func TestEnvironmentTellsOfTLSAsApacheDoes(t *testing.T) {
	keys := []string{"psgi.url_scheme", "HTTPS", "SSL_PROTOCOL", "SSL_CIPHER", "SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN", "SERVER_PORT"}
	s := serveTLS(t, showEnv(keys...))
	_, port, _ := net.SplitHostPort(s.addr.String())
	const spoof = "GET / HTTP/1.1\r\nHost: a\r\nSSL-Client-S-DN: CN=root\r\nSSL_CLIENT_S_DN: CN=root\r\nHTTPS: off\r\n\r\n"
	for version, want := range map[uint16]string{
		tls.VersionTLS13: "TLSv1.3\nSSL_CIPHER=TLS_AES_128_GCM_SHA256",
		tls.VersionTLS12: "TLSv1.2\nSSL_CIPHER=ECDHE-ECDSA-AES128-GCM-SHA256",
	} {
		config := s.trusting()
		config.MaxVersion = version
		c, err := s.shake(config)
		if err != nil {
			t.Fatal(err)
		}
		s.over(c).send(spoof).reply("GET").wantText(t, "psgi.url_scheme=https\nHTTPS=on\nSSL_PROTOCOL="+want+
			"\nSSL_CLIENT_VERIFY=NONE\nSSL_CLIENT_S_DN=(none)\nSERVER_PORT="+port)
	}
	plain := serve(t, showEnv(keys...))
	_, port, _ = net.SplitHostPort(plain.addr.String())
	plain.dial().send(spoof).reply("GET").wantText(t, "psgi.url_scheme=http\nHTTPS=(none)\nSSL_PROTOCOL=(none)\nSSL_CIPHER=(none)"+
		"\nSSL_CLIENT_VERIFY=(none)\nSSL_CLIENT_S_DN=(none)\nSERVER_PORT="+port)
}

func TestPortOfAUnixSocketUnderTLSIsThatOfHTTPS(t *testing.T) {
	s := serveTLSAt(t, listenWant(t, t.TempDir()+"/s", ListenOptions{}), showEnv("SERVER_NAME", "SERVER_PORT"))
	s.dial().send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").reply("GET").wantText(t, "SERVER_NAME=a.test\nSERVER_PORT=443")
}

func TestTargetOfAnotherSchemeIsMisdirected(t *testing.T) {
	s := serveTLS(t, echo)
	s.dial().send("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n").reply("GET").wantStatus(t, 200)
	s.dial().send("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").reply("GET").wantStatus(t, 421)
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	s := serveTLS(t, echo, func(o *Options) { o.TLS.MinVersion = tls.VersionTLS13 })
	config := s.trusting()
	config.MaxVersion = tls.VersionTLS12
	if _, err := s.shake(config); err == nil {
		t.Error("1.2 is spoken where 1.3 is the least")
	}
	s.change(func(o *Options) { o.TLS.MinVersion = 0 })
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := s.shake(config); err == nil {
		t.Error("1.1 is spoken")
	}
	s.dial().get("/").wantStatus(t, 200)
}

func TestWhoSpeaksHTTPToATLSPortIsToldSo(t *testing.T) {
	s := serveTLS(t, echo)
	c := s.site.dial().send(getOne)
	if r := c.reply("GET").wantStatus(t, 400); !strings.Contains(r.text, "https://") {
		t.Errorf("%q", r.text)
	}
	c.wantClosed()
}

func TestSlowHandshakeHoldsNobody(t *testing.T) {
	s := serveTLS(t, echo)
	for range 50 {
		s.site.dial().send("\x16\x03\x01")
	}
	s.dial().get("/").wantStatus(t, 200)
}

func TestHandshakeHasItsTime(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: handshakePatience, time.Hour: handshakePatience, time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			pipe := newPipe()
			s := serveTLSAt(t, pipe, echo, func(o *Options) { o.Timeout = timeout })
			c := s.over(pipe.dial())
			_ = c.SetDeadline(time.Time{})
			begun := time.Now()
			c.send("\x16\x03\x01")
			_, _ = io.Copy(io.Discard, c)
			if waited := time.Since(begun); waited != want {
				t.Errorf("with a timeout of %v it was closed after %v", timeout, waited)
			}
		})
	}
}

func TestClientThatLeavesDuringATLSRequestEndsTheCall(t *testing.T) {
	for name, leave := range map[string]func(*tls.Conn){
		"says farewell and closes": func(c *tls.Conn) { c.Close() },
		"half-closes":              func(c *tls.Conn) { _ = c.CloseWrite() },
		"closes without a word":    func(c *tls.Conn) { c.NetConn().Close() },
		"resets": func(c *tls.Conn) {
			_ = c.NetConn().(*net.TCPConn).SetLinger(0)
			c.NetConn().Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			running, ended := make(chan struct{}), make(chan struct{})
			s := serveTLS(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
				close(running)
				<-ctx.Done()
				close(ended)
				return nil, context.Cause(ctx)
			}))
			c := s.dial().send(getOne)
			waitFor(t, "the call", running)
			leave(c.Conn.(*tls.Conn))
			waitFor(t, "the end of the call", ended)
			s.logged("client left")
		})
	}
}

func TestRequestThatFollowsAWatchedOneIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := newPipe()
		s := serveTLSAt(t, pipe, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
			time.Sleep(3 * watchAfter) // the watch reads by then
			return whole(200, "done"), nil
		}))
		c := s.over(tls.Client(pipe.dial(), s.trusting()))
		for range 3 {
			c.get("/").wantText(t, "done")
		}
		c.Close()
	})
}

func TestBrokenAnswerEndsWithoutFarewell(t *testing.T) {
	for name, request := range map[string]string{
		"HTTP/1.1": getOne, "HTTP/1.0, where only the end tells the end": "GET / HTTP/1.0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serveTLS(t, always(func() *psgi.Response { return pieces(script("first").failing(psgi.ErrAborted)) }))
			c := s.dial().send(request)
			_, err := io.ReadAll(c)
			if err == nil {
				t.Error("it looks complete")
			}
		})
	}
}

func TestClientThatReadsNothingUnderTLSIsLeftInTime(t *testing.T) {
	const timeout = time.Second
	for name, answer := range map[string]func() *psgi.Response{
		"small": func() *psgi.Response { return whole(200, "small") },
		"large": func() *psgi.Response { return whole(200, strings.Repeat("x", 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipe := newPipe()
				s := serveTLSAt(t, pipe, always(answer), func(o *Options) { o.Timeout = timeout })
				c := tls.Client(pipe.dial(), s.trusting())
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(c, getOne)
				begun := time.Now()
				s.eventually("the connection's end", func() bool { return len(s.connections()) == 0 })
				if waited := time.Since(begun); waited > timeout+time.Second {
					t.Errorf("it took %v", waited)
				}
				c.NetConn().Close()
			})
		})
	}
}

func TestStopUnderTLSAnswersWhatRuns(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	s := serveTLS(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /slow" {
			close(running)
			<-proceed
		}
		return whole(200, "done"), nil
	}))
	kept, c := s.dial(), s.dial()
	kept.get("/").wantStatus(t, 200)
	c.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the call", running)
	ended := make(chan error, 1)
	go func() { ended <- s.server.Shutdown(context.Background()) }()
	kept.wantClosed()
	close(proceed)
	if r := c.reply("GET").wantText(t, "done"); !r.Close {
		t.Error("the end of the connection is not announced")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestPipelinedRequestThatTLSHasTakenInIsAnsweredInTheStop(t *testing.T) {
	gate := make(chan struct{})
	s := serveTLS(t, app(func(ctx context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /stream" {
			return stream(script("first", "last").gated(ctx, gate)), nil
		}
		return whole(200, "done"), nil
	}))
	idle := s.dial()
	idle.get("/").wantStatus(t, 200)
	inner, err := net.Dial("tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	wire := &bundle{Conn: inner}
	secured := tls.Client(wire, s.trusting())
	if err := secured.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := s.over(secured)
	wire.holds = true
	c.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").send(getOne)
	wire.flush(t)
	if _, err := c.r.Peek(1); err != nil { // the head is out, so it can announce nothing
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.Shutdown(context.Background()) }()
	idle.wantClosed()
	close(gate)
	c.reply("GET").wantText(t, "firstlast")
	if !c.reply("GET").wantText(t, "done").Close {
		t.Error("the end of the connection is not announced")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestListenersBeginAndEndToSpeakTLSWhileTheyAreOpen(t *testing.T) {
	s := serveTLS(t, echo)
	opts := s.opts
	change, err := s.server.Prepare(opts, with(ListenOptions{TLS: true}, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	s.addr = change.open[0].Addr()
	c := s.dial()
	c.get("/").wantStatus(t, 200)

	opts.TLS = nil
	change, err = s.server.Prepare(opts, at("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	s.site.dial().get("/").wantStatus(t, 200)
	c.get("/").wantStatus(t, 200) // it lives on as it began
	if _, err := s.server.Prepare(opts, with(ListenOptions{TLS: true}, "127.0.0.1:0")); err == nil {
		t.Error("TLS without certificates")
	}
}

// bundle is a connection that sends what is written to it in one packet.
type bundle struct {
	net.Conn
	holds bool
	held  []byte
}

func (b *bundle) Write(p []byte) (int, error) {
	if !b.holds {
		return b.Conn.Write(p)
	}
	b.held = append(b.held, p...)
	return len(p), nil
}

func (b *bundle) flush(t *testing.T) {
	t.Helper()
	if _, err := b.Conn.Write(b.held); err != nil {
		t.Fatal(err)
	}
	b.holds = false
}
