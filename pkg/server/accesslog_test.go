package server

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/thralld/thralld/pkg/psgi"
)

// full is a visit of which everything is known.
func full() *visit {
	start := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.FixedZone("", -3600))
	return &visit{
		r: &request{
			method: "GET", target: "/app/a%20b?c=d", proto: "HTTP/1.1", scheme: "http", host: "example.org:8080",
			header: psgi.Header{
				{Name: "Referer", Value: "http://example.org/"},
				{Name: "User-Agent", Value: `a "b" c`},
				{Name: "Cookie", Value: "a=b"},
				{Name: "cookie", Value: "c=d"},
				{Name: "X-Two", Value: "1"},
				{Name: "x-two", Value: "2"},
			},
			endpoints: &endpoints{serverName: "192.0.2.9", serverPort: "80"},
		},
		at:     place{uri: "/app/a%20b?c=d", query: "c=d", script: "/app", path: "/a b", host: "example.org:8080"},
		remote: "192.0.2.1", id: "0badcafe", start: start, end: start.Add(2*time.Second + 345678*time.Microsecond),
		status: 200, bytes: 12, pid: 4711, worker: 3, generation: 2, appTime: 1500 * time.Millisecond, waitTime: time.Millisecond,
		sent: []string{"text/plain"},
	}
}

// unread is a request that was refused before it could be read.
func unread() *visit {
	start := full().start
	return &visit{remote: "192.0.2.1", start: start, end: start, status: 400}
}

// line is the line of a visit, without its end.
func line(t *testing.T, format string, v *visit) string {
	t.Helper()
	f, err := ParseAccessFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(f.appendLine(nil, v)), "\n")
}

func TestLineOfEachToken(t *testing.T) {
	for _, c := range []struct{ format, want, ofUnread string }{
		{"common", `192.0.2.1 - - [04/Mar/2026:05:06:07 -0100] "GET /app/a%20b?c=d HTTP/1.1" 200 12`, `192.0.2.1 - - [04/Mar/2026:05:06:07 -0100] "-" 400 -`},
		{
			"combined",
			`192.0.2.1 - - [04/Mar/2026:05:06:07 -0100] "GET /app/a%20b?c=d HTTP/1.1" 200 12 "http://example.org/" "a \"b\" c"`,
			`192.0.2.1 - - [04/Mar/2026:05:06:07 -0100] "-" 400 - "-" "-"`,
		},
		{"%h|%a|%l|%u", "192.0.2.1|192.0.2.1|-|-", "192.0.2.1|192.0.2.1|-|-"},
		{"%m|%r|%H|%%", "GET|GET /app/a%20b?c=d HTTP/1.1|HTTP/1.1|%", "-|-|-|%"},
		{"%s|%>s|%<s|%b|%B", "200|200|200|12|12", "400|400|400|-|0"},
		{"%T|%D", "2|2345678", "0|0"},
		{"%v|%V|%p|%P", "192.0.2.9|example.org:8080|80|4711", "-|-|-|-"},
		{"<%U%q>", "</app/a b?c=d>", "<->"},
		{"%{User-Agent}i|%{user_agent}i|%{X-None}i", `a \"b\" c|a \"b\" c|-`, "-|-|-"},
		{"%{Cookie}i|%{X-Two}i|%{Host}i", "a=b; c=d|1, 2|example.org:8080", "-|-|-"},
		{"%{Content-Type}o", "text/plain", "-"},
		{"%{request_id}x|%{worker}x|%{generation}x", "0badcafe|3|2", "-|-|-"},
		{"%{duration}x|%{app_time}x|%{wait_time}x", "2.345678|1.500000|0.001000", "0.000000|-|-"},
		{"%{%Y-%m-%dT%H:%M:%S%z}t", "[2026-03-04T05:06:07-0100]", "[2026-03-04T05:06:07-0100]"},
		{"ua:%{User-Agent}i\tpath:%U", "ua:a \\\"b\\\" c\tpath:/app/a b", "ua:-\tpath:-"}, // LTSV
		{
			"json",
			`{"time":"2026-03-04T05:06:07.089000-01:00","remote_addr":"192.0.2.1","method":"GET","uri":"/app/a%20b?c=d",` +
				`"protocol":"HTTP/1.1","scheme":"http","host":"example.org:8080","status":200,"bytes":12,` +
				`"referer":"http://example.org/","user_agent":"a \"b\" c","duration":2.345678,"request_id":"0badcafe",` +
				`"worker":3,"generation":2,"pid":4711,"app_time":1.500000,"wait_time":0.001000}`,
			`{"time":"2026-03-04T05:06:07.089000-01:00","remote_addr":"192.0.2.1","method":null,"uri":null,` +
				`"protocol":null,"scheme":null,"host":null,"status":400,"bytes":0,` +
				`"referer":null,"user_agent":null,"duration":0.000000,"request_id":null,` +
				`"worker":null,"generation":null,"pid":null,"app_time":null,"wait_time":null}`,
		},
	} {
		if got := line(t, c.format, full()); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.format, got, c.want)
		}
		if got := line(t, c.format, unread()); got != c.ofUnread {
			t.Errorf("%s\ngot  %s\nwant %s", c.format, got, c.ofUnread)
		}
	}
}

func TestLineSaysWhatIsKnownOnAUnixSocket(t *testing.T) {
	v := full()
	v.remote, v.r.endpoints = "", &endpoints{}
	if got, want := line(t, "%h %v %p", v), "- example.org 8080"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLineOfATargetThatLeadsNowhereHasItAsItWasSent(t *testing.T) {
	v := full()
	v.at, v.r.target = place{}, "/%zz?q"
	if got, want := line(t, "%U %q %V", v), "/%zz ?q example.org:8080"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	v.at, v.r.target = place{uri: "*"}, "*"
	if got, want := line(t, "%U%q", v), "*"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestValueBesideABlankIsOneWord(t *testing.T) {
	v := full()
	v.at.path = "/x 200 0.1"
	for format, want := range map[string]string{
		"%U %s":      `/app/x\x20200\x200.1 200`,
		"%s %U":      `200 /app/x\x20200\x200.1`,
		`"%U" %s`:    `"/app/x 200 0.1" 200`,
		`"a %U b"`:   `"a /app/x 200 0.1 b"`,
		`" " %U "`:   `" " /app/x\x20200\x200.1 "`,
		"%s,%U,%m":   "200,/app/x 200 0.1,GET",
		"%U":         "/app/x 200 0.1",
		"%{Via}i %s": "- 200",
	} {
		if got := line(t, format, v); got != want {
			t.Errorf("%s: got %s, want %s", format, got, want)
		}
	}
}

func TestNoClientAndNoAppForgesALine(t *testing.T) {
	for _, evil := range []string{
		"/\n192.0.2.1 - - [x] \"GET /forged HTTP/1.1\" 200 1", `" 200 1 "`, `\" 200 1 \`, "a\b\t\n\v\f\r\x00\x1b[2J\x7f",
		"\xc3\xa9\xff\xed\xa0\x80", "\u2028\u2029\u0085\u202e\U000e0001", `{"status":200}`, `%h%{X}i`,
	} {
		for _, format := range everyFormat {
			wantOneLine(t, format, forged(evil))
		}
	}
}

func TestEscapesAreThoseOfApacheAndOfJSON(t *testing.T) {
	v := full()
	v.at.host = "a\b\t\n\v\f\r\x00\x7f\xc3\xa9~\"\\"
	if got, want := line(t, `"%V"`, v), `"a\b\t\n\v\x0c\r\x00\x7f\xc3\xa9~\"\\"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	v.at.host = "\xc3\xa9\xff\x00\u2028\U000e0001\U0001f600\"\\"
	if got, want := line(t, "json", v), `"host":"é\ufffd\u0000\u2028\udb40\udc01😀\"\\"`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// everyFormat holds every token, beside blanks, in quotes, and alone.
var everyFormat = []string{
	"common", "combined", "json", "%h %l %u %t %s %b %B %T %D %v %V %p %P %m %U %q %H %a %%", `"%U" "%q" "%V" "%m" "%r" "%H" "%v" "%p"`,
	"%{X}i %{Cookie}i %{Host}i %{X}o", `"%{X}i" "%{Cookie}i" "%{X}o"`, "%U%q%V%{X}i%{X}o%{request_id}x",
	"%{request_id}x %{worker}x %{generation}x %{duration}x %{app_time}x %{wait_time}x %{%c %t}t",
}

// forged is a visit in which all text is as evil.
func forged(evil string) *visit {
	v := full()
	v.r = &request{
		method: evil, target: evil, proto: evil, scheme: evil, host: evil,
		header:    psgi.Header{{Name: "X", Value: evil}, {Name: "Cookie", Value: evil}, {Name: "Referer", Value: evil}, {Name: "User-Agent", Value: evil}},
		endpoints: &endpoints{serverName: evil, serverPort: evil, remoteAddr: evil},
	}
	v.at = place{uri: evil, query: evil, script: evil, path: evil, host: evil}
	v.remote, v.id, v.sent = evil, evil, []string{evil}
	return v
}

// wantOneLine checks that a line is one, and has as many words, quotes and members as
// that of a visit in which nothing is evil.
func wantOneLine(t *testing.T, format string, v *visit) {
	t.Helper()
	got := line(t, format, v)
	if format == "json" {
		if !json.Valid([]byte(got)) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("json: got %q", got)
		}
		return
	}
	if i := strings.IndexFunc(got, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }); i >= 0 {
		t.Errorf("%s: got %q", format, got)
	}
	plain := forged("x")
	if got, want := unescapedQuotes(got), unescapedQuotes(line(t, format, plain)); got != want {
		t.Errorf("%s: %d quotes, want %d", format, got, want)
	}
	if strings.HasPrefix(format, "%") && strings.Contains(format, " ") {
		if got, want := strings.Count(got, " "), strings.Count(line(t, format, plain), " "); got != want {
			t.Errorf("%s: %d blanks, want %d", format, got, want)
		}
	}
}

func unescapedQuotes(line string) (n int) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			n++
		}
	}
	return n
}

func FuzzNothingForgesALine(f *testing.F) {
	f.Add("/\n\"forged")
	f.Add("\xff\u2028")
	f.Fuzz(func(t *testing.T, evil string) {
		for _, format := range everyFormat {
			wantOneLine(t, format, forged(evil))
		}
	})
}

func TestMistakesOfAFormat(t *testing.T) {
	for text, want := range map[string]string{
		"":                   `has no token; want common, combined, json or tokens such as %h`,
		"combind":            `has no token; want common, combined, json or tokens such as %h; did you mean "combined"?`,
		"JSON":               `has no token; want common, combined, json or tokens such as %h; did you mean "json"?`,
		"%h %R":              `column 4: there is no token %R; did you mean %r?`,
		"%h %i":              `column 4: there is no token %i; did you mean %{NAME}i?`,
		"%h %k":              `column 4: there is no token %k`,
		"é %":                `column 3: a % alone is no token; %% is a percent sign`,
		"100% of %h":         `column 4: a % alone is no token; %% is a percent sign`,
		"%>":                 `column 1: a % alone is no token; %% is a percent sign`,
		"%h %{Referer":       `column 4: %{ has no } behind it`,
		"%h %{Referer} %h":   `column 4: %{Referer} wants a letter behind it: i, o, t or x`,
		"%{Referer}e":        `column 1: %{Referer}e: want i, o, t or x behind the braces`,
		"%{}i":               `column 1: %{}i: "" is no name of a header field`,
		"%{a b}o":            `column 1: %{a b}o: "a b" is no name of a header field`,
		"%{requestid}x":      `column 1: there is no token %{requestid}x; want one of app_time, duration, generation, request_id, wait_time, worker`,
		"%{%Y-%Q}t":          `column 6: %Q is no part of a time, as strftime(3) has them`,
		"%{%H:%i}t":          `column 6: %i is no part of a time, as strftime(3) has them; did you mean %I?`,
		"%{%H%n}t":           `column 5: %n is no part of a time, as strftime(3) has them, that may stand in a line`,
		"%{%H%}t":            `column 5: a % alone is no part of a time; %% is a percent sign`,
		"%h\n%s":             `column 3: '\n' would break the line`,
		"%{%H\n}t":           `column 5: '\n' would break the line`,
		"%h \xff":            `column 4: '\ufffd' would break the line`,
		"%Z %{x}y %{oops}x ": "column 1: there is no token %Z\ncolumn 4: %{x}y: want i, o, t or x behind the braces\ncolumn 10: there is no token %{oops}x; want one of app_time, duration, generation, request_id, wait_time, worker",
	} {
		if _, err := ParseAccessFormat(text); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestEveryRequestHasALine(t *testing.T) {
	book := new(guestBook)
	s := serve(t, echo, func(o *Options) { o.AccessLog, o.MaxBodyBytes = book, 10 })
	c := s.dial()
	c.send("POST /one HTTP/1.1\r\nHost: a\r\nReferer: r\r\nUser-Agent: u\r\nContent-Length: 3\r\n\r\none").reply("POST")
	c.send("HEAD /two HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").reply("HEAD")
	c.send("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n").reply("POST").wantStatus(t, 413)
	s.dial().send("GET /spaces in it HTTP/1.1\r\n\r\n").reply("GET").wantStatus(t, 400)
	book.want(t,
		`"POST /one HTTP/1.1" 200 3 "r" "u"`,
		`"HEAD /two HTTP/1.0" 200 - "-" "-"`,
		`"POST /large HTTP/1.1" 413 18 "-" "-"`,
		`"-" 400 12 "-" "-"`,
	)
}

func TestLineTellsWhatWasSentOfACutResponse(t *testing.T) {
	book := new(guestBook)
	short := func() *psgi.Response {
		r := pieces(script("abc"), "Content-Length", "5")
		return r
	}
	s := serve(t, always(short), func(o *Options) { o.AccessLog = book })
	_, _ = io.ReadAll(s.dial().send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n"))
	book.want(t, `"GET /cut HTTP/1.1" 200 3 "-" "-"`)
}

func TestClientThatLeavesBeforeItsResponseHasALine(t *testing.T) {
	book := new(guestBook)
	begun := make(chan struct{})
	waiting := app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	s := serve(t, waiting, func(o *Options) { o.AccessLog = book })
	c := s.dial().send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the app", begun)
	_ = c.Close()
	s.logged("client left")
	book.want(t, `"GET /gone HTTP/1.1" 499 - "-" "-"`)
}

// guestBook is an access log.
type guestBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *guestBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *guestBook) read() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

var visitor = regexp.MustCompile(`(?m)^127\.0\.0\.1 - - \[[^]]+\] `)

// want waits until there are so many lines, and compares what follows the time.
func (b *guestBook) want(t *testing.T, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n") + "\n"
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := visitor.ReplaceAllString(b.read(), "")
		if got == want {
			return
		}
		if strings.Count(got, "\n") >= len(lines) || time.Now().After(deadline) {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
		<-tick.C
	}
}

func BenchmarkAccessLog(b *testing.B) {
	for _, format := range []string{"combined", "json"} {
		b.Run(format, func(b *testing.B) {
			f, err := ParseAccessFormat(format)
			if err != nil {
				b.Fatal(err)
			}
			a, v := newAccessLog(io.Discard, f), full()
			b.ReportAllocs()
			for b.Loop() {
				a.write(v)
			}
		})
	}
}
