package server

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// padded returns a request whose head has that many bytes, with a field to fill it.
func padded(size int) (raw, value string) {
	const line, end = "GET / HTTP/1.1\r\nHost: a\r\nX-Fill: ", "\r\n\r\n"
	value = strings.Repeat("0123456789", size/10+1)[:size-len(line)-len(end)]
	return line + value + end, value
}

func TestHeadOfAnySizeArrivesInAnyPieces(t *testing.T) {
	pipe := newPipe()
	s := serveAt(t, pipe, showEnv("HTTP_X_FILL"))
	for _, size := range []int{100, readSize - 1, readSize, readSize + 1, 2*readSize + 1, defaultMaxHeader} {
		raw, value := padded(size)
		for _, piece := range []int{1, 1000, readSize - 1, readSize, readSize + 1, size} {
			c := s.over(pipe.dial())
			for rest := raw; rest != ""; {
				n := min(piece, len(rest))
				c.send(rest[:n])
				rest = rest[n:]
			}
			c.reply("GET").wantText(t, "HTTP_X_FILL="+value)
			c.send(raw).reply("GET").wantText(t, "HTTP_X_FILL="+value)
			c.Close()
		}
	}
}

func TestHeadBeyondTheLimitByOneByteIsRefused(t *testing.T) {
	s := serve(t, echo)
	raw, _ := padded(defaultMaxHeader + 1)
	c := s.dial()
	_, _ = c.Write([]byte(raw))
	c.reply("GET").wantStatus(t, 431)
	c.wantClosed()
}

func TestRequestsOfOnePacketKeepTheirBodies(t *testing.T) {
	s := serve(t, echo)
	for _, size := range []int{0, 1, 1000, readSize, 3 * readSize} {
		one, two := strings.Repeat("1", size), strings.Repeat("2", size)
		raw := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, one)
		if raw += chunked; size > 0 {
			raw += fmt.Sprintf("%x;x=y\r\n%s\r\n", size, two)
		}
		raw += "0\r\nT: x\r\n\r\n" + getOne
		c := s.dial()
		for range 20 {
			c.send(raw)
		}
		for range 20 {
			c.reply("POST").wantText(t, one)
			c.reply("POST").wantText(t, two)
			c.reply("GET").wantText(t, "")
		}
		c.Close()
	}
}

func TestFieldsOfOneNameAreJoinedHoweverFarApart(t *testing.T) {
	s := serve(t, showEnv("HTTP_X_A", "HTTP_COOKIE", "HTTP_X_37", "HTTP_X_3"))
	for _, others := range []int{0, 10, fewFields - 7, fewFields - 6, 38, 500} {
		var raw strings.Builder
		raw.WriteString("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\ncookie: a=b\r\n")
		for i := range others {
			fmt.Fprintf(&raw, "X-%d: %d\r\n", i, i)
			if i == others/2 {
				raw.WriteString("x-a: 2\r\n")
			}
		}
		raw.WriteString("COOKIE: c=d\r\nX-a: 3\r\nx-A:\r\n\r\n")
		want := "HTTP_X_A=1, 2, 3, "
		if others == 0 {
			want = "HTTP_X_A=1, 3, "
		}
		want += "\nHTTP_COOKIE=a=b; c=d\nHTTP_X_37="
		if others > 37 {
			want += "37"
		} else {
			want += "(none)"
		}
		if want += "\nHTTP_X_3="; others > 3 {
			want += "3"
		} else {
			want += "(none)"
		}
		s.dial().send(raw.String()).reply("GET").wantText(t, want)
	}
}

func TestConnectionEndsAsTheClientSays(t *testing.T) {
	l := listenWant(t, "127.0.0.1:0", ListenOptions{})
	s := serveBy(t, OwnEngine, l, echo) // net/http sees the first line only, in HTTP/1.0
	for request, kept := range map[string]bool{
		"1.1":                                          true,
		"1.1|Connection: keep-alive":                   true,
		"1.1|Connection: close":                        false,
		"1.1|Connection: CLOSE":                        false,
		"1.1|Connection: close, keep-alive":            false,
		"1.1|Connection: keep-alive ,\t close":         false,
		"1.1|Connection: x|Connection: close":          false,
		"1.1|Connection: close|Connection: x":          false,
		"1.1|Connection: closed":                       true,
		"1.1|Connection: \"close\"":                    true,
		"1.1|Connection:":                              true,
		"1.0":                                          false,
		"1.0|Connection: x":                            false,
		"1.0|Connection: Keep-Alive":                   true,
		"1.0|Connection: x, keep-alive":                true,
		"1.0|Connection: x|Connection:keep-alive":      true,
		"1.0|Connection: keep-alive, close":            false,
		"1.0|Connection: keep-alive|Connection: close": false,
		"1.0|Connection: close|Connection: keep-alive": false,
	} {
		t.Run(request, func(t *testing.T) {
			c := s.dial()
			c.t = t
			raw := "GET / HTTP/" + strings.ReplaceAll(request, "|", "\r\n") + "\r\nHost: a\r\n\r\n"
			for range 2 {
				r := c.send(raw).reply("GET").wantStatus(t, 200)
				if r.Close == kept {
					t.Fatalf("announced that it ends: %v", r.Close)
				}
				if !kept {
					c.wantClosed()
					return
				}
			}
		})
	}
}

func TestBodyThatCameWithItsExpectationIsRead(t *testing.T) {
	s := serve(t, echo)
	expecting := "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
	c := s.dial().send(expecting + "Content-Length: 2\r\n\r\nhi" + expecting + "Transfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n" + getOne)
	for _, want := range []string{"hi", "ho"} {
		r := c.reply("POST")
		if r.StatusCode == http.StatusContinue {
			r = c.reply("POST")
		}
		r.wantText(t, want)
	}
	c.reply("GET").wantText(t, "")
}

// untilLeft is an app that waits for its client to leave, or for an hour.
func untilLeft(waited *time.Duration) app {
	return func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		begun := time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
		*waited = time.Since(begun)
		return whole(200, "to nobody"), ctx.Err()
	}
}

func TestClientThatLeavesIsNoticedSoon(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Millisecond, watchAfter, 50 * time.Millisecond, time.Minute} {
		for _, raw := range []string{getOne, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", chunked + "1\r\nx\r\n0\r\n\r\n"} {
			var waited time.Duration
			inVirtualTime(t, untilLeft(&waited), func(o *Options) { o.Timeout = time.Second }, func(s *site, c *client) {
				c.send(raw)
				time.Sleep(after)
				c.Close()
				s.logged("client left")
				if waited > max(after, watchAfter) {
					t.Errorf("noticed after %v that it left after %v", waited, after)
				}
			})
		}
	}
}

func TestClientThatLeavesBehindItsNextRequestHarmsNobody(t *testing.T) {
	var waited time.Duration
	inVirtualTime(t, untilLeft(&waited), unchanged, func(s *site, c *client) {
		c.send(getOne)
		time.Sleep(time.Second)
		c.send("G").Close()   // net/http reads no more of it
		time.Sleep(time.Hour) // what it sent may hide that it left
		synctest.Wait()
		s.roster().eachPeer(func(peer) { t.Error("the connection is still there") })
	})
}

func TestClientThatReadsNothingIsLeftInTime(t *testing.T) {
	const large = 10 << 20
	for name, answer := range map[string]func() *psgi.Response{
		"whole":  func() *psgi.Response { return whole(200, strings.Repeat("x", 100_000)) },
		"chunks": func() *psgi.Response { return pieces(script(strings.Repeat("x", large))) },
		"small":  func() *psgi.Response { return whole(200, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, always(answer), func(o *Options) { o.Timeout = 5 * time.Second }, func(s *site, c *client) {
				begun := time.Now()
				c.send(getOne)
				s.eventually("the connection's end", func() bool {
					there := false
					s.roster().eachPeer(func(peer) { there = true })
					return !there
				})
				if waited := time.Since(begun); waited < 5*time.Second || waited > 6*time.Second {
					t.Errorf("left after %v", waited)
				}
			})
		})
	}
}

func TestStopIsAtOnceThoughAnEmptyLineCameLast(t *testing.T) {
	inVirtualTime(t, echo, unchanged, func(s *site, c *client) {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n").reply("POST").wantText(t, "hi")
		synctest.Wait()
		begun := time.Now()
		if err := s.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("it took %v", waited)
		}
		c.wantClosed()
	})
}

func TestWaitingConnectionHoldsNothingOfItsLastRequest(t *testing.T) {
	inBubble := func(t *testing.T) {
		pipe := newPipe()
		s := serveBy(t, OwnEngine, pipe, echo)
		c := s.over(pipe.dial())
		_ = c.SetDeadline(time.Time{})
		c.send("GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("A:\r\n", 15_000)+"\r\n").reply("GET").wantStatus(t, 200)
		c.get("/").wantStatus(t, 200)
		synctest.Wait()
		s.roster().eachPeer(func(p peer) {
			x := &p.(*http1Conn).x
			asked := x.asked
			if n := cap(asked.header); n > 100 || x.out != nil {
				t.Fatalf("it has room for %d fields, and for %d bytes to send", n, cap(x.out))
			}
			for _, f := range asked.header[:cap(asked.header)] {
				if f.Name != "" {
					t.Errorf("it holds the field %s", f.Name)
				}
			}
			if asked.method+asked.target+asked.proto+asked.host != "" {
				t.Errorf("it holds %v", asked)
			}
		})
	}
	synctest.Test(t, inBubble)
}

func TestInformationThatWasCutEndsTheConnection(t *testing.T) {
	inVirtualTime(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		req.Inform(103, hints)
		return whole(200, "done"), nil
	}), unchanged, func(s *site, c *client) {
		c.send(getOne)
		begun := make([]byte, 5)
		if _, err := io.ReadFull(c.Conn, begun); err != nil || string(begun) != "HTTP/" {
			t.Fatalf("%q, %v", begun, err)
		}
		time.Sleep(2 * informPatience)
		if rest, _ := io.ReadAll(c.Conn); len(rest) > 0 {
			t.Errorf("in the middle of the information came %q", rest)
		}
	})
}

func TestLastAnswerIsWholeThoughMoreRequestsCame(t *testing.T) {
	const size = 8 << 20
	l, err := Listen("127.0.0.1:0", ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	large := always(func() *psgi.Response { return pieces(script(strings.Repeat("x", size))) })
	s := serveBy(t, OwnEngine, l, large, func(o *Options) { o.MaxKeepaliveReqs = 1 })
	c := s.dial().send(strings.Repeat(getOne, 1000)) // more than the server reads at once
	if r := c.reply("GET"); len(r.text) != size || r.err != nil {
		t.Errorf("%d bytes, error %v", len(r.text), r.err)
	}
}

// panicking is an access log that fails on the first line, in the worst way.
type panicking struct{ told chan struct{} }

func (p panicking) Write(line []byte) (int, error) {
	select {
	case <-p.told:
	default:
		close(p.told)
		panic("no log")
	}
	return len(line), nil
}

func TestPanicOutsideOfTheAppEndsOneConnectionOnly(t *testing.T) {
	l := listenWant(t, "127.0.0.1:0", ListenOptions{})
	s := serveBy(t, OwnEngine, l, echo, func(o *Options) { o.AccessLog = panicking{make(chan struct{})} })
	other := s.dial()
	first := s.dial().send(getOne)
	_, _ = io.Copy(io.Discard, first) // it may have its answer, and ends in any case
	other.get("/").wantStatus(t, 200)
	s.logged("panic in a connection")
}

// exhausted is a listener that has no descriptors for a while.
type exhausted struct {
	*pipe
	failures chan error
	tries    []time.Time
}

func (l *exhausted) Accept() (net.Conn, error) {
	select {
	case err := <-l.failures:
		l.tries = append(l.tries, time.Now())
		return nil, err
	default:
		return l.pipe.Accept()
	}
}

func TestAcceptIsTriedAgainWhenDescriptorsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = 12
		l := &exhausted{pipe: newPipe(), failures: make(chan error, times)}
		for range times {
			l.failures <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		begun := time.Now()
		s := serveAt(t, l, echo)
		c := s.over(l.dial())
		_ = c.SetDeadline(time.Time{})
		c.get("/").wantStatus(t, 200)
		if waited := time.Since(begun); waited > 10*time.Second {
			t.Errorf("accepted after %v", waited)
		}
		if first, last := l.tries[1].Sub(l.tries[0]), l.tries[times-1].Sub(l.tries[times-2]); first > last || last > time.Second {
			t.Errorf("pauses from %v to %v", first, last)
		}
	})
}

func TestStopDoesNotWaitForThePauseOfAccept(t *testing.T) {
	if engineUnderTest() != OwnEngine {
		return // net/http's waits
	}
	synctest.Test(t, func(t *testing.T) {
		const times = 12
		l := &exhausted{pipe: newPipe(), failures: make(chan error, times)}
		for range times {
			l.failures <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		s := serveAt(t, l, echo)
		time.Sleep(4 * time.Second) // the last pauses have a second each
		synctest.Wait()
		begun := time.Now()
		if err := s.server.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("stopped after %v", waited)
		}
	})
}

func TestThousandConnectionsLeaveNothing(t *testing.T) {
	s := serveUnix(t, echo)
	turn := func(n int) {
		var all sync.WaitGroup
		for i := range n {
			c, err := net.Dial("unix", s.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer c.Close()
				switch i % 4 {
				case 0:
					_, _ = io.WriteString(c, "GET / HT")
				case 1:
					_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 80_000))
				default:
					_, _ = io.WriteString(c, getOne)
					_, _ = c.Read(make([]byte, 1))
				}
			})
		}
		all.Wait()
	}
	nobody := func() bool {
		there := false
		s.roster().eachPeer(func(peer) { there = true })
		return !there
	}
	turn(10)
	s.eventually("the first connections' end", nobody)
	goroutines, before := runtime.NumGoroutine(), heap()
	for range 10 {
		turn(100)
	}
	s.eventually("the connections' end", nobody)
	s.eventually("the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
	s.logs.TakeAll()
	if kept := int64(heap()) - int64(before); kept > 500_000 {
		t.Errorf("%d bytes are kept", kept)
	}
}

// heap returns how many bytes are in use. Pools give up what they hold at the second
// collection.
func heap() uint64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestNobodyEverGetsBytesOfAnother(t *testing.T) {
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		env := req.Env.Map()
		text := strings.Join([]string{env["PATH_INFO"], env["QUERY_STRING"], env["HTTP_X_MARK"], string(req.Body)}, "|")
		if len(text)%2 == 0 {
			return whole(200, text, "X-Mark", env["HTTP_X_MARK"]), nil
		}
		half := len(text) / 2
		return pieces(script(text[:half], text[half:]), "X-Mark", env["HTTP_X_MARK"]), nil
	}))
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			mark := fmt.Sprintf("client-%02d-", i)
			order := rand.New(rand.NewPCG(uint64(i), 1))
			for range 5 {
				c, err := net.Dial("tcp", s.addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				marked(t, s.over(c), mark, order)
				_, _ = io.WriteString(c, "POST /"+mark+" HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"+strings.Repeat(mark, 100))
				c.Close()
			}
		})
	}
	all.Wait()
}

// marked sends requests that are full of a mark, several at once, and checks that the
// answers are.
func marked(t *testing.T, c *client, mark string, order *rand.Rand) {
	for range 5 {
		var raw strings.Builder
		var want []string
		for range 1 + order.IntN(4) {
			body, name := strings.Repeat(mark, order.IntN(1500)), strings.Repeat(mark, 1+order.IntN(100))
			fmt.Fprintf(&raw, "POST /%s?%s HTTP/1.1\r\nHost: a\r\nX-Mark: %s\r\n", name, mark, name)
			if order.IntN(2) == 0 {
				fmt.Fprintf(&raw, "Content-Length: %d\r\n\r\n%s", len(body), body)
			} else {
				fmt.Fprintf(&raw, "Transfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", inPieces(body, 1+order.IntN(3000)))
			}
			want = append(want, strings.Join([]string{"/" + name, mark, name, body}, "|"))
		}
		sent := make(chan error, 1)
		go func() { // ends when all is sent, or the connection does
			_, err := io.WriteString(c, raw.String())
			sent <- err
		}()
		for _, text := range want {
			r, err := c.tryReply("POST")
			if err != nil || r.text != text || !strings.HasPrefix(text, "/"+r.Header.Get("X-Mark")+"|") {
				t.Errorf("%s: %v, of %d bytes came %d, with X-Mark %s", mark, err, len(text), len(r.text), r.Header.Get("X-Mark"))
				return
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// inPieces frames a body in chunks, without the last.
func inPieces(body string, size int) string {
	var raw strings.Builder
	for body != "" {
		n := min(size, len(body))
		fmt.Fprintf(&raw, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return raw.String()
}
