package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// The requests that engines are measured with.
const (
	hello = "GET /text HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n"

	ofABrowser = "GET /articles/2024/some-title?page=2&sort=date HTTP/1.1\r\n" +
		"Host: www.example.org\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n" +
		"sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n" +
		"sec-ch-ua-platform: \"Linux\"\r\nDNT: 1\r\nUpgrade-Insecure-Requests: 1\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n" +
		"Referer: https://www.example.org/articles/2024\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nIf-None-Match: W/\"5d8c72a5edda8\"\r\n" +
		"If-Modified-Since: Tue, 05 Nov 2024 12:00:00 GMT\r\n" +
		"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; _id=GA1.2.1234567890.1700000000\r\n\r\n"
)

var post4K = fmt.Sprintf("POST /form HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s",
	4<<10, strings.Repeat("x", 4<<10))

func BenchmarkRequest(b *testing.B)           { benchmarkEngines(b, hello, Options{}) }
func BenchmarkRequestOfABrowser(b *testing.B) { benchmarkEngines(b, ofABrowser, Options{}) }
func BenchmarkPost4K(b *testing.B)            { benchmarkEngines(b, post4K, Options{}) }
func BenchmarkRequestWithAccessLog(b *testing.B) {
	benchmarkEngines(b, hello, Options{AccessLog: io.Discard})
}

// benchmarkEngines sends one request after another on one connection of 127.0.0.1. The
// app answers at once and allocates nothing; so what is counted is the server's, and the
// client's next to nothing.
func benchmarkEngines(b *testing.B, request string, opts Options) {
	for _, engine := range []struct {
		name string
		is   Engine
	}{{"own", OwnEngine}, {"net-http", NetHTTP}} {
		b.Run(engine.name, func(b *testing.B) {
			c := benchmarked(b, engine.is, opts)
			raw, answer := []byte(request), make([]byte, 4<<10)
			exchange := func() int {
				if _, err := c.Write(raw); err != nil {
					b.Fatal(err)
				}
				n, err := c.Read(answer)
				if err != nil {
					b.Fatal(err)
				}
				return n
			}
			size := exchange()
			if !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") || !strings.HasSuffix(string(answer[:size]), "\r\n\r\nhello") {
				b.Fatalf("%q", answer[:size])
			}
			b.ReportAllocs()
			for b.Loop() {
				if n := exchange(); n != size {
					b.Fatalf("an answer of %d bytes, not of %d", n, size)
				}
			}
		})
	}
}

// benchmarked returns a connection to a server that runs for one benchmark.
func benchmarked(b *testing.B, e Engine, opts Options) net.Conn {
	b.Helper()
	l, err := Listen("127.0.0.1:0", ListenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	s := New(e)
	opts.App, opts.Timeout, opts.KeepaliveTimeout, opts.SpoolDir = newGreeter(), time.Minute, time.Minute, b.TempDir()
	change, err := s.Prepare(opts, nil)
	if err != nil {
		b.Fatal(err)
	}
	change.Commit()
	accepting := make(chan struct{})
	go func() { // ends with Shutdown
		defer close(accepting)
		s.accept(l)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		<-accepting
	})
	return c
}

// greeter is an app with one answer, for one request at a time. It is also the answer's
// body.
type greeter struct {
	answer psgi.Response
	header [2]psgi.Field
	text   []byte
	given  bool
}

func newGreeter() *greeter { return &greeter{text: []byte("hello")} }

func (g *greeter) Call(context.Context, *psgi.Request) (*psgi.Response, error) {
	g.given = false
	g.header = [...]psgi.Field{{Name: "Content-Type", Value: "text/plain"}, {Name: "X-Frame-Options", Value: "DENY"}}
	g.answer = psgi.Response{Status: 200, Header: g.header[:], Body: g, Whole: true}
	return &g.answer, nil
}

func (g *greeter) Next() ([]byte, error) {
	if g.given {
		return nil, io.EOF
	}
	g.given = true
	return g.text, nil
}

func (g *greeter) Close() error { return nil }
