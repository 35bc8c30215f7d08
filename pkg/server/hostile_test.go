package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// refused are requests that no server may read in its own way. Each is sent as it
// is, alone and behind a good one.
var refused = map[string]struct {
	raw    string
	status int
}{
	"bare LF after the request line":     {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
	"bare LF after a field":              {"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400},
	"bare LF at the end":                 {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
	"bare CR in a field":                 {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
	"bare CR in the request line":        {"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"CR CR LF":                           {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
	"NUL in the target":                  {"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"NUL in a name":                      {"GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n", 400},
	"NUL in a value":                     {"GET / HTTP/1.1\r\nHost: a\r\nX: y\x00\r\n\r\n", 400},
	"control character in a value":       {"GET / HTTP/1.1\r\nHost: a\r\nX: \x08\r\n\r\n", 400},
	"DEL in a value":                     {"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
	"folded line":                        {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400},
	"folded line by tab":                 {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400},
	"space before the first field":       {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	"space before the colon":             {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
	"tab before the colon":               {"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 400},
	"no colon":                           {"GET / HTTP/1.1\r\nHost a\r\n\r\n", 400},
	"empty name":                         {"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", 400},
	"name with parentheses":              {"GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", 400},
	"name in UTF-8":                      {"GET / HTTP/1.1\r\nHost: a\r\nÜ: z\r\n\r\n", 400},
	"two spaces before the target":       {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"two spaces before the version":      {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"tab in the request line":            {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"space in the target":                {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"space after the version":            {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
	"space before the method":            {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"no version":                         {"GET /\r\nHost: a\r\n\r\n", 400},
	"no target":                          {"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"small version":                      {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	"not a version":                      {"GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400},
	"HTTP/1.2":                           {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	"HTTP/0.9 by name":                   {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	"HTTP/2 preface":                     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	"TLS hello":                          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
	"method with a colon":                {"G:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"too many empty lines":               {strings.Repeat("\r\n", 9) + "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"no Host":                            {"GET / HTTP/1.1\r\n\r\n", 400},
	"two Hosts":                          {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	"two Hosts in HTTP/1.0":              {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	"Host with a space":                  {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	"Host with a slash":                  {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	"Host with a user":                   {"GET / HTTP/1.1\r\nHost: bank@evil\r\n\r\n", 400},
	"both lengths":                       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	"both lengths, the other way":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	"two equal Content-Lengths":          {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
	"two different Content-Lengths":      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400},
	"Content-Length as a list":           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400},
	"Content-Length with a sign":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400},
	"negative Content-Length":            {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
	"hexadecimal Content-Length":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", 400},
	"empty Content-Length":               {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
	"Content-Length that overflows":      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx", 400},
	"unknown coding":                     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
	"identity coding":                    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	"two codings":                        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
	"chunked twice":                      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
	"chunked in two fields":              {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	"chunked and identity":               {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
	"quoted coding":                      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400},
	"coding after a vertical tab":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
	"empty coding":                       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400},
	"chunked in HTTP/1.0":                {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	"chunk size that is no number":       {chunked + "x\r\n", 400},
	"empty chunk size":                   {chunked + "\r\n\r\n", 400},
	"negative chunk size":                {chunked + "-1\r\n\r\n", 400},
	"chunk size with 0x":                 {chunked + "0x1\r\na\r\n0\r\n\r\n", 400},
	"chunk size after a space":           {chunked + " 1\r\na\r\n0\r\n\r\n", 400},
	"space after a chunk size":           {chunked + "1 \r\na\r\n0\r\n\r\n", 400},
	"chunk size that overflows":          {chunked + "10000000000000001\r\na\r\n0\r\n\r\n", 400},
	"bare LF after a chunk size":         {chunked + "1\na\r\n0\r\n\r\n", 400},
	"bare CR after a chunk size":         {chunked + "1\ra\r\n0\r\n\r\n", 400},
	"bare LF in a chunk extension":       {chunked + "1;x\na\r\n0\r\n\r\n", 400},
	"bare CR in a chunk extension":       {chunked + "1;x\ry\r\na\r\n0\r\n\r\n", 400},
	"bad extension of the last chunk":    {chunked + "0;x\n\r\n", 400},
	"NUL in a chunk extension":           {chunked + "1;\x00\r\na\r\n0\r\n\r\n", 400},
	"chunk longer than its size":         {chunked + "1\r\nab\r\n0\r\n\r\n", 400},
	"bare LF after chunk data":           {chunked + "1\r\na\n0\r\n\r\n", 400},
	"no CRLF after chunk data":           {chunked + "1\r\na0\r\n\r\n", 400},
	"bare LF after the last chunk":       {chunked + "0\r\n\n", 400},
	"folded trailer":                     {chunked + "0\r\nA: b\r\n c\r\n\r\n", 400},
	"trailer without a colon":            {chunked + "0\r\nA b\r\n\r\n", 400},
	"space before a trailer's colon":     {chunked + "0\r\nA : b\r\n\r\n", 400},
	"endless trailers":                   {chunked + "0\r\n" + strings.Repeat("A: b\r\n", 40000), 400},
	"endless chunk extension":            {chunked + "1;" + strings.Repeat("x", 200000), 400},
	"unknown expectation":                {"POST / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\nx", 417},
	"request line without end":           {"GET /" + strings.Repeat("a", 200000), 414},
	"field without end":                  {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 200000), 431},
	"fields without end":                 {"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 40000), 431},
	"bad escape":                         {"GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400},
	"cut escape":                         {"GET /%4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400},
	"relative target":                    {"GET a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400},
	"star of another method":             {"GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400},
	"absolute target without a host":     {"GET http:///x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400},
	"bad Host beside an absolute target": {"GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	"absolute target with a bad port":    {"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"bad escape behind a hash":           {"GET /a#%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"bad escape of an unknown method":    {"get /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"CONNECT to a bad port":              {"CONNECT a:b:c HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	"absolute target of another scheme":  {"GET https://a/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 421},
	"method in small letters":            {"get / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501},
	"method with a hyphen":               {"M-SEARCH / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501},
	"CONNECT":                            {"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501},
	"Content-Length after a long prefix": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strings.Repeat("0", 30) + "1\r\n\r\nx", 400},
}

const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestHostileRequestIsRefusedAndConnectionClosed(t *testing.T) {
	s := serve(t, echo)
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial()
			c.t = t
			_, _ = c.Write([]byte(test.raw)) // the server may have had enough before the end
			r := c.reply("GET").wantStatus(t, test.status)
			if !r.Close {
				t.Error("the response does not announce the end of the connection")
			}
			if got := r.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
			c.wantClosed()
		})
	}
}

func TestHostileRequestByteByByteIsRefused(t *testing.T) {
	s := serve(t, echo)
	for name, test := range refused {
		if len(test.raw) > 1000 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial()
			c.t = t
			for i := range len(test.raw) {
				if _, err := c.Write([]byte(test.raw[i : i+1])); err != nil {
					break
				}
			}
			c.reply("GET").wantStatus(t, test.status)
			c.wantClosed()
		})
	}
}

func TestHostileRequestBehindGoodOnesDoesNotHarmThem(t *testing.T) {
	s := serve(t, echo)
	good := "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6;x=y\r\nsecond\r\n0\r\nT: x\r\n\r\n" +
		"POST /3 HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nthird"
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial()
			c.t = t
			_, _ = c.Write([]byte(good + test.raw))
			c.reply("POST").wantText(t, "first")
			c.reply("POST").wantText(t, "second")
			c.reply("POST").wantText(t, "third")
			c.reply("GET").wantStatus(t, test.status)
			c.wantClosed()
		})
	}
}

func TestGoodRequestRunsToItsEndThoughTheNextIsHostile(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	pipe := newPipe()
	s := serveAt(t, pipe, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		close(running)
		select {
		case <-proceed:
			return whole(200, "done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}))
	c := s.over(pipe.dial()).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the call", running)
	c.send("\x00") // returns when it has been read, while the request runs
	close(proceed)
	c.reply("GET").wantText(t, "done")
	c.reply("GET").wantStatus(t, 400)
	c.wantClosed()
}

func TestSilenceInHeadIsAnsweredWith408(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.Timeout = 300 * time.Millisecond })
	c := s.dial().send("GET / HTTP/1.1\r\nHo")
	c.reply("GET").wantStatus(t, 408)
	c.wantClosed()
}

func TestSilenceInBodyIsAnsweredWith408(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.Timeout = 300 * time.Millisecond })
	c := s.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
	c.reply("GET").wantStatus(t, 408)
	c.wantClosed()
}

func TestSilenceBetweenRequestsJustEndsTheConnection(t *testing.T) {
	s := serve(t, echo, func(o *Options) { o.KeepaliveTimeout = 30 * time.Millisecond })
	c := s.dial()
	c.get("/").wantStatus(t, 200)
	c.wantClosed()
}

func TestEmptyLinesBeforeARequestAreSkipped(t *testing.T) {
	s := serve(t, echo)
	c := s.dial()
	c.send("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").reply("GET").wantStatus(t, 200)
	c.send("\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.reply("POST").wantText(t, "x")
	c.reply("GET").wantText(t, "")
}
