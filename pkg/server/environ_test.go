package server

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestTargetIsLocated(t *testing.T) {
	for name, test := range map[string]struct {
		method, target, mount string
		want                  place
	}{
		"root":                        {"GET", "/", "", place{uri: "/", path: "/"}},
		"query":                       {"GET", "/a?b=c?d", "", place{uri: "/a?b=c?d", query: "b=c?d", path: "/a"}},
		"empty query":                 {"GET", "/a?", "", place{uri: "/a?", path: "/a"}},
		"decoded once":                {"GET", "/a%2520b%2Fc", "", place{uri: "/a%2520b%2Fc", path: "/a%20b/c"}},
		"bytes, not characters":       {"GET", "/%e3%83%86%FF", "", place{uri: "/%e3%83%86%FF", path: "/\xe3\x83\x86\xff"}},
		"NUL":                         {"GET", "/a%00b", "", place{uri: "/a%00b", path: "/a\x00b"}},
		"query is not decoded":        {"GET", "/?a=%zz", "", place{uri: "/?a=%zz", query: "a=%zz", path: "/"}},
		"repeated slashes":            {"GET", "//a///b/", "", place{uri: "//a///b/", path: "//a///b/"}},
		"dot segments":                {"GET", "/a/../b/.", "", place{uri: "/a/../b/.", path: "/a/../b/."}},
		"plus":                        {"GET", "/a+b", "", place{uri: "/a+b", path: "/a+b"}},
		"fragment":                    {"GET", "/a?b#c?d", "", place{uri: "/a?b", query: "b", path: "/a"}},
		"absolute in a path":          {"GET", "/http://x/", "", place{uri: "/http://x/", path: "/http://x/"}},
		"absolute":                    {"GET", "http://x:81/a?b", "", place{uri: "/a?b", query: "b", path: "/a", host: "x:81"}},
		"absolute in capitals":        {"GET", "HTTP://x/a", "", place{uri: "/a", path: "/a", host: "x"}},
		"absolute without path":       {"GET", "http://x", "", place{uri: "/", path: "/", host: "x"}},
		"absolute with query alone":   {"GET", "http://x?b", "", place{uri: "/?b", query: "b", path: "/", host: "x"}},
		"the server":                  {"OPTIONS", "*", "", place{uri: "*"}},
		"the server, mounted":         {"OPTIONS", "*", "/app", place{uri: "*", script: "/app"}},
		"mounted":                     {"GET", "/app/a", "/app", place{uri: "/app/a", script: "/app", path: "/a"}},
		"mount point itself":          {"GET", "/app", "/app", place{uri: "/app", script: "/app"}},
		"mount point and slash":       {"GET", "/app/", "/app", place{uri: "/app/", script: "/app", path: "/"}},
		"mount point and two slashes": {"GET", "/app//a", "/app", place{uri: "/app//a", script: "/app", path: "//a"}},
		"mount point escaped":         {"GET", "/%61pp/a", "/app", place{uri: "/%61pp/a", script: "/app", path: "/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &request{method: test.method, target: test.target, scheme: "http"}
			got, err := locate(r, test.mount)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(place{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestLineIsForPeople(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, test := range []struct{ method, uri, want string }{
		{"GET", "/path?secret=1", "GET /path"},
		{"OPTIONS", "*", "OPTIONS *"},
		{"GET", "/a%0ab", "GET /a%0ab"},
		{"GET", "/\xc3\xbc\xc2\x9b\xff\n", "GET /????"},
		{"GET", "/" + long, "GET /" + long[:195]},
		{long, "/path", long[:199] + " "},
	} {
		asked := &request{method: test.method, line: test.method + " " + test.uri}
		if got := requestLine(asked, test.uri); got != test.want {
			t.Errorf("within the head: %q, want %q", got, test.want)
		}
		if got := requestLine(&request{method: test.method}, test.uri); got != test.want {
			t.Errorf("%.10q %.10q: %q, want %q", test.method, test.uri, got, test.want)
		}
	}
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) { return whole(200, req.Line), nil }),
		func(o *Options) { o.Mount = "/app" })
	s.dial().get("/app/path?query").wantText(t, "GET /app/path")
	s.dial().get("http://other/app?x").wantText(t, "GET /app")
}

func TestTargetOutsideOfTheMountPointIsNotFound(t *testing.T) {
	for _, target := range []string{"/", "/ap", "/apple", "//app", "/x/app"} {
		_, err := locate(&request{method: "GET", target: target, scheme: "http"}, "/app")
		if !errors.Is(err, errNotMounted) {
			t.Errorf("%s: %v", target, err)
		}
	}
	s := serve(t, echo, func(o *Options) { o.Mount = "app/" })
	c := s.dial()
	c.get("/").wantStatus(t, 404)
	c.get("/app").wantStatus(t, 200)
}

func TestTargetOfTheAbsoluteFormWinsOverHost(t *testing.T) {
	s := serve(t, showEnv("HTTP_HOST", "REQUEST_URI", "PATH_INFO"))
	s.dial().send("GET http://right:81/a HTTP/1.1\r\nHost: wrong\r\n\r\n").reply("GET").
		wantText(t, "HTTP_HOST=right:81\nREQUEST_URI=/a\nPATH_INFO=/a")
}

func TestEnvironmentOfAPlainRequest(t *testing.T) {
	r := &request{
		method: "POST", target: "/a%20b?c", proto: "HTTP/1.1", scheme: "http", host: "example.org:81",
		header: psgi.Header{
			{Name: "Accept", Value: "a"},
			{Name: "Accept", Value: "b"},
			{Name: "Cookie", Value: "c=1"},
			{Name: "Cookie", Value: "d=2"},
			{Name: "Authorization", Value: "Basic x"},
			{Name: "Content-Type", Value: "text/plain"},
			{Name: "content-length", Value: "3"},
			{Name: "X-Empty", Value: ""},
			{Name: "X_Spoofed", Value: "x"},
			{Name: "Content_Length", Value: "99"},
			{Name: "Proxy", Value: "http://evil"},
		},
		length: 3,
		endpoints: newEndpoints(
			&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 4000}),
	}
	at, err := locate(r, "")
	if err != nil {
		t.Fatal(err)
	}
	var env psgi.Env
	environ(&env, r, at, call{id: "id", software: "thralld", received: 3})
	want := map[string]string{
		"REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a b", "REQUEST_URI": "/a%20b?c",
		"QUERY_STRING": "c", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "thralld",
		"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "5000", "SERVER_ADDR": "127.0.0.1",
		"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "4000",
		"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3",
		"HTTP_HOST": "example.org:81", "HTTP_ACCEPT": "a, b", "HTTP_COOKIE": "c=1; d=2",
		"HTTP_AUTHORIZATION": "Basic x", "HTTP_X_EMPTY": "",
		"psgi.url_scheme": "http", "thralld.request_id": "id",
	}
	if diff := cmp.Diff(want, env.Map()); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironmentOverTheWire(t *testing.T) {
	keys := []string{
		"SERVER_NAME", "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE",
		"HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_X_TWO", "HTTP_PROXY", "HTTPS", "COOKIE",
	}
	s := serve(t, showEnv(keys...))
	for name, test := range map[string]struct {
		raw  string
		want []string // as keys
	}{
		"no body": {
			"GET / HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nProxy: x\r\nX-Two: 2\r\nCookie: c\r\n\r\n",
			[]string{"127.0.0.1", "HTTP/1.1", "127.0.0.1", "h", "(none)", "(none)", "(none)", "(none)", "(none)", "1, 2", "(none)", "(none)", "(none)"},
		},
		"empty body": {
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Type: a/b\r\n\r\n",
			[]string{"127.0.0.1", "HTTP/1.1", "127.0.0.1", "h", "0", "a/b", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)"},
		},
		"chunks": {
			"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Two: 3\r\n\r\n",
			[]string{"127.0.0.1", "HTTP/1.1", "127.0.0.1", "h", "5", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)"},
		},
		"old client without Host": {
			"GET / HTTP/1.0\r\n\r\n",
			[]string{"127.0.0.1", "HTTP/1.0", "127.0.0.1", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)", "(none)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			lines := make([]string, len(keys))
			for i := range keys {
				lines[i] = keys[i] + "=" + test.want[i]
			}
			c := s.dial()
			c.t = t
			c.send(test.raw).reply("GET").wantText(t, strings.Join(lines, "\n"))
		})
	}
	s = serve(t, showEnv("SERVER_PORT"))
	s.dial().get("/").wantText(t, "SERVER_PORT="+strconv.Itoa(s.addr.(*net.TCPAddr).Port))
}

func TestEnvironmentOnAUnixSocketHasAddressesToo(t *testing.T) {
	s := serveUnix(t, showEnv("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR"))
	for host, want := range map[string]string{
		"example.org:8080": "example.org 8080",
		"example.org":      "example.org 80",
		"[::1]":            "[::1] 80",
		"[::1]:81":         "[::1] 81",
		"a:":               "a 80",
		":81":              "localhost 81",
		"":                 "localhost 80",
	} {
		name, port, _ := strings.Cut(want, " ")
		s.dial().send("GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n").reply("GET").
			wantText(t, "SERVER_NAME="+name+"\nSERVER_PORT="+port+"\nREMOTE_ADDR=\nREMOTE_PORT=0\nSERVER_ADDR=(none)")
	}
}

func TestEnvironmentOnIPv6HasTheServerNameInBrackets(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no IPv6")
	}
	s := serveOn(t, "[::1]:0", showEnv("SERVER_NAME", "SERVER_ADDR", "REMOTE_ADDR"))
	s.dial().get("/").wantText(t, "SERVER_NAME=[::1]\nSERVER_ADDR=::1\nREMOTE_ADDR=::1")
}

func TestMountPointIsBroughtIntoForm(t *testing.T) {
	for given, want := range map[string]string{"": "", "/": "", "/a": "/a", "a": "/a", "/a/": "/a", "/a/b/": "/a/b"} {
		if got := mountPoint(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}

func TestHeadTooLargeForAFrameIsRefused(t *testing.T) {
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		return nil, psgi.ErrTooLarge
	}))
	s.dial().get("/").wantStatus(t, 431)
}
