package server

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func atMost(n int) func(*Options) { return func(o *Options) { o.MaxConnections = n } }

func TestLongestIdleConnectionMakesRoom(t *testing.T) {
	inVirtualTime(t, echo, atMost(3), func(s *site, first *client) {
		second, third := s.another(), s.another()
		for _, c := range []*client{first, second, third, first} { // now it is the second one
			time.Sleep(time.Second)
			c.get("/").wantStatus(t, 200)
		}
		synctest.Wait()
		fourth := s.another()
		second.wantClosed()
		for _, c := range []*client{first, third, fourth} {
			c.get("/").wantStatus(t, 200)
		}
		if load := s.server.Load(); load.Connections != 3 || load.MaxConnections != 3 || load.Refused != 0 {
			t.Errorf("%+v", load)
		}
	})
}

func TestConnectionWithoutARequestMakesRoomToo(t *testing.T) {
	inVirtualTime(t, echo, atMost(1), func(s *site, silent *client) {
		time.Sleep(headGrace)
		s.another().get("/").wantStatus(t, 200)
		silent.wantClosed()
	})
}

func TestConnectionBeyondTheLimitIsAnswered503(t *testing.T) {
	running, proceed := make(chan struct{}, 2), make(chan struct{})
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		running <- struct{}{}
		<-proceed
		return whole(200, "done"), nil
	}), atMost(2))
	busy := []*client{s.dial().send(getOne), s.dial().send(getOne)}
	for range busy {
		waitFor(t, "the call", running)
	}
	for range 3 {
		refused := s.dial()
		if r := refused.reply("GET").wantStatus(t, 503); r.Header.Get("Retry-After") != "1" {
			t.Errorf("header %v", r.Header)
		}
		refused.wantClosed()
	}
	s.logged("connection refused: max_connections is reached, and none is idle")
	if told := s.logs.FilterMessageSnippet("connection refused").Len(); told != 1 {
		t.Errorf("logged %d times", told)
	}
	if load := s.server.Load(); load.Refused != 3 || load.Connections != 2 {
		t.Errorf("%+v", load)
	}
	close(proceed)
	for _, c := range busy {
		c.reply("GET").wantText(t, "done")
	}
	s.dial().get("/").wantText(t, "done") // in the place of one that is idle now
}

func TestRequestThatIsOnItsWayDoesNotMakeRoom(t *testing.T) {
	s := serve(t, echo, atMost(1))
	here, there := tcpPair(t)
	l := link{Conn: there, leave: func() {}}
	if _, err := here.Write([]byte("G")); err != nil {
		t.Fatal(err)
	}
	s.eventually("the byte", l.hasInput)
	if l.giveWay() {
		t.Error("a connection was closed with a byte of a request in it")
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err == nil {
		there, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
