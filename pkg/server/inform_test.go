package server

import (
	"context"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

var hints = psgi.Header{{Name: "Link", Value: "</a.css>; rel=preload"}}

// informing is an app that calls Inform from another goroutine before it answers.
func informing(infos ...func(inform func(int, psgi.Header))) app {
	return func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for _, info := range infos {
				info(req.Inform)
			}
		}()
		<-sent
		return whole(200, "done"), nil
	}
}

func TestInformationalResponsesComeAheadOfTheAnswer(t *testing.T) {
	hint := func(inform func(int, psgi.Header)) { inform(103, hints) }
	s := serve(t, informing(hint, hint))
	c := s.dial().send(getOne)
	for range 2 {
		r := c.reply("GET").wantStatus(t, 103)
		if r.Header.Get("Link") != hints[0].Value {
			t.Fatalf("header %v", r.Header)
		}
	}
	r := c.reply("GET").wantText(t, "done")
	if got := r.Header.Get("Link"); got != "" {
		t.Errorf("the final response has Link %q", got)
	}
	c.send(getOne).reply("GET")
}

func TestInformationalResponsesThatNobodyMaySeeAreDropped(t *testing.T) {
	status := func(n int) func(func(int, psgi.Header)) {
		return func(inform func(int, psgi.Header)) { inform(n, hints) }
	}
	field := func(name, value string) func(func(int, psgi.Header)) {
		return func(inform func(int, psgi.Header)) { inform(103, psgi.Header{{Name: name, Value: value}}) }
	}
	for name, test := range map[string]struct {
		info func(func(int, psgi.Header))
		line string
	}{
		"old client":             {status(103), "GET / HTTP/1.0\r\n\r\n"},
		"continue":               {status(100), getOne},
		"switch of protocols":    {status(101), getOne},
		"a final status":         {status(200), getOne},
		"no status":              {status(0), getOne},
		"split response":         {field("Link", "x\r\n\r\nHTTP/1.1 200 OK"), getOne},
		"split name":             {field("X: y\r\nZ", ""), getOne},
		"a field about the body": {field("Content-Length", "5"), getOne},
		"a field about the link": {field("Connection", "close"), getOne},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, informing(test.info))
			s.dial().send(test.line).reply("GET").wantText(t, "done")
		})
	}
}

func TestInformAfterTheAnswerIsIgnored(t *testing.T) {
	late := make(chan func(int, psgi.Header), 1)
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		late <- req.Inform
		return whole(200, "done"), nil
	}))
	c := s.dial()
	c.get("/").wantText(t, "done")
	(<-late)(103, hints)
	c.get("/").wantText(t, "done")
}

func TestInformDuringTheAnswerDoesNotDisturbIt(t *testing.T) {
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		go req.Inform(103, hints) // ends by itself
		return whole(200, strings.Repeat("x", 100_000)), nil
	}))
	c := s.dial()
	for range 50 {
		c.send(getOne)
		r := c.reply("GET")
		for r.StatusCode < 200 {
			r = c.reply("GET")
		}
		if r.wantStatus(t, 200); len(r.text) != 100_000 || r.Header.Get("Link") != "" {
			t.Fatalf("%d bytes, header %v", len(r.text), r.Header)
		}
	}
}
