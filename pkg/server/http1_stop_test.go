package server

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// observed is a listener whose connections remember when it was last asked whether the
// kernel has something of their client's.
type observed struct {
	net.Listener
	conns chan *observedConn
}

type observedConn struct {
	*net.UnixConn
	asked atomic.Int64 // nanoseconds of the clock
}

func (l *observed) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &observedConn{UnixConn: inner.(*net.UnixConn)}
	l.conns <- c
	return c, nil
}

func (c *observedConn) SyscallConn() (syscall.RawConn, error) {
	c.asked.Store(time.Now().UnixNano())
	return c.UnixConn.SyscallConn()
}

// A request that was sent before the server last looked whether there is one has to be
// answered, whenever it comes: before the stop, in the very moment of it, or after it, on a
// connection that was waiting or whose request was running.
func TestRequestThatWasThereWhenTheServerLookedIsAnsweredInTheStop(t *testing.T) {
	const clients, rounds = 8, 100
	lost, answered := 0, 0
	for round := range rounds {
		inner := listenWant(t, filepath.Join(t.TempDir(), "s"), ListenOptions{})
		l := &observed{inner, make(chan *observedConn, clients)}
		s := serveAt(t, l, echo)
		var all sync.WaitGroup
		var mu sync.Mutex
		start := make(chan struct{})
		for i := range clients {
			c := s.dial()
			c.get("/").wantStatus(t, 200)
			conn := <-l.conns
			all.Go(func() {
				<-start
				for range i * (round % 10) * 20 { // some before the stop, some after it
					_ = time.Now()
				}
				_, sending := io.WriteString(c, getOne)
				sent := time.Now().UnixNano()
				_, reading := c.tryReply("GET")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case reading == nil:
					answered++
				case sending == nil && sent < conn.asked.Load():
					t.Errorf("lost, though it was there: %v", reading)
				default:
					lost++
				}
			})
		}
		close(start)
		if err := s.server.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		all.Wait()
	}
	t.Logf("%d requests were in time, %d too late", answered, lost)
}

func TestStopInTheMiddleOfABodyWaitsForItsEnd(t *testing.T) {
	for name, raw := range map[string][2]string{
		"with a length": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "67890"},
		"in chunks":     {chunked + "5\r\n12345\r\n", "5\r\n67890\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, echo, unchanged, func(s *site, c *client) {
				c.send(raw[0])
				synctest.Wait()
				ended := make(chan error, 1)
				go func() { ended <- s.server.Shutdown(context.Background()) }()
				time.Sleep(2 * headGrace)
				if !c.send(raw[1]).reply("POST").wantText(t, "1234567890").Close {
					t.Error("the end of the connection is not announced")
				}
				c.wantClosed()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestStopWaitsForARunningRequestHoweverLong(t *testing.T) {
	inVirtualTime(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /slow" {
			time.Sleep(2 * headGrace)
		}
		return whole(200, req.Line), nil
	}), unchanged, func(s *site, c *client) {
		c.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- s.server.Shutdown(context.Background()) }()
		if !c.reply("GET").wantText(t, "GET /slow").Close {
			t.Error("the end of the connection is not announced")
		}
		c.wantClosed()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
