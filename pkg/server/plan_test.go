package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestHeadIsAnsweredWithoutBody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		answer func() *psgi.Response
		length int64
	}{
		"whole":                          {func() *psgi.Response { return whole(200, "hello") }, 5},
		"whole with length":              {func() *psgi.Response { return whole(200, "hello", "Content-Length", "5") }, 5},
		"body left out, length kept":     {func() *psgi.Response { return whole(200, "", "Content-Length", "77") }, 77},
		"body left out, no length":       {func() *psgi.Response { return whole(200, "") }, -1},
		"pieces":                         {func() *psgi.Response { return pieces(script("a", "b")) }, -1},
		"pieces with length":             {func() *psgi.Response { return pieces(script("a", "b"), "Content-Length", "2") }, 2},
		"stream":                         {func() *psgi.Response { return stream(script("a", "b")) }, -1},
		"file":                           {func() *psgi.Response { return fileAnswer(t, file, 1, 3) }, 3},
		"stream that would fail halfway": {func() *psgi.Response { return stream(script("a").failing(psgi.ErrAborted)) }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			answers := make(chan *psgi.Response, 2)
			answer := test.answer()
			answers <- answer
			answers <- whole(200, "next")
			s := serve(t, always(func() *psgi.Response { return <-answers }))
			c := s.dial().send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + getOne)
			r := c.reply("HEAD").wantStatus(t, 200)
			if r.ContentLength != test.length || len(r.TransferEncoding) > 0 {
				t.Errorf("length %d, coding %v", r.ContentLength, r.TransferEncoding)
			}
			if body, ok := answer.Body.(*scripted); ok {
				waitFor(t, "the body's end", body.ended)
			}
			c.reply("GET").wantText(t, "next")
		})
	}
}

func TestStatusWithoutBodyHasNoneAndNoFieldsAboutIt(t *testing.T) {
	for _, status := range []int{204, 304} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s, c, r := ask(t, whole(status, "hello", "Content-Length", "5", "ETag", "x"))
			r.wantStatus(t, status)
			for _, name := range []string{"Content-Type", "Content-Length", "Transfer-Encoding"} {
				if values, ok := r.Header[name]; ok {
					t.Errorf("%s: %q", name, values)
				}
			}
			if r.Header.Get("ETag") != "x" || len(r.TransferEncoding) > 0 {
				t.Errorf("header %v, coding %v", r.Header, r.TransferEncoding)
			}
			dropped := s.logged("response has what its status does not allow").ContextMap()["dropped"]
			if diff := cmp.Diff([]any{"Content-Type", "Content-Length", "body"}, dropped); diff != "" {
				t.Error(diff)
			}
			c.get("/").wantText(t, "next")
		})
	}
}

func TestBreachOfTheContractIsA500WithItsName(t *testing.T) {
	with := func(status int, h ...psgi.Field) *psgi.Response {
		return &psgi.Response{Status: status, Header: h, Body: script("x"), Whole: true, Worker: 3, Generation: 2}
	}
	for name, test := range map[string]struct {
		answer *psgi.Response
		breach string
	}{
		"status 0":               {with(0), "status 0"},
		"status 100":             {with(100), "status 100"},
		"status 1000":            {with(1000), "status 1000"},
		"line break in a value":  {with(200, psgi.Field{Name: "X", Value: "a\r\nSet-Cookie: b"}), "control character"},
		"LF in a value":          {with(200, psgi.Field{Name: "X", Value: "a\nb"}), "control character"},
		"NUL in a value":         {with(200, psgi.Field{Name: "X", Value: "a\x00"}), "control character"},
		"line break in a name":   {with(200, psgi.Field{Name: "X\r\nY", Value: "a"}), "not allowed"},
		"colon in a name":        {with(200, psgi.Field{Name: "X:", Value: "a"}), "not allowed"},
		"empty name":             {with(200, psgi.Field{Value: "a"}), "empty"},
		"Status":                 {with(200, psgi.Field{Name: "Status", Value: "200"}), "Status"},
		"Transfer-Encoding":      {with(200, psgi.Field{Name: "Transfer-Encoding", Value: "gzip"}), "Transfer-Encoding"},
		"length too small":       {with(200, psgi.Field{Name: "Content-Length", Value: "0"}), "Content-Length is 0, but the body has 1"},
		"length too large":       {with(200, psgi.Field{Name: "Content-Length", Value: "2"}), "Content-Length is 2, but the body has 1"},
		"length that is no such": {with(200, psgi.Field{Name: "Content-Length", Value: "one"}), "no number"},
		"negative length":        {with(200, psgi.Field{Name: "Content-Length", Value: "-1"}), "no number"},
		"two lengths": {with(200, psgi.Field{Name: "Content-Length", Value: "1"},
			psgi.Field{Name: "content-length", Value: "1"}), "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			s, c, r := ask(t, test.answer)
			r.wantStatus(t, 500)
			if r.text != "Internal Server Error\n" || r.Header.Get("X") != "" || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("header %v, body %q", r.Header, r.text)
			}
			line := s.logged("app broke the contract")
			if got := fmt.Sprint(line.ContextMap()["error"]); !strings.Contains(got, test.breach) {
				t.Errorf("logged %q", got)
			}
			if got := line.ContextMap(); got["worker"] != int64(3) || got["generation"] != int64(2) || got["request_id"] == "" {
				t.Errorf("logged %v", got)
			}
			waitFor(t, "the body's end", test.answer.Body.(*scripted).ended)
			c.get("/").wantText(t, "next") // the connection is in step
		})
	}
}

func TestFieldsOfTheConnectionAreNotTheApps(t *testing.T) {
	_, c, r := ask(t, whole(200, "x", "Connection", "Close, X-Secret", "Keep-Alive", "timeout=5",
		"Upgrade", "h2c", "Proxy-Connection", "close", "TE", "trailers", "Trailer", "X"))
	r.wantText(t, "x")
	for _, name := range []string{"Keep-Alive", "Upgrade", "Proxy-Connection", "Te", "Trailer"} {
		if _, ok := r.Header[name]; ok {
			t.Errorf("%s was passed on", name)
		}
	}
	if !r.Close {
		t.Error("Connection: close was not honoured")
	}
	c.wantClosed()
}
