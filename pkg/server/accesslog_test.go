package server

import (
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestLineOfAVisit(t *testing.T) {
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", -3600))
	full := visit{
		remote: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9}, start: start,
		method: "GET", target: "/a?b=c", proto: "HTTP/1.1", status: 200, bytes: 12,
		referer: "http://example.org/", agent: "curl/8",
	}
	for _, c := range []struct {
		change func(*visit)
		want   string
	}{
		{func(*visit) {}, `192.0.2.1 - - [04/Mar/2026:05:06:07 -0100] "GET /a?b=c HTTP/1.1" 200 12 "http://example.org/" "curl/8"`},
		{
			func(v *visit) { v.remote = &net.UnixAddr{Net: "unix"}; v.bytes = 0; v.referer = "" },
			`- - - [04/Mar/2026:05:06:07 -0100] "GET /a?b=c HTTP/1.1" 200 - "-" "curl/8"`,
		},
		{
			func(v *visit) { *v = visit{remote: v.remote, start: start, status: 400, bytes: 1} },
			`192.0.2.1 - - [04/Mar/2026:05:06:07 -0100] "-" 400 1 "-" "-"`,
		},
		{
			func(v *visit) {
				v.remote = &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7")}
				v.target, v.agent = "/\"\\", "a\b\t\n\v\f\r\x00\x7f\xc3\xa9~ "
			},
			`192.0.2.7 - - [04/Mar/2026:05:06:07 -0100] "GET /\"\\ HTTP/1.1" 200 12 "http://example.org/" ` +
				`"a\b\t\n\v\x0c\r\x00\x7f\xc3\xa9~ "`,
		},
		{
			func(v *visit) { v.remote = &net.TCPAddr{IP: net.ParseIP("2001:db8::1")} },
			`2001:db8::1 - - [04/Mar/2026:05:06:07 -0100] "GET /a?b=c HTTP/1.1" 200 12 "http://example.org/" "curl/8"`,
		},
	} {
		v := full
		c.change(&v)
		if got := string(appendVisit(nil, &v)); got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

func TestEveryRequestHasALine(t *testing.T) {
	book := new(guestBook)
	s := serve(t, echo, func(o *Options) { o.AccessLog, o.MaxBodyBytes = book, 10 })
	c := s.dial()
	c.send("POST /one HTTP/1.1\r\nHost: a\r\nReferer: r\r\nUser-Agent: u\r\nContent-Length: 3\r\n\r\none").reply("POST")
	c.send("HEAD /two HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").reply("HEAD")
	c.send("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n").reply("POST").wantStatus(t, 413)
	s.dial().send("GET /spaces in it HTTP/1.1\r\n\r\n").reply("GET").wantStatus(t, 400)
	book.want(t,
		`"POST /one HTTP/1.1" 200 3 "r" "u"`,
		`"HEAD /two HTTP/1.0" 200 - "-" "-"`,
		`"POST /large HTTP/1.1" 413 18 "-" "-"`,
		`"-" 400 12 "-" "-"`,
	)
}

func TestLineTellsWhatWasSentOfACutResponse(t *testing.T) {
	book := new(guestBook)
	short := func() *psgi.Response {
		r := pieces(script("abc"), "Content-Length", "5")
		return r
	}
	s := serve(t, always(short), func(o *Options) { o.AccessLog = book })
	_, _ = io.ReadAll(s.dial().send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n"))
	book.want(t, `"GET /cut HTTP/1.1" 200 3 "-" "-"`)
}

func TestClientThatLeavesBeforeItsResponseHasALine(t *testing.T) {
	book := new(guestBook)
	begun := make(chan struct{})
	waiting := app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	s := serve(t, waiting, func(o *Options) { o.AccessLog = book })
	c := s.dial().send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the app", begun)
	_ = c.Close()
	s.logged("client left")
	book.want(t, `"GET /gone HTTP/1.1" 499 - "-" "-"`)
}

// guestBook is an access log.
type guestBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *guestBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *guestBook) read() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

var visitor = regexp.MustCompile(`(?m)^127\.0\.0\.1 - - \[[^]]+\] `)

// want waits until there are so many lines, and compares what follows the time.
func (b *guestBook) want(t *testing.T, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n") + "\n"
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := visitor.ReplaceAllString(b.read(), "")
		if got == want {
			return
		}
		if strings.Count(got, "\n") >= len(lines) || time.Now().After(deadline) {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
		<-tick.C
	}
}

func BenchmarkAccessLog(b *testing.B) {
	v := visit{
		remote: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9}, start: time.Now(),
		method: "GET", target: "/a?b=c", proto: "HTTP/1.1", status: 200, bytes: 12, agent: "Mozilla/5.0 (X11; Linux x86_64)",
	}
	a := newAccessLog(io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		a.write(&v)
	}
}
