package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestConnectionIsKeptForTheNextRequest(t *testing.T) {
	s := serve(t, echo)
	c := s.dial()
	for i := range 5 {
		text := strings.Repeat("x", i)
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
		c.reply("POST").wantText(t, text)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	s := serve(t, echo)
	c := s.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none" +
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\ntwo\r\n00\r\n\r\n" +
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfour" +
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"one", "two", "", "four"} {
		c.reply("POST").wantText(t, want)
	}
	c.wantClosed()
}

func TestLastAnswerOfAConnectionAnnouncesItsEnd(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.MaxKeepaliveReqs = 2 })
	c := s.dial()
	if c.get("/").Close {
		t.Error("the first answer ends the connection")
	}
	if !c.get("/").Close {
		t.Error("the second answer does not announce the end")
	}
	c.wantClosed()
}

func TestKeepaliveCanBeTurnedOff(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.MaxKeepaliveReqs = 1 })
	c := s.dial()
	if !c.get("/").Close {
		t.Error("the end is not announced")
	}
	c.wantClosed()
}

func TestOldClientIsAnsweredAndLeft(t *testing.T) {
	s := serve(t, echo)
	c := s.dial().send("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
	c.reply("POST").wantText(t, "hi")
	c.wantClosed()
}

func TestOldClientMayKeepItsConnection(t *testing.T) {
	s := serve(t, echo)
	c := s.dial()
	for range 3 {
		r := c.send("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi").reply("POST")
		r.wantText(t, "hi")
		if got := r.Header.Get("Connection"); got != "keep-alive" {
			t.Fatalf("Connection %q", got)
		}
	}
}

func TestClientThatAsksIsToldToContinue(t *testing.T) {
	s := serve(t, echo)
	c := s.dial().send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
	c.reply("POST").wantStatus(t, 100)
	c.send("hi").reply("POST").wantText(t, "hi")
	c.get("/").wantText(t, "")
}

func TestClientWithTooMuchIsNotToldToContinue(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.MaxBodyBytes = 10 })
	c := s.dial().send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
	c.reply("POST").wantStatus(t, 413)
	c.wantClosed()
}

func TestClientThatLeavesWhileWaitingEndsTheCall(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"closes": func(c *client) { c.Close() },
		"resets": func(c *client) {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			running, ended := make(chan struct{}), make(chan struct{})
			s := serve(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
				close(running)
				<-ctx.Done()
				close(ended)
				return nil, context.Cause(ctx)
			}))
			c := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			waitFor(t, "the call", running)
			leave(c)
			waitFor(t, "the end of the call", ended)
			s.logged("client left")
		})
	}
}

func TestClientThatLeavesDuringAStreamClosesTheBody(t *testing.T) {
	bodies := make(chan *scripted, 1)
	s := serve(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		body := script("first", "never").gated(ctx, nil)
		body.gate = make(chan struct{})
		bodies <- body
		return stream(body), nil
	}))
	c := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	c.Close()
	waitFor(t, "the body's end", (<-bodies).ended)
	s.logged("client left")
}

func TestShutdownWaitsForTheRunningRequest(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		close(running)
		<-proceed
		return whole(200, "done"), nil
	}), func(o *Options) { o.Mount = "/app" })
	c := s.dial().send("GET /app HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the call", running)
	silent, kept := s.dial(), s.dial()
	kept.get("/outside").wantStatus(t, 404)

	ended := make(chan error, 1)
	go func() { ended <- s.server.Shutdown(context.Background()) }()
	silent.wantClosed() // these carry no request, so they are not waited for
	kept.wantClosed()
	select {
	case err := <-ended:
		t.Fatalf("shut down in the middle of a request: %v", err)
	default:
	}
	close(proceed)
	if r := c.reply("GET").wantText(t, "done"); !r.Close {
		t.Error("the end of the connection is not announced")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestShutdownCutsWhatTakesTooLong(t *testing.T) {
	running := make(chan struct{})
	s := serve(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		close(running)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	// The byte after the request keeps net/http from noticing anything by itself.
	c := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\nG")
	waitFor(t, "the call", running)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.server.Shutdown(ctx); err == nil {
		t.Error("the shutdown was not in time, and does not say so")
	}
	if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
		t.Errorf("answer: %q", rest)
	}
}

func TestRequestThatHasBegunToArriveIsAnsweredInTheStop(t *testing.T) {
	inVirtualTime(t, echo, func(*Options) {}, func(s *site, c *client) {
		c.get("/").wantStatus(t, 200)
		c.send("GET / HTTP/1.1\r\n")
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- s.server.Shutdown(context.Background()) }()
		synctest.Wait() // the stop goes on until it can do no more
		if !c.send("Host: a\r\n\r\n").reply("GET").wantStatus(t, 200).Close {
			t.Error("the end of the connection is not announced")
		}
		c.wantClosed()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestClientThatHasJustConnectedIsAnsweredInTheStop(t *testing.T) {
	inVirtualTime(t, echo, func(*Options) {}, func(s *site, c *client) {
		synctest.Wait() // it is accepted
		ended := make(chan error, 1)
		go func() { ended <- s.server.Shutdown(context.Background()) }()
		synctest.Wait() // the stop goes on until it can do no more
		if !c.get("/").wantStatus(t, 200).Close {
			t.Error("the end of the connection is not announced")
		}
		c.wantClosed()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestStopWaitsNotLongForTheFirstRequestOfAConnection(t *testing.T) {
	for _, test := range []struct{ connected, waited time.Duration }{{0, headGrace}, {headGrace, 0}} {
		inVirtualTime(t, echo, func(o *Options) { o.Timeout = time.Hour }, func(s *site, c *client) {
			synctest.Wait() // it is accepted
			time.Sleep(test.connected)
			begun := time.Now()
			if err := s.server.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if waited := time.Since(begun); waited != test.waited {
				t.Errorf("connected for %v: it took %v", test.connected, waited)
			}
			c.wantClosed()
		})
	}
}

func TestStopWaitsNotLongForTheRestOfAHead(t *testing.T) {
	inVirtualTime(t, echo, func(o *Options) { o.Timeout = time.Hour }, func(s *site, c *client) {
		c.get("/").wantStatus(t, 200)
		c.send("GET / HTTP/1.1\r\n")
		synctest.Wait()
		begun := time.Now()
		if err := s.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited != headGrace {
			t.Errorf("it took %v", waited)
		}
		c.wantClosed()
	})
}

func TestRequestBehindAStreamIsAnsweredInTheStop(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, app(func(ctx context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /stream" {
			return stream(script("first", "last").gated(ctx, gate)), nil
		}
		return whole(200, "done"), nil
	}))
	idle, c := s.dial(), s.dial()
	c.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := c.r.Peek(1); err != nil { // the head is out, so it can announce nothing
		t.Fatal(err)
	}
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	ended := make(chan error, 1)
	go func() { ended <- s.server.Shutdown(context.Background()) }()
	idle.wantClosed()
	close(gate)
	c.reply("GET").wantText(t, "firstlast")
	if !c.reply("GET").wantText(t, "done").Close {
		t.Error("the end of the connection is not announced")
	}
	c.wantClosed()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
