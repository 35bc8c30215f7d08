package server

import (
	"regexp"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

var ownID = regexp.MustCompile(`^thralld\.request_id=[0-9a-f]{24}\n`)

func TestRequestIDOfATrustedProxyIsTaken(t *testing.T) {
	s := serve(t, showEnv("thralld.request_id", "HTTP_X_REQUEST_ID"), behind("127.0.0.1"), func(o *Options) { o.RequestIDHeader = "X-Request-ID" })
	longest := strings.Repeat("x", psgi.MaxID)
	for _, id := range []string{"a", "7b2e:-_./+=@#[]{}~", longest} {
		r := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: " + id + "\r\n\r\n").reply("GET")
		r.wantText(t, "thralld.request_id="+id+"\nHTTP_X_REQUEST_ID="+id)
		if got := r.Header.Values("X-Request-ID"); len(got) != 1 || got[0] != id {
			t.Errorf("X-Request-ID %q", got)
		}
	}
	for _, id := range []string{"", "a b", "a\tb", `a"b`, `a'b`, `a\b`, "\xc3\xa4", longest + "x", "a\r\nX-Request-ID: b"} {
		r := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: "+id+"\r\n\r\n").reply("GET").wantStatus(t, 200)
		if !ownID.MatchString(r.text) {
			t.Errorf("%.40q: %s", id, r.text)
		}
	}
}

func TestRequestIDOfAnybodyElseIsNot(t *testing.T) {
	for _, trusted := range []string{"", "10.0.0.0/8 unix"} {
		s := serve(t, showEnv("thralld.request_id", "HTTP_X_REQUEST_ID"), behind(trusted))
		r := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n").reply("GET")
		if !ownID.MatchString(r.text) || !strings.HasSuffix(r.text, "\nHTTP_X_REQUEST_ID=mine") {
			t.Errorf("%s", r.text)
		}
		if got, ok := r.Header["X-Request-Id"]; ok {
			t.Errorf("the response has %q, and nobody has asked for it", got)
		}
	}
}

func TestResponseCarriesTheRequestIDWhereItIsAskedFor(t *testing.T) {
	answer := func() *psgi.Response { return whole(200, "x") }
	s := serve(t, always(answer), func(o *Options) { o.RequestIDHeader, o.Mount = "X-Trace", "/app" })
	c := s.dial()
	one, two := c.get("/app").Header.Get("X-Trace"), c.get("/outside").wantStatus(t, 404).Header.Get("X-Trace")
	if len(one) != 24 || len(two) != 24 || one == two {
		t.Errorf("%q and %q", one, two)
	}
	if got := s.logged("request refused").ContextMap()["request_id"]; got != two {
		t.Errorf("the log has %q, the client %q", got, two)
	}
	answer = func() *psgi.Response { return whole(200, "x", "x-trace", "app") }
	s = serve(t, always(answer), func(o *Options) { o.RequestIDHeader = "X-Trace" })
	if got := s.dial().get("/").Header.Values("X-Trace"); len(got) != 1 || got[0] != "app" {
		t.Errorf("%q, and the app has its own", got)
	}
}
