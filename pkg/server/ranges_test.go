package server

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

// tenBytes is a body to ask for ranges of.
const tenBytes = "0123456789"

// leapDay is long ago, so that validators of the file are strong.
var leapDay = time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.UTC)

// writeFile makes a file that was modified long ago, and its folder.
func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, leapDay, leapDay); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask sends a request with some fields, as "Name: value".
func (c *client) ask(method, target string, fields ...string) reply {
	c.t.Helper()
	head := method + " " + target + " HTTP/1.1\r\nHost: test\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	return c.send(head + "\r\n").reply(method)
}

// piece is a range that a response has.
type piece struct{ kind, at, text string }

// pieces returns the ranges of a 206.
func (r reply) pieces(t *testing.T) []piece {
	t.Helper()
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "multipart/byteranges" {
		return []piece{{kind, r.Header.Get("Content-Range"), r.text}}
	}
	var all []piece
	parts := multipart.NewReader(strings.NewReader(r.text), params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // it comes bare
			return all
		}
		if err != nil {
			t.Fatalf("%v in %q", err, r.text)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, piece{p.Header.Get("Content-Type"), p.Header.Get("Content-Range"), string(text)})
	}
}

// rangeable are the answers of apps that ranges are made of.
func rangeable(t *testing.T) map[string]func() *psgi.Response {
	file := writeFile(t, filepath.Join(t.TempDir(), "f"), "xx"+tenBytes)
	return map[string]func() *psgi.Response{
		"whole": func() *psgi.Response { return whole(200, tenBytes, "Accept-Ranges", "bytes") },
		"file": func() *psgi.Response {
			r := fileAnswer(t, file, 2, 10)
			r.Header = append(r.Header, psgi.Field{Name: "Accept-Ranges", Value: "bytes"}, psgi.Field{Name: "Content-Length", Value: "10"})
			return r
		},
	}
}

func TestRangesAreThoseOfTheStandardLibrary(t *testing.T) {
	reference := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(tenBytes))
	}))
	defer reference.Close()
	ask := func(c *client, field string) (r reply, got []piece) {
		r = c.ask("GET", "/", "Range: "+field)
		if r.err != nil {
			t.Fatalf("%s: %v", field, r.err)
		}
		if r.StatusCode == http.StatusPartialContent {
			got = r.pieces(t)
		}
		return r, got
	}
	for name, answer := range rangeable(t) {
		s := serve(t, always(answer))
		mine := s.dial()
		theirs := (&site{t: t, addr: reference.Listener.Addr()}).dial()
		for _, field := range []string{
			"bytes=0-0", "bytes=0-", "bytes=9-", "bytes=9-9", "bytes=3-5", "bytes=3-99", "bytes=-1", "bytes=-10", "bytes=-99",
			"bytes=0-9", "bytes=10-", "bytes=10-11", "bytes=99-", "bytes=0-99999999999999999",
			"bytes=0-0,9-9", "bytes=1-2, 4-5 ,7-8", "bytes=0-1,-1", "bytes=5-6,1-2", "bytes=0-1,50-60", "bytes=50-60,70-",
			"bytes=0-5,2-7", "bytes=0-,0-,0-", "bytes=0-1,,2-3",
		} {
			r, got := ask(mine, field)
			wanted, want := ask(theirs, field)
			if r.StatusCode != wanted.StatusCode || r.Header.Get("Content-Range") != wanted.Header.Get("Content-Range") {
				t.Errorf("%s, %s: %d %q, the reference has %d %q", name, field, r.StatusCode, r.Header["Content-Range"],
					wanted.StatusCode, wanted.Header["Content-Range"])
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(piece{})); diff != "" {
				t.Errorf("%s, %s: %s", name, field, diff)
			}
			if r.StatusCode == http.StatusPartialContent && len(got) > 1 && r.ContentLength != int64(len(r.text)) {
				t.Errorf("%s, %s: length %d of %d bytes", name, field, r.ContentLength, len(r.text))
			}
		}
	}
}

func TestRangeThatIsIgnoredGetsTheWholeBody(t *testing.T) {
	for name, answer := range rangeable(t) {
		c := serve(t, always(answer)).dial()
		for _, field := range []string{
			"", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=0x1-2", "bytes=5-2", "bytes=1", "bytes=1-2-3", "bytes=+1-2",
			"lines=0-1", "bytes=0-1,x", "bytes 0-1", "bytes=0-1;2-3", "bytes=--1", "bytes=1 - 2",
			"bytes=" + strings.Repeat("0-0,", maxRanges+1), "bytes=" + strings.Repeat("99-,", maxRanges+1),
		} {
			if r := c.ask("GET", "/", "Range: "+field); r.StatusCode != http.StatusOK || r.text != tenBytes || r.Header.Get("Content-Range") != "" {
				t.Errorf("%s, %q: %d %q %q", name, field, r.StatusCode, r.text, r.Header["Content-Range"])
			}
		}
		r := c.ask("GET", "/", "Range: bytes="+strings.Repeat("0-0,", 9)+"3-3")
		if got := len(r.wantStatus(t, 206).pieces(t)); got != 10 {
			t.Errorf("%d ranges of 10", got)
		}
	}
}

func TestRangeIsForGetAndForWhatTheAppAllows(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		answer *psgi.Response
		status int
	}{
		"HEAD":                      {"HEAD", whole(200, tenBytes, "Accept-Ranges", "bytes"), 200},
		"POST":                      {"POST", whole(200, tenBytes, "Accept-Ranges", "bytes"), 200},
		"no Accept-Ranges":          {"GET", whole(200, tenBytes), 200},
		"Accept-Ranges: none":       {"GET", whole(200, tenBytes, "Accept-Ranges", "none"), 200},
		"status 201":                {"GET", whole(201, tenBytes, "Accept-Ranges", "bytes"), 201},
		"206 of the app":            {"GET", whole(206, "01234", "Accept-Ranges", "bytes", "Content-Range", "bytes 0-4/10"), 206},
		"pieces":                    {"GET", pieces(script("01234", "56789"), "Accept-Ranges", "bytes", "Content-Length", "10"), 200},
		"empty":                     {"GET", whole(200, "", "Accept-Ranges", "bytes"), 200},
		"of other units than bytes": {"GET", whole(200, tenBytes, "Accept-Ranges", "rows"), 200},
	} {
		t.Run(name, func(t *testing.T) {
			var text string
			for _, p := range test.answer.Body.(*scripted).pieces {
				text += p
			}
			if test.method == "HEAD" {
				text = ""
			}
			c := serve(t, always(func() *psgi.Response { return test.answer })).dial()
			r := c.ask(test.method, "/", "Range: bytes=0-4").wantStatus(t, test.status)
			if r.text != text || r.err != nil {
				t.Errorf("body %q, want %q; error %v", r.text, text, r.err)
			}
		})
	}
}

func TestRangeThatIsNotThereKeepsTheAppsOtherFields(t *testing.T) {
	c, r := askFor(t, whole(200, tenBytes, "Accept-Ranges", "bytes", "Access-Control-Allow-Origin", "*", "Content-Encoding", "x"),
		"Range: bytes=10-")
	r.wantStatus(t, 416)
	if r.text != "" || r.Header.Get("Content-Range") != "bytes */10" || r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("body %q, header %v", r.text, r.Header)
	}
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if r.Header.Get(name) != "" {
			t.Errorf("%s is about a body that is not there", name)
		}
	}
	c.get("/").wantText(t, "next")

	// The standard library answers this one with 206 and "bytes 10-9/10".
	_, r = askFor(t, whole(200, tenBytes, "Accept-Ranges", "bytes"), "Range: bytes=-0")
	r.wantStatus(t, 416)
}

// askFor is ask with fields in the request.
func askFor(t *testing.T, answer *psgi.Response, fields ...string) (*client, reply) {
	t.Helper()
	answers := make(chan *psgi.Response, 1)
	answers <- answer
	s := serve(t, always(func() *psgi.Response {
		select {
		case answer := <-answers:
			return answer
		default:
			return whole(200, "next")
		}
	}))
	c := s.dial()
	return c, c.ask("GET", "/", fields...)
}

func TestRangesOfLargeFileAreSentFromIt(t *testing.T) {
	const size = 3 << 20
	data := strings.Repeat("0123456789abcdef", size/16)
	file := writeFile(t, filepath.Join(t.TempDir(), "f"), data)
	s := serve(t, always(func() *psgi.Response {
		r := fileAnswer(t, file, 0, size)
		r.Header = append(r.Header, psgi.Field{Name: "Accept-Ranges", Value: "bytes"})
		return r
	}))
	c := s.dial()
	for _, test := range []struct{ from, to int }{{0, 1}, {1 << 20, 3<<20 - 7}, {3<<20 - 1, 3<<20 - 1}} {
		r := c.ask("GET", "/", fmt.Sprintf("Range: bytes=%d-%d", test.from, test.to)).wantStatus(t, 206)
		if r.text != data[test.from:test.to+1] {
			t.Errorf("%v: another text, of %d bytes", test, len(r.text))
		}
	}
	got := c.ask("GET", "/", "Range: bytes=2000000-2500000,5-1000000").wantStatus(t, 206).pieces(t)
	want := []piece{
		{"text/plain", fmt.Sprintf("bytes 2000000-2500000/%d", size), data[2000000:2500001]},
		{"text/plain", fmt.Sprintf("bytes 5-1000000/%d", size), data[5:1000001]},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%d ranges, or others", len(got))
	}
}

func TestRangeIsForWhoHasTheRest(t *testing.T) {
	const date, later = "Thu, 29 Feb 2024 12:00:00 GMT", "Fri, 01 Mar 2024 12:00:00 GMT"
	for _, test := range []struct {
		etag, field string
		status      int
	}{
		{`"a"`, `"a"`, 206},
		{`"a"`, `"b"`, 200},
		{`"a"`, `W/"a"`, 200},
		{`W/"a"`, `W/"a"`, 200},
		{`W/"a"`, `"a"`, 200},
		{`"a"`, date, 206},
		{`"a"`, later, 200},
		{`"a"`, "Thu, 29 Feb 2024 11:59:59 GMT", 200},
		{`"a"`, "nonsense", 200},
		{"", `"a"`, 200},
		{"", `""`, 200},
	} {
		header := []string{"Accept-Ranges", "bytes", "Last-Modified", date}
		if test.etag != "" {
			header = append(header, "ETag", test.etag)
		}
		_, r := askFor(t, whole(200, tenBytes, header...), "Range: bytes=0-1", "If-Range: "+test.field)
		if r.StatusCode != test.status {
			t.Errorf("ETag %s, If-Range: %s: %d, want %d", test.etag, test.field, r.StatusCode, test.status)
		}
	}
}

func FuzzRanges(f *testing.F) {
	f.Add("bytes=0-1,-5", int64(10))
	f.Add("bytes=9223372036854775807-,-9223372036854775807", int64(1))
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		ranges, ok := parseRanges(field, size)
		if !ok && ranges != nil || len(ranges) > maxRanges {
			t.Fatalf("%d ranges, %v", len(ranges), ok)
		}
		total := int64(0)
		for _, r := range ranges {
			if r.offset < 0 || r.length <= 0 || r.offset > size-r.length {
				t.Fatalf("%+v of %d bytes", r, size)
			}
			if total += r.length; total > size || total < 0 {
				t.Fatal("more than the body together")
			}
		}
	})
}
