package server

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

const getOne = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// ask serves one answer for one GET. Any further request is answered with "next".
func ask(t *testing.T, answer *psgi.Response) (*site, *client, reply) {
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
	return s, c, c.send(getOne).reply("GET")
}

func TestWholeResponseGetsItsLength(t *testing.T) {
	body := script("hello")
	_, _, r := ask(t, &psgi.Response{Status: 200, Body: body, Whole: true, Header: fields()})
	r.wantText(t, "hello")
	if r.ContentLength != 5 || len(r.TransferEncoding) > 0 {
		t.Errorf("length %d, coding %v", r.ContentLength, r.TransferEncoding)
	}
	if body.closed.Load() != 1 {
		t.Errorf("closed %d times", body.closed.Load())
	}
}

func TestEmptyWholeResponseGetsLengthZero(t *testing.T) {
	_, _, r := ask(t, &psgi.Response{Status: 200, Body: script(), Whole: true, Header: fields()})
	if r.wantText(t, ""); r.ContentLength != 0 {
		t.Errorf("length %d", r.ContentLength)
	}
}

func TestPiecesWithoutLengthAreChunked(t *testing.T) {
	_, _, r := ask(t, pieces(script("a", "", "b", strings.Repeat("c", 100_000))))
	r.wantText(t, "ab"+strings.Repeat("c", 100_000))
	if diff := cmp.Diff([]string{"chunked"}, r.TransferEncoding); diff != "" {
		t.Error(diff)
	}
}

func TestPiecesWithLengthAreSentAsDeclared(t *testing.T) {
	_, _, r := ask(t, pieces(script("ab", "cd"), "Content-Length", "4"))
	if r.wantText(t, "abcd"); r.ContentLength != 4 {
		t.Errorf("length %d", r.ContentLength)
	}
}

func TestOldClientGetsPiecesUntilTheEndOfTheConnection(t *testing.T) {
	s := serve(t, always(func() *psgi.Response { return stream(script("ab", "cd")) }))
	c := s.dial().send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	r := c.reply("GET").wantText(t, "abcd")
	if len(r.TransferEncoding) > 0 || r.Header.Get("Connection") == "keep-alive" {
		t.Errorf("coding %v, Connection %q", r.TransferEncoding, r.Header.Get("Connection"))
	}
}

func TestOldClientCanTellThatPiecesAreMissing(t *testing.T) {
	s := serve(t, always(func() *psgi.Response { return stream(script("ab").failing(psgi.ErrAborted)) }))
	c := s.dial().send("GET / HTTP/1.0\r\n\r\n")
	if rest, err := io.ReadAll(c.r); err == nil {
		t.Errorf("%q looks complete", rest)
	}
	s.logged("response cut")
}

func TestStreamReachesTheClientPieceByPiece(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		return stream(script("", "one", "two").gated(ctx, gate)), nil
	}))
	c := s.dial().send(getOne)
	readUntil(t, c, "\r\n\r\n") // the head does not wait for the first bytes
	gate <- struct{}{}
	readUntil(t, c, "one")
	gate <- struct{}{}
	readUntil(t, c, "two")
	close(gate)
	readUntil(t, c, "0\r\n\r\n")
}

// readUntil reads up to and including a text.
func readUntil(t *testing.T, c *client, text string) {
	t.Helper()
	read := ""
	for !strings.HasSuffix(read, text) {
		b, err := c.r.ReadByte()
		if err != nil {
			t.Fatalf("no %q after %q: %v", text, read, err)
		}
		read += string(b)
	}
}

func TestRepeatedFieldsKeepTheirOrder(t *testing.T) {
	_, _, r := ask(t, whole(200, "", "Set-Cookie", "b=1", "X-Other", "x", "set-cookie", "a=2", "Set-Cookie", "c=3"))
	if diff := cmp.Diff([]string{"b=1", "a=2", "c=3"}, r.Header["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
}

func TestContentTypeIsNeverGuessed(t *testing.T) {
	_, _, r := ask(t, &psgi.Response{Status: 200, Body: script("<html>"), Whole: true})
	if _, ok := r.Header["Content-Type"]; ok {
		t.Errorf("Content-Type %q", r.Header["Content-Type"])
	}
}

func TestServerFieldIsTheAppsIfItSendsOne(t *testing.T) {
	named := func(o *Options) { o.ServerSoftware = "thralld/1" }
	for name, test := range map[string]struct {
		header []string
		change func(*Options)
		want   []string
	}{
		"configured":   {nil, named, []string{"thralld/1"}},
		"from the app": {[]string{"server", "mine"}, named, []string{"mine"}},
		"none":         {nil, func(*Options) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, always(func() *psgi.Response { return whole(200, "", test.header...) }), test.change)
			if diff := cmp.Diff(test.want, s.dial().get("/").Header["Server"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func fileAnswer(t *testing.T, path string, offset, length int64) *psgi.Response {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r := pieces(script())
	r.File = &psgi.File{File: f, Offset: offset, Length: length}
	return r
}

func TestFileIsSentFromItsOffset(t *testing.T) {
	const size = 3 << 20
	data := strings.Repeat("0123456789abcdef", size/16)
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ offset, length int64 }{{0, size}, {5, size - 5}, {7, 3}, {0, 512}, {size, 0}} {
		for name, start := range map[string]func(*testing.T, psgi.App, ...func(*Options)) *site{"tcp": serve, "unix": serveUnix} {
			t.Run(fmt.Sprint(name, test), func(t *testing.T) {
				answer := fileAnswer(t, file, test.offset, test.length)
				s := start(t, always(func() *psgi.Response { return answer }))
				r := s.dial().get("/").wantText(t, data[test.offset:test.offset+test.length])
				if r.ContentLength != test.length {
					t.Errorf("length %d", r.ContentLength)
				}
				waitFor(t, "the file's end", answer.Body.(*scripted).ended)
			})
		}
	}
}

func TestFileThatShrankIsCut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	s, c, r := ask(t, fileAnswer(t, file, 0, 2000))
	if r.err == nil {
		t.Error("the response looks complete")
	}
	c.wantClosed()
	s.logged("response cut")
}

func TestFileThatShrinksWhileItIsSentIsCut(t *testing.T) {
	const size, left = 32 << 20, 1 << 20 // more than sockets take in
	for name, start := range map[string]func(*testing.T, psgi.App, ...func(*Options)) *site{"tcp": serve, "unix": serveUnix} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, size); err != nil {
				t.Fatal(err)
			}
			answer := fileAnswer(t, file, 0, size)
			s := start(t, always(func() *psgi.Response { return answer }))
			c := s.dial().send(getOne)
			if _, err := c.r.Peek(1); err != nil { // it is being sent
				t.Fatal(err)
			}
			if err := os.Truncate(file, left); err != nil {
				t.Fatal(err)
			}
			if r := c.reply("GET"); r.err == nil || len(r.text) >= size {
				t.Errorf("%d bytes, error %v", len(r.text), r.err)
			}
			c.wantClosed()
			s.logged("response cut")
		})
	}
}

func TestBodyLongerThanItsLengthIsCutThere(t *testing.T) {
	s, c, r := ask(t, pieces(script("abc", "def", "ghi"), "Content-Length", "5"))
	r.wantText(t, "abcde")
	c.wantClosed()
	if got := fmt.Sprint(s.logged("response cut").ContextMap()["error"]); got != errTooLong.Error() {
		t.Errorf("logged %q", got)
	}
}

func TestBodyShorterThanItsLengthCutsTheConnection(t *testing.T) {
	s, c, r := ask(t, pieces(script("abc", "def"), "Content-Length", "7"))
	if r.err == nil {
		t.Error("the response looks complete")
	}
	c.wantClosed()
	if got := fmt.Sprint(s.logged("response cut").ContextMap()["error"]); !strings.Contains(got, "1 bytes are missing") {
		t.Errorf("logged %q", got)
	}
}

func TestFailureBeforeTheFirstPieceIsAnswered(t *testing.T) {
	for err, status := range map[error]int{psgi.ErrAborted: 500, psgi.ErrWorkerDied: 502} {
		_, c, r := ask(t, pieces(script().failing(err)))
		r.wantStatus(t, status)
		c.get("/").wantText(t, "next")
	}
}

func TestFailureAfterTheFirstPieceCutsTheConnection(t *testing.T) {
	for _, err := range []error{psgi.ErrAborted, psgi.ErrWorkerDied} {
		s, c, r := ask(t, pieces(script("a").failing(err)))
		if r.err == nil {
			t.Errorf("%q looks complete", r.text)
		}
		c.wantClosed()
		s.logged("response cut")
	}
}

func TestFailedCallIsAnsweredByTheTable(t *testing.T) {
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		return nil, fmt.Errorf("dispatch: %w", psgi.ErrQueueFull)
	}))
	c := s.dial()
	r := c.get("/").wantStatus(t, 503)
	if r.Header.Get("Retry-After") != "1" || r.text != "Service Unavailable\n" {
		t.Errorf("header %v, body %q", r.Header, r.text)
	}
	c.get("/").wantStatus(t, 503) // and the connection is kept
}

func TestAppThatTakesTooLongIsAnsweredWith504(t *testing.T) {
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		return nil, fmt.Errorf("worker 3: %w", psgi.ErrRequestTimeout)
	}))
	s.dial().get("/").wantStatus(t, 504)
	s.logged("request failed")
}

func TestPanicIsOneRequestsFailure(t *testing.T) {
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Env.Map()["PATH_INFO"] == "/panic" {
			panic("oh")
		}
		return whole(200, "fine"), nil
	}))
	c := s.dial()
	c.get("/panic").wantStatus(t, 500)
	c.get("/").wantText(t, "fine")
	if line := s.logged("panic while serving"); line.Level != zap.ErrorLevel {
		t.Errorf("logged as %v", line.Level)
	}
}

func TestClientThatDoesNotReadEndsTheResponse(t *testing.T) {
	body := script(strings.Repeat("x", 1<<20)).failing(nil)
	body.pieces = append(body.pieces, body.pieces[0], body.pieces[0])
	pipe := newPipe() // has no buffer that would take the response
	s := serveAt(t, pipe, always(func() *psgi.Response { return pieces(body) }),
		func(o *Options) { o.Timeout = 300 * time.Millisecond })
	s.over(pipe.dial()).send(getOne)
	waitFor(t, "the body's end", body.ended)
	s.logged("client left")
}
