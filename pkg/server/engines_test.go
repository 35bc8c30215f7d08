package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/textproto"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/thralld/thralld/pkg/psgi"
)

// exchangeOfWords is what became of a client's bytes.
type exchangeOfWords struct {
	Calls   []told   // requests as the app had them
	Answers []answer // as the client had them
	Ended   bool     // the server has closed the connection
}

// told is a request as an app has it.
type told struct {
	Line string
	Env  map[string]string
	Body string
}

// answer is a response as a client has it.
type answer struct {
	Proto  string
	Status int
	Header map[string][]string // names in one spelling, without Date
	Body   string
	Cut    bool // chunks without their end
}

// converse has an engine serve a client that sends raw in the given segments, and then
// waits for whatever comes. It is to be called in a bubble of synctest.
func converse(t *testing.T, e Engine, raw string, segments *rand.Rand, shape int) exchangeOfWords {
	t.Helper()
	var words exchangeOfWords
	pipe := newPipe()
	s := serveBy(t, e, pipe, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		env := req.Env.Map()
		delete(env, "thralld.request_id")
		words.Calls = append(words.Calls, told{req.Line, env, string(req.Body)})
		return shaped(shape + len(words.Calls))
	}), func(o *Options) { o.MaxHeaderBytes, o.MaxBodyBytes, o.MaxKeepaliveReqs = 2000, 5000, 20 })

	c := pipe.dial()
	var mu sync.Mutex
	var got bytes.Buffer
	ended := false
	go func() { // ends with the connection
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			mu.Lock()
			got.Write(buf[:n])
			ended = ended || errors.Is(err, io.EOF)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	for len(raw) > 0 {
		n := len(raw)
		if segments != nil {
			n = min(n, 1+segments.IntN(1<<segments.IntN(8)))
		}
		if _, err := io.WriteString(c, raw[:n]); err != nil {
			break // the server has had enough
		}
		raw = raw[n:]
	}
	synctest.Wait() // the server does no more until the client does,
	time.Sleep(2 * linger)
	synctest.Wait() // even in a while
	mu.Lock()
	words.Answers, words.Ended = parseAnswers(t, got.String()), ended
	mu.Unlock()
	_ = c.Close()
	if err := s.server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	return words
}

// shaped returns one of the forms that an app's answer can have. None is short and of a
// length that the app does not tell: net/http holds such a one back until it is whole,
// and then tells the length.
func shaped(n int) (*psgi.Response, error) {
	text := fmt.Sprint("answer ", n)
	switch n % 12 {
	case 1:
		return pieces(script(text, strings.Repeat(" in pieces", 1000))), nil
	case 2:
		return stream(script(text, " in", " a stream")), nil
	case 3:
		return whole(204, ""), nil
	case 4:
		return whole(304, "", "ETag", `"x"`), nil
	case 5:
		return whole(200, text, "Connection", "close"), nil
	case 6:
		return pieces(script(text), "Content-Length", strconv.Itoa(len(text))), nil
	case 7:
		return pieces(script(strings.Repeat(text, 1000), text, strings.Repeat(text, 2000))), nil
	case 8:
		return nil, psgi.ErrQueueFull
	case 9:
		return stream(script(text).failing(psgi.ErrAborted)), nil
	case 10:
		return whole(299, "", "X-Twice", "one", "x-twice", "two", "DATE", "then"), nil
	case 11:
		return pieces(script("short"), "Content-Length", "1000"), nil
	}
	return whole(200, text), nil
}

// parseAnswers splits what a client has read. Bodies of these tests do not look like the
// first line of an answer, so that nothing about their framing needs to be believed.
func parseAnswers(t *testing.T, raw string) (list []answer) {
	t.Helper()
	const first = "HTTP/1."
	for raw != "" {
		head, rest, ok := strings.Cut(raw, "\r\n\r\n")
		line, lines, _ := strings.Cut(head, "\r\n")
		if !ok || len(line) < 13 || !strings.HasPrefix(line, first) {
			t.Fatalf("no answer: %q", raw)
		}
		a := answer{Proto: line[:8], Header: make(map[string][]string)}
		a.Status, _ = strconv.Atoi(line[9:12])
		for field := range strings.SplitSeq(lines, "\r\n") {
			name, value, _ := strings.Cut(field, ": ")
			if name = textproto.CanonicalMIMEHeaderKey(name); name == "Date" && len(value) == len(time.RFC1123) {
				value = ""
			}
			if a.Proto == "HTTP/1.0" && name == "Connection" && value == "close" {
				continue // it says what is so without it; net/http repeats it when the app does
			}
			if name != "" {
				a.Header[name] = append(a.Header[name], value)
			}
		}
		if next := strings.Index(rest, first); next >= 0 {
			a.Body, raw = rest[:next], rest[next:]
		} else {
			a.Body, raw = rest, ""
		}
		if slices.Equal(a.Header["Transfer-Encoding"], []string{"chunked"}) {
			a.Body, a.Cut = joinChunks(t, a.Body)
		}
		list = append(list, a)
	}
	return list
}

// joinChunks returns the data of a body in chunks, and whether its end is missing.
func joinChunks(t *testing.T, raw string) (data string, cut bool) {
	t.Helper()
	for raw != "" {
		line, rest, _ := strings.Cut(raw, "\r\n")
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil || len(rest) < int(size)+2 || rest[size:size+2] != "\r\n" {
			t.Fatalf("no chunk: %q", raw)
		}
		if size == 0 {
			if rest != "\r\n" {
				t.Fatalf("after the last chunk: %q", rest)
			}
			return data, false
		}
		data, raw = data+rest[:size], rest[size+2:]
	}
	return data, true
}

// addSeeds gives a fuzz test what the other tests have clients say.
func addSeeds(f *testing.F) {
	f.Helper()
	seeds := slices.Concat(good, conversations)
	for _, test := range refused {
		if len(test.raw) < 1000 {
			seeds = append(seeds, good[4]+test.raw)
		}
	}
	for i, raw := range seeds {
		f.Add(raw, uint16(i%3), uint8(i))
	}
}

// conversations are requests that clients send one after another.
var conversations = []string{
	strings.Repeat("GET /%20?x HTTP/1.1\r\nHost: a\r\n\r\n", 12),
	strings.Repeat("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 12),
	strings.Repeat("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 12),
	strings.Repeat("HEAD / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n", 12),
	strings.Repeat("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 12),
	strings.Repeat(chunked+"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nT: x\r\n\r\n", 12),
	strings.Repeat("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 12),
	"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc" + getOne,
	"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n" + getOne,
	"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5001\r\n\r\n" + strings.Repeat("x", 5001) + getOne,
	chunked + "1000\r\n" + strings.Repeat("x", 4096) + "\r\n1000\r\n" + strings.Repeat("x", 4096) + "\r\n0\r\n\r\n" + getOne,
	"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nCookie: a\r\nx-b: 1\r\nx-a: 2\r\nCOOKIE: b\r\nX-A:\r\nX_A: 3\r\n\r\n" + getOne,
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n" + getOne,
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: Close\r\n\r\n" + getOne,
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n" + getOne,
	"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n" + getOne,
	"GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n" + getOne,
	"GET http://b:c/ HTTP/1.1\r\nHost: a\r\n\r\n" + getOne,
	"GET z HTTP/1.0\r\nHost: a\r\n\r\n",
	"CONNECT \xa7 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET :/ HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
	"GET p://\xff HTTP/1.1\r\nHost: a\r\n\r\n" + getOne,
	"GET /a#b%zz HTTP/1.1\r\nHost: a\r\n\r\n" + getOne,
	"get /%zz HTTP/1.1\r\nHost: a\r\n\r\n" + getOne,
	"GET z HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.2\r\n\r\n",
	"CONNECT a:b:c HTTP/1.1\r\nHost: a\r\n\r\n" + getOne,
	"GET / HTTP/1.1\r\nHost:\r\nPragma: no-cache\r\n\r\n" + getOne,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n1234567\r\n\r\n" + getOne,
}

var (
	trailer      = regexp.MustCompile(`(?i)\ntrailer:`)
	spaced       = regexp.MustCompile(`(?i)\nconnection:[^\n]*[^\s,][ \t]+[^\s,]`)
	cacheControl = regexp.MustCompile(`(?i)\ncache-control:`)
)

// FuzzEnginesAgree holds the engines against each other: they hand the same requests to
// the app, and clients have the same answers from them. These are the differences that
// they are allowed, and all of them are net/http's:
//
//   - it spells the names of fields in its own way, and sorts them;
//   - it adds Cache-Control to a request that has only Pragma: no-cache;
//   - it takes Trailer out of a request in chunks, and refuses some names in it;
//   - it tells the length of a short body although the app does not (see shaped);
//   - it closes a connection of HTTP/1.0 with Connection: close when the app says so;
//   - it bounds a line of a chunked body, and all its trailers, at 4 KiB, where the own
//     one has but the limit of the head (which is less in this test);
//   - it gathers more of a chunk before it hands it on, and so may notice later that a body
//     is too large;
//   - it refuses a request line before it has seen the rest of the head, and so with 400
//     where the guard finds something else behind the line;
//   - of HTTP/1.0 it heeds the first Connection line only, and says keep-alive to a client
//     that asks for both, before it closes;
//   - what it refuses by itself it answers in HTTP/1.1, also to HTTP/1.0, and with a body,
//     also to HEAD;
//   - it finds "close" and "keep-alive" in Connection behind a space, too.
func FuzzEnginesAgree(f *testing.F) {
	addSeeds(f)
	f.Fuzz(agree)
}

// agree holds the engines to the same answers to raw, which is cut into segments by cut,
// from the app of that shape.
func agree(t *testing.T, raw string, cut uint16, shape uint8) {
	if trailer.MatchString(raw) || spaced.MatchString(raw) || oldInTwoWays(raw) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		own := converse(t, OwnEngine, raw, segmentsBy(cut), int(shape))
		other := converse(t, NetHTTP, raw, segmentsBy(cut), int(shape))
		for _, call := range other.Calls {
			if strings.HasPrefix(call.Env["HTTP_PRAGMA"], "no-cache") && !cacheControl.MatchString(raw) {
				delete(call.Env, "HTTP_CACHE_CONTROL")
			}
		}
		if n := len(own.Answers); !own.Ended && len(other.Answers) == n+1 && other.Answers[n].Status == 400 && endsInHead(raw) {
			other.Answers, other.Ended = other.Answers[:n], false
		}
		if n := len(other.Answers); !other.Ended && len(own.Answers) == n+1 && own.Answers[n].Status == 413 {
			own.Answers, own.Ended = own.Answers[:n], false
		}
		if n := len(own.Answers); n > 0 && n == len(other.Answers) && other.Answers[n-1].Status == http.StatusBadRequest &&
			own.Ended && own.Answers[n-1].Status == refusedByGuard(raw) {
			other.Answers[n-1] = own.Answers[n-1]
		}
		for i := range min(len(own.Answers), len(other.Answers)) {
			if a, b := own.Answers[i], &other.Answers[i]; a.Status == http.StatusBadRequest && b.Status == a.Status && a.Body == "" {
				b.Body = ""
			}
			if a, b := &own.Answers[i], &other.Answers[i]; a.Status == http.StatusBadRequest && a.Proto == "HTTP/1.0" && b.Proto != a.Proto {
				b.Proto = a.Proto
				delete(b.Header, "Connection")
			}
		}
		if diff := cmp.Diff(other, own, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: net/http (-), own (+):\n%s", raw, diff)
		}
	})
}

// TestEnginesAgreeOnMutatedConversations is FuzzEnginesAgree with changes that are the same
// in every run. ENGINES_SEED=N draws others.
func TestEnginesAgreeOnMutatedConversations(t *testing.T) {
	const rounds = 1500
	seed, _ := strconv.ParseUint(os.Getenv("ENGINES_SEED"), 10, 64)
	random := rand.New(rand.NewPCG(seed, 1))
	bases := slices.Clone(conversations)
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if raw := refused[name].raw; len(raw) < 1000 {
			bases = append(bases, getOne+raw)
		}
	}
	for range rounds {
		raw := bases[random.IntN(len(bases))]
		for range 1 + random.IntN(4) {
			raw = mutated(random, raw, bases)
		}
		agree(t, raw, uint16(random.IntN(1<<16)), uint8(random.IntN(1<<8)))
		if t.Failed() {
			return
		}
	}
}

// mutated changes raw in one place.
func mutated(random *rand.Rand, raw string, bases []string) string {
	words := []string{
		"\r\n", "\n", "\r", " ", "\t", ":", ",", ";", "0", "a", "%", "\x00", "\xff", "\r\n\r\n", "HTTP/1.0", "HTTP/1.1", "Host: a\r\n",
		"Connection: close\r\n", "Connection: keep-alive\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n",
		"Expect: 100-continue\r\n", "3\r\nabc\r\n", "0\r\n\r\n", "POST", "HEAD", "/%41?x#y",
	}
	from := random.IntN(len(raw) + 1)
	to := min(len(raw), from+random.IntN(6))
	switch random.IntN(5) {
	case 0: // leave something out
		return raw[:from] + raw[to:]
	case 1: // say it twice
		return raw[:to] + raw[from:]
	case 2: // go on with another conversation
		other := bases[random.IntN(len(bases))]
		return raw[:from] + other[random.IntN(len(other)):]
	case 3: // put a word in place of something
		return raw[:from] + words[random.IntN(len(words))] + raw[to:]
	}
	return raw[:from] + words[random.IntN(len(words))] + raw[from:]
}

// endsInHead reports whether the last request's head is not whole.
func endsInHead(raw string) bool {
	g := guard{limit: 2000}
	feed(&g, raw, len(raw)+1)
	return g.err == nil && g.midHead()
}

// refusedByGuard returns the status with which the guard refuses raw; zero if it does not.
func refusedByGuard(raw string) int {
	g := guard{limit: 2000}
	if feed(&g, raw, len(raw)+1); g.err == nil {
		return 0
	}
	return statusOf(g.err)
}

// oldInTwoWays reports whether a client of HTTP/1.0 may have said more than one thing of
// its connection.
func oldInTwoWays(raw string) bool {
	for head := range strings.SplitSeq(raw, "\r\n\r\n") {
		if head = strings.ToLower(head); strings.Contains(head, "http/1.0") &&
			(strings.Count(head, "\nconnection:") > 1 || strings.Contains(head, "keep-alive") && strings.Contains(head, "close")) {
			return true
		}
	}
	return false
}

// segmentsBy returns what cuts a client's bytes in pieces, each seed in its own way; nil,
// which does not, for zero.
func segmentsBy(seed uint16) *rand.Rand {
	if seed == 0 {
		return nil
	}
	return rand.New(rand.NewPCG(uint64(seed), 0))
}

// FuzzOwnEngineAcceptsOnlyWhatNetHTTPAccepts holds what the own engine hands to the app
// against bare net/http, which no guard stands before: it must find the same requests in
// the same bytes. The only exception are empty lines before a request, which it does not
// take; and what it takes and the app does not have, locate must refuse.
func FuzzOwnEngineAcceptsOnlyWhatNetHTTPAccepts(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, raw string, cut uint16, shape uint8) {
		if trailer.MatchString(raw) {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			in := bufio.NewReader(strings.NewReader(raw))
			for _, call := range converse(t, OwnEngine, raw, segmentsBy(cut), int(shape)).Calls {
				want := nextCall(t, in)
				got := called{
					call.Env["REQUEST_METHOD"], call.Env["REQUEST_URI"], call.Env["SERVER_PROTOCOL"],
					call.Env["HTTP_HOST"], call.Env["CONTENT_LENGTH"], call.Body,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%q: net/http (-), own engine (+):\n%s", raw, diff)
				}
			}
		})
	})
}

// called is what frames a request, and what it is for.
type called struct{ Method, URI, Proto, Host, Length, Body string }

// nextCall reads with net/http as far as the next request that an app can have.
func nextCall(t *testing.T, in *bufio.Reader) called {
	t.Helper()
	for {
		for next, _ := in.Peek(2); string(next) == "\r\n"; next, _ = in.Peek(2) {
			_, _ = in.Discard(2)
		}
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("the app has a request that net/http does not read: %v", err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatalf("the app has a body that net/http does not read: %v", err)
		}
		at, err := locate(&request{method: r.Method, target: r.RequestURI, scheme: "http", host: r.Host}, "")
		if err != nil {
			continue
		}
		length := r.Header.Get("Content-Length")
		if r.ContentLength < 0 {
			length = strconv.Itoa(len(body))
		}
		return called{r.Method, at.uri, r.Proto, at.host, length, string(body)}
	}
}
