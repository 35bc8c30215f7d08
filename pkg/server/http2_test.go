package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// http2Client is a client of net/http that speaks HTTP/2 with a site: under TLS, or
// without if the site takes that.
func (s *site) http2Client(config *tls.Config) *http.Client {
	s.t.Helper()
	transport := &http.Transport{
		TLSClientConfig: config, Protocols: new(http.Protocols), DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, s.addr.Network(), s.addr.String())
		},
	}
	if config == nil {
		transport.Protocols.SetUnencryptedHTTP2(true)
	} else {
		transport.Protocols.SetHTTP2(true)
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// overHTTP2 runs a test over TLS, and over a connection without.
func overHTTP2(t *testing.T, a psgi.App, test func(t *testing.T, s *site, c *http.Client, base string), change ...func(*Options)) {
	t.Run("TLS", func(t *testing.T) {
		s := serveTLS(t, a, change...)
		test(t, s.site, s.http2Client(s.trusting()), "https://a.test")
	})
	t.Run("h2c", func(t *testing.T) {
		s := serve(t, a, append(change, func(o *Options) { o.H2C = true })...)
		test(t, s, s.http2Client(nil), "http://a.test")
	})
}

// fetch makes a request and returns the answer, read whole.
func fetch(t *testing.T, c *http.Client, method, url, body string, header ...string) reply {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if body != "" {
		request, err = http.NewRequest(method, url, strings.NewReader(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	r, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return reply{r, string(text), err}
}

func TestRequestsOverHTTP2(t *testing.T) {
	sized := app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		size := len(req.Body)
		if req.SpoolFile != "" {
			size = -1
		}
		env := req.Env.Map()
		return whole(200, fmt.Sprint(size, " ", env["CONTENT_LENGTH"], " ", env["REQUEST_METHOD"])), nil
	})
	overHTTP2(t, sized, func(t *testing.T, _ *site, c *http.Client, base string) {
		if r := fetch(t, c, "GET", base+"/", ""); r.ProtoMajor != 2 {
			t.Fatalf("the client speaks %s", r.Proto)
		}
		fetch(t, c, "GET", base+"/", "").wantText(t, "0  GET")
		fetch(t, c, "POST", base+"/", "hello").wantText(t, "5 5 POST")
		fetch(t, c, "POST", base+"/", strings.Repeat("x", 3<<20)).wantText(t, "-1 3145728 POST")
		request, _ := http.NewRequest(http.MethodPut, base+"/", io.MultiReader(strings.NewReader("abc"))) // of unknown length
		r, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if string(text) != "3 3 PUT" {
			t.Errorf("%q", text)
		}
		if r := fetch(t, c, "HEAD", base+"/", ""); r.ContentLength != 7 || r.text != "" {
			t.Errorf("%d, %q", r.ContentLength, r.text)
		}
	})
}

func TestEnvironmentOfHTTP2(t *testing.T) {
	keys := []string{"SERVER_PROTOCOL", "HTTP_HOST", "HTTP_COOKIE", "HTTP_X_TWO", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "HTTP_X__A", "HTTPS"}
	overHTTP2(t, showEnv(keys...), func(t *testing.T, s *site, c *http.Client, base string) {
		https := "on"
		if strings.HasPrefix(base, "http:") {
			https = "(none)"
		}
		fetch(t, c, "GET", base+"/a%20b//c?x=y%20", "", "Cookie", "a=b", "Cookie", "c=d", "X-Two", "1", "X-Two", "2", "X_A", "spoof").
			wantText(t, "SERVER_PROTOCOL=HTTP/2.0\nHTTP_HOST=a.test\nHTTP_COOKIE=a=b; c=d\nHTTP_X_TWO=1, 2\n"+
				"REQUEST_URI=/a%20b//c?x=y%20\nPATH_INFO=/a b//c\nQUERY_STRING=x=y%20\nHTTP_X__A=(none)\nHTTPS="+https)
	})
}

func TestAnswersOverHTTP2(t *testing.T) {
	text := strings.Repeat("0123456789", 100_000)
	dir := t.TempDir()
	answers := app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		switch req.Line {
		case "GET /file":
			return fileAnswer(t, put(t, dir, "file", []byte("skip"+text+"rest")), 4, int64(len(text))), nil
		case "GET /pieces":
			return pieces(script(text, "", text)), nil
		case "GET /304":
			return &psgi.Response{Status: 304, Header: psgi.Header{{Name: "ETag", Value: "x"}}, Body: script(), Whole: true}, nil
		case "GET /typeless":
			return &psgi.Response{Status: 200, Body: script("<html>"), Whole: true}, nil
		case "GET /fields":
			return whole(200, "ok", "Set-Cookie", "a", "Set-Cookie", "b", "Connection", "close", "Keep-Alive", "x", "Upgrade", "x"), nil
		case "GET /wrong":
			return whole(200, "ok", "X", "a\r\nb"), nil
		}
		return whole(200, text), nil
	})
	overHTTP2(t, answers, func(t *testing.T, s *site, c *http.Client, base string) {
		fetch(t, c, "GET", base+"/file", "").wantText(t, text)
		fetch(t, c, "GET", base+"/pieces", "").wantText(t, text+text)
		fetch(t, c, "GET", base+"/whole", "").wantText(t, text)
		if r := fetch(t, c, "GET", base+"/304", "").wantStatus(t, 304); r.Header.Get("Content-Length") != "" || r.Header.Get("Content-Type") != "" {
			t.Errorf("304 with %v", r.Header)
		}
		if r := fetch(t, c, "GET", base+"/typeless", "").wantText(t, "<html>"); r.Header["Content-Type"] != nil {
			t.Errorf("a type was guessed: %v", r.Header)
		}
		r := fetch(t, c, "GET", base+"/fields", "").wantText(t, "ok")
		if len(r.Header["Set-Cookie"]) != 2 || r.Header["Keep-Alive"] != nil || r.Header["Upgrade"] != nil || r.Header["Connection"] != nil {
			t.Errorf("%v", r.Header)
		}
		if len(r.Header["Date"]) != 1 {
			t.Errorf("dates %v", r.Header["Date"])
		}
		fetch(t, c, "GET", base+"/wrong", "").wantStatus(t, 500)
		if n := len(s.connections()); n != 1 {
			t.Errorf("%d connections: an app that says close has closed one", n)
		}
	})
}

// connections lists the site's.
func (s *site) connections() (all []peer) {
	s.roster().eachPeer(func(p peer) { all = append(all, p) })
	return all
}

func TestStreamOverHTTP2IsNotHeldBack(t *testing.T) {
	gate := make(chan struct{})
	overHTTP2(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		return stream(script("first", "second").gated(ctx, gate)), nil
	}), func(t *testing.T, _ *site, c *http.Client, base string) {
		r, err := c.Get(base + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		piece := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, piece); err != nil || string(piece) != "first" {
			t.Fatalf("%q, %v", piece, err)
		}
		gate <- struct{}{}
		go func() { gate <- struct{}{} }() // ends when the end of the body is asked for
		if rest, err := io.ReadAll(r.Body); string(rest) != "second" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

func TestBrokenAnswerOverHTTP2EndsItsStreamOnly(t *testing.T) {
	overHTTP2(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /broken" {
			return pieces(script("first").failing(psgi.ErrAborted)), nil
		}
		return whole(200, "ok"), nil
	}), func(t *testing.T, s *site, c *http.Client, base string) {
		fetch(t, c, "GET", base+"/", "").wantText(t, "ok")
		if r := fetch(t, c, "GET", base+"/broken", ""); r.err == nil || r.text != "first" {
			t.Errorf("%q, %v", r.text, r.err)
		}
		fetch(t, c, "GET", base+"/", "").wantText(t, "ok")
		if n := len(s.connections()); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestClientThatGivesUpAnHTTP2RequestEndsTheCall(t *testing.T) {
	ended := make(chan struct{}, 1)
	running := make(chan struct{}, 1)
	overHTTP2(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		running <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, context.Cause(ctx)
	}), func(t *testing.T, s *site, c *http.Client, base string) {
		ctx, giveUp := context.WithCancel(context.Background())
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
		given := make(chan error, 1)
		go func() { // ends with the request
			_, err := c.Do(request) //nolint:bodyclose // it has none
			given <- err
		}()
		waitFor(t, "the call", running)
		giveUp()
		waitFor(t, "the end of the call", ended)
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.logged("client left")
	})
}

func TestInformationOverHTTP2ComesFirst(t *testing.T) {
	overHTTP2(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		for _, link := range []string{"</a>", "</b>"} {
			req.Inform(103, psgi.Header{{Name: "Link", Value: link}})
		}
		req.Inform(100, nil)
		return whole(200, "ok"), nil
	}), func(t *testing.T, _ *site, c *http.Client, base string) {
		var told []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
				told = append(told, fmt.Sprint(status, header))
				return nil
			},
		})
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
		r, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if want := "[103 map[Link:[</a>]] 103 map[Link:[</b>]]]"; fmt.Sprint(told) != want {
			t.Errorf("told %v", told)
		}
		if r.Header["Link"] != nil {
			t.Errorf("told again: %v", r.Header)
		}
	})
}

// impatient makes a site patient for no longer than that with the clients of requests that
// begin now: on a connection that there is, as a handshake on a busy machine takes longer.
func impatient(t *testing.T, s *site, c *http.Client, base string, timeout time.Duration) {
	t.Helper()
	fetch(t, c, "HEAD", base+"/", "").wantStatus(t, 200)
	s.change(func(o *Options) { o.Timeout = timeout })
}

func TestSilentUploadOverHTTP2IsGivenUp(t *testing.T) {
	overHTTP2(t, echo, func(t *testing.T, s *site, c *http.Client, base string) {
		impatient(t, s, c, base, 50*time.Millisecond)
		reader, writer := io.Pipe()
		defer writer.Close()
		go func() { _, _ = io.WriteString(writer, "x") }() // ends when it is read
		r, err := c.Post(base+"/", "text/plain", reader)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusRequestTimeout {
			t.Errorf("status %d", r.StatusCode)
		}
	})
}

func TestClientThatReadsNothingOverHTTP2IsGivenUp(t *testing.T) {
	closed := make(chan struct{}, 1)
	overHTTP2(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "HEAD /" {
			return whole(200, ""), nil
		}
		piece := strings.Repeat("x", 1<<20)
		body := script(piece, piece, piece, piece, piece, piece, piece, piece)
		go func() { // ends with the body
			<-body.ended
			closed <- struct{}{}
		}()
		return pieces(body), nil
	}), func(t *testing.T, s *site, c *http.Client, base string) {
		impatient(t, s, c, base, 50*time.Millisecond)
		r, err := c.Get(base + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		waitFor(t, "the end of the body", closed)
	})
}

func TestStreamThatPausesOverHTTP2IsNotGivenUp(t *testing.T) {
	gate := make(chan struct{})
	overHTTP2(t, app(func(ctx context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "HEAD /" {
			return whole(200, ""), nil
		}
		return stream(script("first", "second").gated(ctx, gate)), nil
	}), func(t *testing.T, s *site, c *http.Client, base string) {
		impatient(t, s, c, base, 50*time.Millisecond)
		time.AfterFunc(200*time.Millisecond, func() { gate <- struct{}{}; gate <- struct{}{} }) // longer than a client may be silent
		fetch(t, c, "GET", base+"/", "").wantText(t, "firstsecond")
	})
}

func TestLimitsHoldOverHTTP2(t *testing.T) {
	overHTTP2(t, echo, func(t *testing.T, s *site, c *http.Client, base string) {
		fetch(t, c, "GET", base+"/", "", "X", strings.Repeat("x", 500)).wantStatus(t, 200)
		fetch(t, c, "GET", base+"/", "", "X", strings.Repeat("x", 1100)).wantStatus(t, 431)
		fetch(t, c, "GET", base+"/"+strings.Repeat("x", 1100), "").wantStatus(t, 414)
		fetch(t, c, "POST", base+"/", strings.Repeat("x", 101)).wantStatus(t, 413)
		fetch(t, c, "GET", base+"/", "", "Expect", "miracles").wantStatus(t, 417)
	}, func(o *Options) { o.MaxHeaderBytes, o.MaxBodyBytes = 1000, 100 })
}

func TestStopOverHTTP2AnswersWhatRuns(t *testing.T) {
	running, proceed := make(chan struct{}, 1), make(chan struct{})
	overHTTP2(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		running <- struct{}{}
		<-proceed
		return whole(200, "done"), nil
	}), func(t *testing.T, s *site, c *http.Client, base string) {
		answered := make(chan reply, 1)
		go func() { answered <- fetch(t, c, "GET", base+"/", "") }() // ends with the answer
		waitFor(t, "the call", running)
		ended := make(chan error, 1)
		go func() { ended <- s.server.Shutdown(context.Background()) }()
		s.eventually("the stop", s.roster().closing.Load)
		proceed <- struct{}{}
		(<-answered).wantText(t, "done")
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestStopOverHTTP2CutsWhatTakesTooLong(t *testing.T) {
	running := make(chan struct{}, 1)
	overHTTP2(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		running <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}), func(t *testing.T, s *site, c *http.Client, base string) {
		failed := make(chan error, 1)
		go func() { // ends with the request
			_, err := c.Get(base + "/") //nolint:bodyclose // it has none
			failed <- err
		}()
		waitFor(t, "the call", running)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if err := s.server.Shutdown(ctx); err == nil {
			t.Error("the shutdown was not in time, and does not say so")
		}
		if err := <-failed; err == nil {
			t.Error("an answer")
		}
	})
}

func TestReloadKeepsHTTP2Connections(t *testing.T) {
	overHTTP2(t, echo, func(t *testing.T, s *site, c *http.Client, base string) {
		fetch(t, c, "GET", base+"/", "").wantStatus(t, 200)
		before := s.connections()
		for i := range 10 {
			s.change(func(o *Options) { o.KeepaliveTimeout, o.ServerSoftware = time.Duration(i+1)*time.Hour, fmt.Sprint(i) })
			if got := fetch(t, c, "GET", base+"/", "").wantStatus(t, 200).Header.Get("Server"); got != fmt.Sprint(i) {
				t.Errorf("after change %d it is served by the settings of %s", i, got)
			}
		}
		if after := s.connections(); len(after) != 1 || after[0] != before[0] {
			t.Errorf("%v, before %v", after, before)
		}
	})
}

func TestManyRequestsAtATimeOverHTTP2(t *testing.T) {
	overHTTP2(t, echo, func(t *testing.T, s *site, c *http.Client, base string) {
		fetch(t, c, "GET", base+"/", "").wantStatus(t, 200) // else each has a connection of its own
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				text := strings.Repeat("x", i*10)
				if r := fetch(t, c, "POST", base+"/", text); r.text != text || r.err != nil {
					t.Errorf("%d bytes came back of %d, %v", len(r.text), len(text), r.err)
				}
			})
		}
		all.Wait()
	})
}

func TestConnectionOverHTTP2CarriesNoMoreThanItMay(t *testing.T) {
	overHTTP2(t, echo, func(t *testing.T, s *site, c *http.Client, base string) {
		for range 5 {
			fetch(t, c, "GET", base+"/", "").wantStatus(t, 200)
		}
	}, func(o *Options) { o.MaxKeepaliveReqs = 2 })
}

func TestHTTP2IsSpokenOnlyWhereItMayBe(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	plain := serve(t, echo)
	plain.dial().send(preface).reply("GET").wantStatus(t, 505)

	h2c := serve(t, echo, func(o *Options) { o.H2C = true })
	h2c.dial().get("/").wantStatus(t, 200)
	h2c.dial().send(getOne+preface).reply("GET").wantStatus(t, 200)
	h2c.dial().send("PRI / HTTP/1.1\r\nHost: a\r\n\r\n").reply("GET").wantStatus(t, 200)
	c := h2c.dial()
	for i := range len(preface) { // in the smallest pieces
		c.send(preface[i : i+1])
	}
	if frame, err := c.r.Peek(9); err != nil || frame[3] != 4 { // SETTINGS
		t.Errorf("%q, %v", frame, err)
	}
	for _, wrong := range []string{"PRI * HTTP/2.0\r\nHost: a\r\n\r\n12345678", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"} {
		c := h2c.dial().send(wrong)
		if rest, err := io.ReadAll(c.r); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("%q: %q, %v", wrong, rest, err)
		} else if strings.Contains(string(rest), "200") {
			t.Errorf("%q: %q", wrong, rest)
		}
	}

	s := serveTLS(t, echo, func(o *Options) { o.TLS.HTTP2 = false })
	config := s.trusting()
	config.NextProtos = []string{"h2", "http/1.1"}
	secured, err := s.shake(config)
	if err != nil || secured.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Fatal(err)
	}
	s.over(secured).get("/").wantStatus(t, 200)
}
