package server

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// halfMegabyte is a body of 16 pieces that differ.
func halfMegabyte() (body *scripted, text string) {
	var parts []string
	for i := range 16 {
		parts = append(parts, strings.Repeat(string(rune('a'+i)), 32<<10))
	}
	return script(parts...), strings.Join(parts, "")
}

// files counts the files of a site's responses, and has create make them unless it is nil.
func (s *site) files(create func() (*os.File, error)) (made *int) {
	store, made := s.server.settings.Load().store, new(int)
	inner := store.create
	if create != nil {
		inner = create
	}
	store.create = func() (*os.File, error) {
		*made++
		return inner()
	}
	return made
}

func TestSlowClientGetsAllThoughTheWorkerIsFreeAtOnce(t *testing.T) {
	for name, request := range map[string]string{
		"in chunks":               getOne,
		"of a length":             "GET /length HTTP/1.1\r\nHost: a\r\n\r\n",
		"to the connection's end": "GET / HTTP/1.0\r\n\r\n",
		"streamed":                "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var body *scripted
			answer := app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
				switch req.Line {
				case "GET /length":
					return pieces(body, "Content-Length", "524288"), nil
				case "GET /stream":
					return stream(body), nil
				}
				return pieces(body), nil
			})
			inVirtualTime(t, answer, unchanged, func(s *site, c *client) {
				var text string
				body, text = halfMegabyte()
				made := s.files(nil)
				begun := time.Now()
				c.send(request)
				waitFor(t, "the body's end", body.ended)
				if held := time.Since(begun); held > behindAfter {
					t.Errorf("the worker was held for %v", held)
				}
				synctest.Wait()
				if spooled := s.server.Load().Spooled; spooled == 0 || *made != 1 {
					t.Errorf("%d bytes lie in %d files", spooled, *made)
				}
				time.Sleep(time.Second)
				c.reply("GET").wantText(t, text)
				synctest.Wait()
				if load := s.server.Load(); load.Spooled != 0 || load.Held != 0 || body.closed.Load() != 1 {
					t.Errorf("%+v; the body was closed %d times", load, body.closed.Load())
				}
			})
		})
	}
}

func TestClientThatKeepsUpCostsNoFile(t *testing.T) {
	var body *scripted
	inVirtualTime(t, always(func() *psgi.Response { return stream(body) }), unchanged, func(s *site, c *client) {
		gate := make(chan struct{})
		var text string
		body, text = halfMegabyte()
		body.gated(context.Background(), gate)
		made := s.files(nil)
		c.send(getOne)
		go func() { // ends with the body
			for range body.pieces {
				time.Sleep(time.Second) // the app is slow, and not the client
				gate <- struct{}{}
			}
		}()
		c.reply("GET").wantText(t, text)
		if *made != 0 {
			t.Errorf("%d files", *made)
		}
	})
}

func TestClientThatCatchesUpIsSentPieceByPieceAgain(t *testing.T) {
	var body *scripted
	inVirtualTime(t, always(func() *psgi.Response { return stream(body) }), unchanged, func(s *site, c *client) {
		gate := make(chan struct{})
		body = script(strings.Repeat("x", 100_000), "one", "two").gated(context.Background(), gate)
		c.send(getOne)
		time.Sleep(time.Second) // it is behind
		readUntil(t, c, "x\r\n")
		for _, piece := range []string{"one", "two"} {
			gate <- struct{}{}
			begun := time.Now()
			readUntil(t, c, piece)
			if waited := time.Since(begun); waited > 0 {
				t.Errorf("%q came %v late", piece, waited)
			}
		}
		gate <- struct{}{}
		readUntil(t, c, "0\r\n\r\n")
	})
}

func TestWorkerWaitsWhenTheSpoolIsFull(t *testing.T) {
	for name, limit := range map[string]int64{"full": 200_000, "less than a piece": 1000, "none": 0} {
		t.Run(name, func(t *testing.T) {
			var body *scripted
			inVirtualTime(t, always(func() *psgi.Response { return pieces(body) }), func(o *Options) { o.MaxSpool, o.Timeout = limit, 0 }, func(s *site, c *client) {
				var text string
				body, text = halfMegabyte()
				large := strings.Repeat("x", 100_000) // more than is kept in memory
				body.pieces[1], text = large, text[:32<<10]+large+text[64<<10:]
				made := s.files(nil)
				c.send(getOne)
				time.Sleep(time.Hour)
				load := s.server.Load()
				if load.Holding != 1 || load.Held != 1 || load.Spooled > limit || limit < 100_000 && *made > 0 {
					t.Errorf("%+v, %d files", load, *made)
				}
				select {
				case <-body.ended:
					t.Error("all has been taken")
				default:
				}
				if told := s.logs.FilterMessageSnippet("workers wait").Len() == 1; told != (limit > 0) {
					t.Errorf("logged: %v", s.logs.All())
				}
				c.reply("GET").wantText(t, text)
				synctest.Wait()
				if load := s.server.Load(); load.Holding != 0 || load.Held != 1 || load.Spooled != 0 {
					t.Errorf("at the end: %+v", load)
				}
			})
		})
	}
}

func TestRoomInTheSpoolIsForTheNext(t *testing.T) {
	var first, second *scripted
	answer := app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /second" {
			return pieces(second), nil
		}
		return pieces(first), nil
	})
	inVirtualTime(t, answer, func(o *Options) { o.MaxSpool, o.Timeout = 500_000, 0 }, func(s *site, c *client) {
		var text string
		first, _ = halfMegabyte()
		second, text = halfMegabyte()
		c.send(getOne)
		time.Sleep(time.Second)
		other := s.another().send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(time.Second)
		if load := s.server.Load(); load.Holding != 1 {
			t.Errorf("%+v", load)
		}
		c.Close()
		waitFor(t, "the body's end", second.ended)
		if load := s.server.Load(); load.Holding != 0 || load.Held != 1 {
			t.Errorf("%+v", load)
		}
		other.reply("GET").wantText(t, text)
	})
}

func TestClientThatLeavesTakesItsFileWithIt(t *testing.T) {
	var body *scripted
	inVirtualTime(t, always(func() *psgi.Response { return pieces(body) }), unchanged, func(s *site, c *client) {
		gate := make(chan struct{}, 10)
		for range cap(gate) {
			gate <- struct{}{} // the other pieces never come
		}
		body, _ = halfMegabyte()
		body.gated(context.Background(), gate)
		c.send(getOne)
		time.Sleep(time.Second)
		if s.server.Load().Spooled == 0 {
			t.Error("nothing was spooled")
		}
		c.Close()
		waitFor(t, "the body's end", body.ended)
		synctest.Wait()
		if load := s.server.Load(); load.Spooled != 0 || load.Connections != 0 {
			t.Errorf("%+v", load)
		}
		s.logged("client left")
	})
}

func TestFullDiskCutsTheResponseAndFreesTheWorker(t *testing.T) {
	full := func() (*os.File, error) { return os.OpenFile("/dev/full", os.O_RDWR, 0) }
	missing := func() (*os.File, error) { return nil, syscall.EMFILE }
	for name, create := range map[string]func() (*os.File, error){"no space": full, "no file": missing} {
		t.Run(name, func(t *testing.T) {
			var body *scripted
			inVirtualTime(t, always(func() *psgi.Response { return pieces(body) }), unchanged, func(s *site, c *client) {
				body, _ = halfMegabyte()
				s.files(create)
				c.send(getOne)
				waitFor(t, "the body's end", body.ended)
				if r, err := c.tryReply("GET"); err == nil && r.err == nil {
					t.Errorf("%d bytes look complete", len(r.text))
				}
				if cut := s.logged("response cut"); !strings.Contains(cut.ContextMap()["error"].(string), "spool response") {
					t.Errorf("logged: %v", cut)
				}
				synctest.Wait()
				if load := s.server.Load(); load.Spooled != 0 {
					t.Errorf("%+v", load)
				}
			})
		})
	}
}

func TestSlowClientIsToldThatTheAppFailed(t *testing.T) {
	var body *scripted
	inVirtualTime(t, always(func() *psgi.Response { return stream(body.failing(psgi.ErrAborted)) }), unchanged, func(s *site, c *client) {
		var text string
		body, text = halfMegabyte()
		c.send(getOne)
		waitFor(t, "the body's end", body.ended)
		r := c.reply("GET")
		if r.text != text || !errors.Is(r.err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes, %v", len(r.text), r.err)
		}
	})
}

func TestPanicOfABodyIsOfItsResponseOnly(t *testing.T) {
	var body *scripted
	inVirtualTime(t, always(func() *psgi.Response {
		return &psgi.Response{Status: 200, Header: fields(), Body: exploding{body}}
	}), unchanged, func(s *site, c *client) {
		body, _ = halfMegabyte()
		c.send(getOne)
		waitFor(t, "the body's end", body.ended)
		if r := c.reply("GET"); r.err == nil {
			t.Error("the response looks complete")
		}
	})
}

// exploding panics with the last piece.
type exploding struct{ *scripted }

func (e exploding) Next() ([]byte, error) {
	if e.given == len(e.pieces)-1 {
		panic("in Next")
	}
	return e.scripted.Next()
}
