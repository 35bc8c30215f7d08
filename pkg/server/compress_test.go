package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/thralld/thralld/pkg/psgi"
)

const gzipBrZstd = "gzip, deflate, br, zstd"

// page is long enough to be worth compressing.
var page = strings.Repeat("<li>an item of a list</li>\n", 1000)

func compressingAll(o *Options) {
	o.Compression = Compression{Codings: []string{"zstd", "br", "gzip"}, MinBytes: 100}
}

// unpacked is a body without its coding.
func unpacked(t *testing.T, r reply) string {
	t.Helper()
	var from io.Reader = strings.NewReader(r.text)
	var err error
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		from, err = gzip.NewReader(from)
	case "br":
		from = brotli.NewReader(from)
	case "zstd":
		from, err = zstd.NewReader(from)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// accepting asks for / with an Accept-Encoding.
func (c *client) accepting(codings string) reply {
	c.t.Helper()
	return c.send("GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: " + codings + "\r\n\r\n").reply("GET")
}

func TestClientGetsTheCodingThatItLikesBest(t *testing.T) {
	s := serve(t, always(func() *psgi.Response { return whole(200, page) }), compressingAll)
	c := s.dial() // the connection is kept
	for accepts, want := range map[string]string{
		gzipBrZstd:                         "zstd",
		"gzip":                             "gzip",
		"br;q=0.5, gzip;q=0.9":             "gzip",
		"gzip;q=1.0, zstd;q=0.999":         "gzip",
		"*":                                "zstd",
		"zstd;q=0, *":                      "br",
		"*;q=0, GZIP":                      "gzip",
		"x-gzip":                           "gzip",
		"identity":                         "",
		"gzip;q=0":                         "",
		"gzip;q=2":                         "",
		"gzip;q=0.0001":                    "",
		"gzipped, brotli":                  "",
		"gzip;q=0.5;q=x, br ; q=0.1 ,zstd": "zstd",
	} {
		r := c.accepting(accepts).wantStatus(t, 200)
		if got := r.Header.Get("Content-Encoding"); got != want {
			t.Errorf("%s: got %q, want %q", accepts, got, want)
		}
		if got := unpacked(t, r); got != page {
			t.Errorf("%s: the body is not what the app sent", accepts)
		}
		if got := r.Header.Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("%s: Vary is %q", accepts, got)
		}
		if want == "" != (r.ContentLength == int64(len(page))) {
			t.Errorf("%s: Content-Length is %d", accepts, r.ContentLength)
		}
	}
}

func TestWhatIsNotCompressed(t *testing.T) {
	for name, answer := range map[string]func() *psgi.Response{
		"a small body":        func() *psgi.Response { return whole(200, page[:99]) },
		"an image":            func() *psgi.Response { return typed("image/png", page) },
		"no type":             func() *psgi.Response { return typed("", page) },
		"a stream":            func() *psgi.Response { return stream(script(page)) },
		"events":              func() *psgi.Response { return typed("text/event-stream", page) },
		"a coding of its own": func() *psgi.Response { return whole(200, page, "Content-Encoding", "br") },
		"no-transform":        func() *psgi.Response { return whole(200, page, "Cache-Control", "private, no-transform") },
		"a part":              func() *psgi.Response { return whole(206, page, "Content-Range", "bytes 0-26999/27000") },
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, always(answer), compressingAll).dial().accepting(gzipBrZstd)
			if !strings.HasPrefix(page, r.text) || r.text == "" {
				t.Errorf("the body has been changed: %.40q", r.text)
			}
		})
	}
}

// typed is a whole answer of a media type.
func typed(mediaType, text string) *psgi.Response {
	r := whole(200, text)
	if r.Header = r.Header[1:]; mediaType != "" {
		r.Header = append(r.Header, psgi.Field{Name: "Content-Type", Value: mediaType})
	}
	return r
}

func TestHeadOfACompressedResponse(t *testing.T) {
	s := serve(t, always(func() *psgi.Response {
		return whole(200, page, "ETag", `"v1"`, "Vary", "Cookie", "Accept-Ranges", "bytes")
	}), compressingAll)
	for _, method := range []string{"GET", "HEAD"} {
		r := s.dial().send(method + " / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n").reply(method)
		h := r.Header
		if h.Get("Etag") != `W/"v1"` || h.Get("Vary") != "Cookie, Accept-Encoding" || h.Get("Accept-Ranges") != "" ||
			h.Get("Content-Encoding") != "gzip" || r.ContentLength == int64(len(page)) {
			t.Errorf("%s: %v, %d bytes", method, h, r.ContentLength)
		}
	}
	r := s.dial().send("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").reply("GET")
	if r.text != page {
		t.Error("a client of HTTP/1.0 gets a body without a length")
	}
}

func TestBodiesInPiecesAndFilesAreCompressed(t *testing.T) {
	path := t.TempDir() + "/page"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func() *psgi.Response{
		"pieces": func() *psgi.Response { return pieces(script(page[:100], page[100:20000], page[20000:])) },
		"a file": func() *psgi.Response { return fileAnswer(t, path, 0, int64(len(page))) },
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, always(answer), compressingAll).dial().accepting("br").wantStatus(t, 200)
			if r.Header.Get("Content-Encoding") != "br" || unpacked(t, r) != page {
				t.Errorf("%v, %d bytes", r.Header, len(r.text))
			}
		})
	}
}

func TestAppThatFailsInTheMiddleIsNoWholeCompressedResponse(t *testing.T) {
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		return pieces(script(page, page).failing(psgi.ErrAborted)), nil
	}), compressingAll)
	r, err := s.dial().send("GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n").tryReply("GET")
	if err == nil && r.err == nil {
		t.Errorf("the client got a whole response of %d bytes", len(r.text))
	}
	s = serve(t, always(func() *psgi.Response { return whole(200, page) }), compressingAll)
	if got := unpacked(t, s.dial().accepting("gzip")); got != page {
		t.Error("and the encoder is of no use to the next one")
	}
}

func BenchmarkNewEncoder(b *testing.B) {
	for coding, pool := range encoders {
		b.Run(coding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, _ := pool.New().(encoder)
				e.Reset(new(bytes.Buffer))
				_, _ = e.Write([]byte(page))
				_ = e.Close()
			}
		})
	}
}
