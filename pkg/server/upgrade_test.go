package server

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

const upgrading = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: chat\r\n\r\n"

// taker is an app that does something with psgix.io before it answers with 200.
func taker(t *testing.T, do func(io net.Conn)) app {
	return func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		c, err := net.Dial("unix", strings.Replace(req.Env.Map()["psgix.io"], "\x00", "@", 1))
		if err != nil {
			t.Errorf("psgix.io: %v", err)
			return whole(500, ""), nil
		}
		defer c.Close()
		do(c)
		return whole(200, "an answer"), nil
	}
}

// withOwnEngine leaves out the engine that has no connections to give.
func withOwnEngine(t *testing.T) {
	if engineUnderTest() != OwnEngine {
		t.Skip("net/http's engine offers no psgix.io")
	}
}

func TestWhatAnAppWritesBeforeItAnswersTakesTheConnection(t *testing.T) {
	withOwnEngine(t)
	s := serve(t, taker(t, func(io net.Conn) { _, _ = io.Write([]byte("raw")) }))
	for range 100 { // the bytes and the answer come by different ways
		c := s.dial()
		c.send(upgrading)
		got := make([]byte, 3)
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != "raw" {
			t.Fatalf("the client got %q, %v", got, err)
		}
		c.wantClosed()
	}
}

func TestAnAppThatHasOnlyConnectedMayStillAnswer(t *testing.T) {
	withOwnEngine(t)
	s := serve(t, taker(t, func(net.Conn) {}))
	c := s.dial()
	for range 100 { // on a connection that is kept
		c.send(upgrading)
		c.reply("GET").wantStatus(t, 200).wantText(t, "an answer")
	}
}

func TestTakenConnectionPassesOnUntilTheClientLeaves(t *testing.T) {
	withOwnEngine(t)
	left := make(chan struct{})
	s := serve(t, taker(t, func(c net.Conn) {
		_, _ = c.Write([]byte(">"))
		_, _ = io.Copy(c, c)
		close(left)
	}))
	c := s.dial()
	c.send(upgrading + "early ")
	readUntil(t, c, ">early ")
	c.send("late")
	readUntil(t, c, "late")
	_ = c.Close()
	waitFor(t, "the app to notice", left)
}

func TestNothingIsOfferedToWhoDoesNotAskForIt(t *testing.T) {
	s := serve(t, showEnv("psgix.io"))
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: chat\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
	} {
		c := s.dial()
		c.send(head)
		c.reply("GET").wantText(t, "psgix.io=(none)")
	}
}

func TestAppThatStreamsBesideItsConnectionIsToldThatNobodyReads(t *testing.T) {
	withOwnEngine(t)
	told := make(chan struct{})
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		c, err := net.Dial("unix", strings.Replace(req.Env.Map()["psgix.io"], "\x00", "@", 1))
		if err != nil {
			return nil, err
		}
		_, _ = c.Write([]byte("raw"))
		body := script("nobody", "reads", "this")
		go func() { // ends with the response: only then does the app close
			<-body.ended
			_ = c.Close()
			close(told)
		}()
		return stream(body), nil
	}))
	c := s.dial()
	c.send(upgrading)
	readUntil(t, c, "raw")
	waitFor(t, "the response to be closed", told)
	c.wantClosed()
}
