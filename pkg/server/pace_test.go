package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestPatienceIsEarned(t *testing.T) {
	type wait struct {
		waited time.Duration
		bytes  int64
	}
	const minute = time.Minute
	for name, test := range map[string]struct {
		timeout time.Duration
		rate    int64
		waits   []wait
		left    time.Duration
	}{
		"at the start":            {5 * minute, 100, nil, grace},
		"of a short timeout":      {time.Second, 100, nil, time.Second},
		"by a byte now and then":  {5 * minute, 100, []wait{{10 * time.Second, 1}, {10 * time.Second, 1}}, 10*time.Second + 20*time.Millisecond},
		"at just the rate":        {5 * minute, 100, []wait{{10 * time.Second, 1000}, {20 * time.Second, 2000}}, grace},
		"no more than timeout":    {5 * minute, 100, []wait{{time.Second, 1 << 60}}, 5 * minute},
		"and used up":             {5 * minute, 100, []wait{{time.Second, 1 << 30}, {6 * minute, 0}}, 0},
		"by any byte without":     {5 * minute, 0, []wait{{4 * minute, 1}}, 5 * minute},
		"by none without":         {5 * minute, 0, []wait{{4 * minute, 0}}, minute},
		"for good without both":   {0, 0, []wait{{time.Hour, 0}}, 0},
		"on average, no timeout":  {0, 100, []wait{{0, 360_000}}, time.Hour + grace},
		"of none, and no timeout": {0, 100, []wait{{grace, 0}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPace(&settings{Options: Options{Timeout: test.timeout, MinRate: test.rate}})
			for _, w := range test.waits {
				p.spent(w.waited, w.bytes)
			}
			if p.left != test.left {
				t.Errorf("%v is left, want %v", p.left, test.left)
			}
			if endless := test.timeout == 0 && test.rate == 0; endless != (p.wait() == 0) {
				t.Errorf("waits for %v", p.wait())
			}
		})
	}
}

func atRate(o *Options) { o.Timeout, o.MinRate = 5*time.Minute, 240 }

func TestBodyOfAByteNowAndThenIsAnswered408(t *testing.T) {
	for name, framing := range map[string][2]string{
		"of a length": {"Content-Length: 1000000", "x"},
		"in chunks":   {"Transfer-Encoding: chunked", "1\r\nx\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, echo, atRate, func(s *site, c *client) {
				begun := time.Now()
				c.send("POST / HTTP/1.1\r\nHost: a\r\n" + framing[0] + "\r\n\r\n")
				left := make(chan struct{})
				go func() { // ends when the server does not read any more
					defer close(left)
					for {
						time.Sleep(time.Second)
						if _, err := io.WriteString(c, framing[1]); err != nil {
							return
						}
					}
				}()
				c.reply("POST").wantStatus(t, 408)
				if took := time.Since(begun); took < grace || took > grace+2*time.Second {
					t.Errorf("answered after %v", took)
				}
				c.wantClosed()
				<-left
				if s.logs.FilterMessage("request refused").Len() != 1 {
					t.Errorf("logged: %v", s.logs.All())
				}
			})
		})
	}
}

func TestBodyAtTheLeastRateArrives(t *testing.T) {
	inVirtualTime(t, sizeOf, atRate, func(_ *site, c *client) {
		const seconds = 600
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 240*seconds))
		for range seconds {
			time.Sleep(time.Second)
			c.send(strings.Repeat("x", 240))
		}
		c.reply("POST").wantStatus(t, 200)
	})
}

func TestReaderOfAByteNowAndThenIsCut(t *testing.T) {
	for name, answer := range map[string]func() *psgi.Response{
		"whole": func() *psgi.Response { return whole(200, strings.Repeat("x", 100_000)) },
		"in pieces": func() *psgi.Response {
			return pieces(script(strings.Repeat("x", 100_000), strings.Repeat("x", 100_000)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, always(answer), atRate, func(s *site, c *client) {
				begun := time.Now()
				c.send(getOne)
				for one := make([]byte, 1); ; time.Sleep(time.Second) {
					if _, err := c.Read(one); err != nil {
						break
					}
				}
				if took := time.Since(begun); took < grace || took > grace+5*time.Second {
					t.Errorf("cut after %v", took)
				}
			})
		})
	}
}

func TestReaderAtTheLeastRateGetsAll(t *testing.T) {
	text := strings.Repeat("x", 150_000) // ten minutes of it
	inVirtualTime(t, always(func() *psgi.Response { return whole(200, text) }), atRate, func(_ *site, c *client) {
		c.send(getOne)
		second, got := make([]byte, 250), 0
		for got < len(text) {
			n, err := io.ReadFull(c, second)
			if got += n; err != nil && got < len(text) {
				t.Fatalf("%v after %d bytes", err, got)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestReaderOnASocketThatStopsIsCut(t *testing.T) {
	text := strings.Repeat("x", 32<<20) // more than all buffers on the way take
	s := serve(t, always(func() *psgi.Response { return whole(200, text) }),
		func(o *Options) { o.Timeout, o.MinRate = 300*time.Millisecond, 1<<20 })
	c := s.dial().send(getOne)
	s.logged("client left")
	if r, err := c.tryReply("GET"); err == nil && r.err == nil {
		t.Error("the response looks complete")
	}
}

func TestHeadHasATimeOfItsOwn(t *testing.T) {
	const head, silence = 10 * time.Second, time.Minute
	set := func(o *Options) { o.Timeout, o.HeaderTimeout, o.MinRate = silence, head, 0 }
	for name, test := range map[string]struct {
		raw  string
		took time.Duration
	}{
		"nothing": {"\r\n", head},
		"head":    {"GET / HTTP/1.1\r\n", head},
		"body":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", silence},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, echo, set, func(s *site, c *client) {
				c.send(test.raw)
				synctest.Wait()
				begun := time.Now()
				_, _ = io.ReadAll(c.r)
				if took := time.Since(begun).Truncate(time.Second); took != test.took {
					t.Errorf("it had %v", took)
				}
			})
		})
	}
}
