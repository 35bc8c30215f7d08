package server

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// good are requests that the guard lets pass, in pieces of any size.
var good = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"\r\nGET / HTTP/1.1\r\nhost:a\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET /\xc3\xbc?x=y#z HTTP/1.1\r\nHost: \t a \t\r\nX:\r\nX-Y:\xff z\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  3 \r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: x\r\nHost: y\r\n\r\nGET / HTTP/1.0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nX-Transfer-Encoding-Content-Length: 5\r\n\r\nGET / HTTP/1.0\r\n\r\n",
}

// feed gives raw to a guard in pieces of at most size bytes, and returns what it
// lets through.
func feed(g *guard, raw string, size int) (passed string) {
	for len(raw) > 0 && g.err == nil {
		p := []byte(raw[:min(size, len(raw))])
		raw = raw[len(p):]
		passed += string(p[:g.scan(p)])
	}
	return passed
}

func TestGuardLetsGoodRequestsPassInAnyPieces(t *testing.T) {
	for _, raw := range good {
		for size := 1; size <= len(raw); size++ {
			g := guard{limit: 1000}
			passed := feed(&g, raw, size)
			if g.err != nil || passed != strings.TrimLeft(raw, "\r\n") {
				t.Fatalf("in pieces of %d: %q, %v", size, passed, g.err)
			}
			if want := strings.Count(raw, "HTTP/1."); g.heads != want || g.midHead() {
				t.Fatalf("%q: %d heads, want %d", raw, g.heads, want)
			}
		}
	}
}

func TestGuardRefusesTheSameByteInAnyPieces(t *testing.T) {
	for name, test := range refused {
		whole := guard{limit: 1000}
		want := feed(&whole, test.raw, len(test.raw))
		for _, size := range []int{1, 2, 3, 7, 64} {
			g := guard{limit: 1000}
			if got := feed(&g, test.raw, size); got != want {
				t.Errorf("%s: in pieces of %d: %d bytes pass, want %d", name, size, len(got), len(want))
			}
			if diff := cmp.Diff(text(whole.err), text(g.err)); diff != "" {
				t.Errorf("%s: in pieces of %d: %s", name, size, diff)
			}
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestGuardAllowsHeadsUpToItsLimit(t *testing.T) {
	raw := good[0]
	g := guard{limit: len(raw)}
	if feed(&g, raw+raw+raw, 100); g.err != nil || g.heads != 3 {
		t.Errorf("%d heads, error %v", g.heads, g.err)
	}
	g = guard{limit: len(raw) - 1}
	if feed(&g, raw, 100); g.err == nil {
		t.Error("a head beyond the limit has passed")
	}
}

func TestGuardDoesNotAllocate(t *testing.T) {
	raw := []byte(strings.Join(good[2:], ""))
	p := make([]byte, len(raw))
	g := guard{limit: 1000}
	if n := testing.AllocsPerRun(100, func() { copy(p, raw); g.scan(p) }); n > 0 || g.err != nil {
		t.Errorf("%v allocations, error %v", n, g.err)
	}
}

func BenchmarkGuard(b *testing.B) {
	raw := []byte("GET /some/path?and=query HTTP/1.1\r\nHost: example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
		"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n")
	g := guard{limit: 64 << 10}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		g.scan(raw)
	}
}

// FuzzGuardAgreesWithNetHTTP holds the guard against net/http: what the guard lets
// through whole, net/http splits into the same requests at the same bytes, or
// refuses; and poison put where the guard refuses makes net/http refuse, too.
func FuzzGuardAgreesWithNetHTTP(f *testing.F) {
	for _, raw := range good {
		f.Add(raw, uint8(7))
	}
	for _, test := range refused {
		if len(test.raw) < 1000 {
			f.Add(test.raw, uint8(1))
			f.Add(good[6]+test.raw, uint8(64))
		}
	}
	f.Fuzz(func(t *testing.T, raw string, size uint8) {
		g := guard{limit: 4 << 10}
		passed := feed(&g, raw, int(size)+1)
		whole := guard{limit: 4 << 10}
		if again := feed(&whole, raw, len(raw)+1); again != passed || text(g.err) != text(whole.err) {
			t.Fatalf("pieces of %d matter: %q (%v), %q (%v)", int(size)+1, passed, g.err, again, whole.err)
		}
		if dropped := len(raw) - len(passed); g.err == nil && strings.Count(raw, "\r")+strings.Count(raw, "\n") < dropped {
			t.Fatalf("%q became %q", raw, passed)
		}
		heads, bodies, err := readAll(passed)
		ours := bodiesOf(passed)
		for i := range min(len(bodies), len(ours)) {
			if bodies[i] != ours[i] {
				t.Fatalf("body %d of %q: net/http reads %q, the guard %q", i, passed, bodies[i], ours[i])
			}
		}
		if heads > g.heads {
			t.Fatalf("net/http sees %d requests, the guard %d, in %q", heads, g.heads, passed)
		}
		if g.err == nil && err == nil && g.state == atStart && heads != g.heads {
			t.Fatalf("net/http sees %d requests, the guard %d, in %q", heads, g.heads, passed)
		}
		if g.err == nil {
			return
		}
		poisoned, poisonedBodies, err := readAll(passed + g.poison())
		if poisoned > g.heads || err == nil {
			t.Fatalf("net/http does not refuse %q", passed+g.poison())
		}
		if len(poisonedBodies) > len(bodies) {
			t.Fatalf("poison has completed a body: %q", passed+g.poison())
		}
	})
}

// bodiesOf returns the bodies of the requests in raw as the guard frames them.
func bodiesOf(raw string) (bodies []string) {
	g := guard{limit: 4 << 10}
	for i := range len(raw) {
		heads, data := g.heads, g.state == inBody || g.state == inChunk
		if g.scan([]byte{raw[i]}) == 0 {
			break
		}
		if data {
			bodies[len(bodies)-1] += raw[i : i+1]
		}
		if g.heads > heads {
			bodies = append(bodies, "")
		}
	}
	return bodies
}

// readAll reads requests with net/http, up to the first error other than the end
// of the input between two of them. It returns how many heads and which bodies
// were whole.
func readAll(raw string) (heads int, bodies []string, err error) {
	r := bufio.NewReader(strings.NewReader(raw))
	for {
		if _, err := r.Peek(1); err != nil {
			return heads, bodies, nil
		}
		request, err := http.ReadRequest(r)
		if err != nil {
			return heads, bodies, err
		}
		heads++
		var b bytes.Buffer
		if _, err := io.Copy(&b, request.Body); err != nil {
			return heads, bodies, err
		}
		bodies = append(bodies, b.String())
	}
}
