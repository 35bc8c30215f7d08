package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

func words(list string) []string { return strings.Fields(list) }

// xForwarded are the fields that are obeyed by default.
var xForwarded = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"}

// behind lets a server believe proxies, by the X-Forwarded fields unless others are named.
func behind(trusted string, fields ...string) func(*Options) {
	if fields == nil {
		fields = xForwarded
	}
	return func(o *Options) { o.TrustedProxies, o.ForwardedHeaders = words(trusted), fields }
}

// toldKeys are those that a proxy has a say in.
var toldKeys = []string{
	"REMOTE_ADDR", "REMOTE_PORT", "psgi.url_scheme", "HTTPS", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT",
	"thralld.remote_addr", "thralld.url_scheme",
}

// told sends a request with these fields and returns what the app learns of its origin, in
// the order of toldKeys.
func (s *site) told(lines ...string) string {
	s.t.Helper()
	c := s.dial()
	defer c.Close()
	r := c.send("GET / HTTP/1.1\r\n"+strings.Join(append(lines, "", ""), "\r\n")).reply("GET").wantStatus(s.t, 200)
	_, port, _ := strings.Cut(s.addr.String(), ":")
	var values []string
	for _, line := range strings.Split(r.text, "\n") {
		_, value, _ := strings.Cut(line, "=")
		if value == port {
			value = "PORT"
		}
		values = append(values, strings.ReplaceAll(value, "(none)", "-"))
	}
	return strings.Join(values, " ")
}

func TestAppSeesTheClientBehindATrustedProxy(t *testing.T) {
	s := serve(t, showEnv(toldKeys...), behind("127.0.0.1 10.0.0.0/8"))
	for name, test := range map[string]struct{ fields, want string }{
		"a proxy that tells all": {
			"Host: inner:81|X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: https|X-Forwarded-Host: example.org|X-Forwarded-Port: 8443",
			"192.0.2.1 0 https on example.org:8443 127.0.0.1 8443 127.0.0.1 http",
		},
		"nginx as it is usually set up": {
			"Host: example.org|X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: https",
			"192.0.2.1 0 https on example.org 127.0.0.1 443 127.0.0.1 http",
		},
		"the address alone": {
			"Host: example.org|X-Forwarded-For: 192.0.2.1", "192.0.2.1 0 http - example.org 127.0.0.1 80 127.0.0.1 http",
		},
		"a host with a port": {
			"Host: a|X-Forwarded-Host: b:8080|X-Forwarded-Port: 1", "127.0.0.1 ANY http - b:8080 127.0.0.1 8080 127.0.0.1 http",
		},
		"the port alone": {
			"Host: a|X-Forwarded-Port: 8080", "127.0.0.1 ANY http - a 127.0.0.1 8080 127.0.0.1 http",
		},
		"the port that goes without saying": {
			"Host: a|X-Forwarded-Host: b|X-Forwarded-Proto: https|X-Forwarded-Port: 443",
			"127.0.0.1 ANY https on b 127.0.0.1 443 127.0.0.1 http",
		},
		"the port of the Host": {
			"Host: a:99|X-Forwarded-For: 192.0.2.1", "192.0.2.1 0 http - a:99 127.0.0.1 99 127.0.0.1 http",
		},
		"IPv6 with a port": {
			"Host: a|X-Forwarded-For: [2001:db8::1]:4711|X-Forwarded-Host: [2001:db8::2]:81",
			"2001:db8::1 4711 http - [2001:db8::2]:81 127.0.0.1 81 127.0.0.1 http",
		},
		"what the client has written before it": {
			"Host: a|X-Forwarded-For: 127.0.0.1, 1.1.1.1|X-Forwarded-For: 192.0.2.1, 10.0.0.1|X-Forwarded-Proto: http, https|X-Forwarded-Host: evil, b",
			"192.0.2.1 0 https on b 127.0.0.1 443 127.0.0.1 http",
		},
		"nothing":                   {"Host: a", "127.0.0.1 ANY http - a 127.0.0.1 PORT - -"},
		"nothing that makes sense":  {"Host: a|X-Forwarded-For: x|X-Forwarded-Proto: ftp|X-Forwarded-Host: a/b|X-Forwarded-Port: 0", "127.0.0.1 ANY http - a 127.0.0.1 PORT - -"},
		"Forwarded, not obeyed":     {"Host: a|Forwarded: for=192.0.2.1;proto=https;host=b", "127.0.0.1 ANY http - a 127.0.0.1 PORT - -"},
		"a name with an underscore": {"Host: a|X_Forwarded_For: 192.0.2.1", "127.0.0.1 ANY http - a 127.0.0.1 PORT - -"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			got, want := words(s.told(strings.Split(test.fields, "|")...)), words(test.want)
			if want[1] == "ANY" {
				got[1] = "ANY"
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestNobodyButATrustedProxyIsBelieved(t *testing.T) {
	s := serve(t, showEnv("REMOTE_ADDR", "psgi.url_scheme", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "thralld.remote_addr"),
		behind("10.0.0.0/8 unix ::1"))
	s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"+
		"X-Forwarded-Host: b\r\nForwarded: for=192.0.2.1\r\n\r\n").reply("GET").wantText(t,
		"REMOTE_ADDR=127.0.0.1\npsgi.url_scheme=http\nHTTP_HOST=a\nHTTP_X_FORWARDED_FOR=192.0.2.1\nHTTP_FORWARDED=for=192.0.2.1\n"+
			"thralld.remote_addr=(none)")
}

func TestForwardedIsObeyedAloneWhereItIsNamed(t *testing.T) {
	s := serve(t, showEnv(toldKeys...), behind("loopback", "Forwarded"))
	for fields, want := range map[string]string{
		"Host: a|Forwarded: for=1.1.1.1|X-Forwarded-For: 2.2.2.2|X-Forwarded-Proto: http|Forwarded: for=\"192.0.2.1:47\";proto=https;host=\"b:81\"": "192.0.2.1 47 https on b:81 127.0.0.1 81 127.0.0.1 http",
		"Host: a|Forwarded: for=192.0.2.1;proto=https": "192.0.2.1 0 https on a 127.0.0.1 443 127.0.0.1 http",
	} {
		if got := s.told(strings.Split(fields, "|")...); got != want {
			t.Errorf("%s: %s, want %s", fields, got, want)
		}
	}
	r := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n").reply("GET")
	if !strings.HasPrefix(r.text, "REMOTE_ADDR=127.0.0.1\n") {
		t.Errorf("X-Forwarded-For is obeyed, too: %s", r.text)
	}
}

func TestProxyOnAUnixSocketIsBelieved(t *testing.T) {
	for trusted, want := range map[string]string{
		"unix":     "192.0.2.1|0|https|443|",
		"loopback": "|0|http|80|(none)",
	} {
		s := serveUnix(t, showEnv("REMOTE_ADDR", "REMOTE_PORT", "psgi.url_scheme", "SERVER_PORT", "thralld.remote_addr"), behind(trusted))
		r := s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1, unix:\r\nX-Forwarded-Proto: https\r\n\r\n").reply("GET")
		var values []string
		for _, line := range strings.Split(r.text, "\n") {
			_, value, _ := strings.Cut(line, "=")
			values = append(values, value)
		}
		if got := strings.Join(values, "|"); got != want {
			t.Errorf("%s: %s, want %s", trusted, got, want)
		}
	}
}

func TestWhoIsBelievedChangesOnAKeptConnection(t *testing.T) {
	s := serve(t, showEnv("REMOTE_ADDR"))
	c := s.dial()
	const raw = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
	c.send(raw).reply("GET").wantText(t, "REMOTE_ADDR=127.0.0.1")
	next := s.opts
	behind("127.0.0.0/8")(&next)
	s.prepare(next).Commit()
	c.send(raw).reply("GET").wantText(t, "REMOTE_ADDR=192.0.2.1")
	c.get("/").wantText(t, "REMOTE_ADDR=127.0.0.1")
	s.prepare(s.opts).Commit()
	c.send(raw).reply("GET").wantText(t, "REMOTE_ADDR=127.0.0.1")
}

func TestForwardedHeadersThatContradictAreRefused(t *testing.T) {
	for _, fields := range []string{"Forwarded X-Forwarded-For", "X-Real-IP", "for"} {
		s := serve(t, echo)
		opts := s.opts
		behind("127.0.0.1", words(fields)...)(&opts)
		if _, err := s.server.Prepare(opts, nil); err == nil {
			t.Errorf("%s is taken", fields)
		}
		behind("127.0.0.1, nobody")(&opts)
		if _, err := s.server.Prepare(opts, nil); err == nil {
			t.Error("a trusted proxy that is none is taken")
		}
	}
}

// readTold reads one field as a server that trusts 10.0.0.0/8 and ::1.
func readTold(t testing.TB, field, value string) (told forwarded, doubts []string) {
	t.Helper()
	f, err := newForwarding([]string{"10.0.0.0/8", "::1"}, []string{field})
	if err != nil {
		t.Fatal(err)
	}
	told = f.read(psgi.Header{{Name: field, Value: value}}, func(_, _, why string) { doubts = append(doubts, why) })
	return told, doubts
}

func TestClientIsTheFirstWhoIsNoTrustedProxyFromTheRight(t *testing.T) {
	many := strings.Repeat("10.0.0.9, ", maxHops)
	for list, want := range map[string]string{ // the client; and "!" where something was not believed
		"192.0.2.1":                           "192.0.2.1:0",
		"  192.0.2.1\t":                       "192.0.2.1:0",
		"192.0.2.1:80":                        "192.0.2.1:80",
		"::ffff:192.0.2.1":                    "192.0.2.1:0",
		"2001:db8::1":                         "[2001:db8::1]:0",
		"[2001:db8::1]":                       "[2001:db8::1]:0",
		"[2001:db8::1]:80":                    "[2001:db8::1]:80",
		"1.1.1.1, 192.0.2.1":                  "192.0.2.1:0",
		"1.1.1.1,192.0.2.1,10.0.0.1,10.0.0.2": "192.0.2.1:0",
		"192.0.2.1, ::1, [::1]:7, 10.0.0.1":   "192.0.2.1:0",
		"192.0.2.1,, ,10.0.0.1,":              "192.0.2.1:0",
		"10.0.0.3, 10.0.0.1":                  "10.0.0.3:0",
		"10.0.0.3:5, 10.0.0.1":                "10.0.0.3:5",
		"192.0.2.1, unknown, 10.0.0.1":        "10.0.0.1:0!",
		"192.0.2.1, unknown":                  "!",
		"192.0.2.1, _hidden":                  "!",
		"192.0.2.1, unix:":                    "!", // unix is not in the set
		"192.0.2.1 10.0.0.1":                  "!",
		"":                                    "",
		",":                                   "",
		"example.org":                         "!",
		"192.0.2.1.":                          "!",
		"192.0.2.01":                          "!",
		"192.0.2.256":                         "!",
		"0xc0000201":                          "!",
		"3221225985":                          "!",
		"192.0.2.1:":                          "!",
		"192.0.2.1:0":                         "!",
		"192.0.2.1:65536":                     "!",
		"192.0.2.1:+80":                       "!",
		"[192.0.2.1]":                         "!",
		"[2001:db8::1":                        "!",
		"[2001:db8::1]80":                     "!",
		"[2001:db8::1]:":                      "!",
		"2001:db8::1]:80":                     "!",
		"fe80::1%eth0":                        "!",
		"[fe80::1%25eth0]:80":                 "!",
		"192.0.2.1\x00":                       "!",
		"\xff":                                "!",
		"for=192.0.2.1":                       "!",
		"\"192.0.2.1\"":                       "!",
		strings.Repeat("1", 60_000):           "!",
		strings.Repeat(",", 60_000):           "!",
		"192.0.2.1," + many:                   "10.0.0.9:0!",
		"192.0.2.1," + many[len("10.0.0.9, ")*2:]: "192.0.2.1:0",
	} {
		told, doubts := readTold(t, "X-Forwarded-For", list)
		got := ""
		if told.client.IsValid() {
			got = told.client.String()
		}
		if len(doubts) > 0 {
			got += "!"
		}
		if got != want {
			t.Errorf("%.60q: %s, want %s (%v)", list, got, want, doubts)
		}
	}
}

func TestForwardedIsReadFromItsEnd(t *testing.T) {
	for list, want := range map[string]string{ // client, scheme, host; and "!" where something was not believed
		`for=192.0.2.1`: "192.0.2.1:0 - -",
		`For="[2001:db8:cafe::17]:4711";PROTO=HTTPS;Host="example.org:81"`: "[2001:db8:cafe::17]:4711 https example.org:81",
		`for=192.0.2.60;proto=http;by=203.0.113.43;x=y`:                    "192.0.2.60:0 http -",
		`for=192.0.2.1 ; proto=https`:                                      "192.0.2.1:0 https -",
		`for=192.0.2.1;;proto=https;`:                                      "192.0.2.1:0 https -",
		`for=192.0.2.1:80;host=a:81`:                                       "192.0.2.1:80 - a:81",
		`for=[2001:db8::1]`:                                                "[2001:db8::1]:0 - -",
		`for="192.0.2.1:_port"`:                                            "192.0.2.1:0 - -",
		`for="\1\92.0.2.1"`:                                                "192.0.2.1:0 - -",
		`for=1.1.1.1;host=evil, for=192.0.2.1`:                             "192.0.2.1:0 - -",
		`for=192.0.2.1;proto=https;host=a, for=10.0.0.1;proto=http;host=b`: "192.0.2.1:0 https a",
		`for=192.0.2.1, for=10.0.0.1;proto=https`:                          "192.0.2.1:0 https -",
		`for=192.0.2.1, for=10.0.0.2;host=b,, for="[::1]:7"`:               "192.0.2.1:0 - b",
		`proto=https;host=a`:                                               "- https a!",
		`for=unknown;proto=https`:                                          "- https -!",
		`for=1.1.1.1, for=_secret`:                                         "- - -!",
		`for=1.1.1.1, for=unknown, for=10.0.0.1`:                           "10.0.0.1:0 - -!",
		`for=192.0.2.1;proto=gopher;host="a b"`:                            "192.0.2.1:0 - -!",
		`for=192.0.2.1;host="a/b"`:                                         "192.0.2.1:0 - -!",
		`for=192.0.2.1;host="a\"b"`:                                        "192.0.2.1:0 - -!",
		`for=192.0.2.1;for=1.1.1.1`:                                        "- - -!",
		`for=192.0.2.1;proto=https;PROTO=http`:                             "- - -!",
		`for=192.0.2.1 proto=https`:                                        "- - -!",
		`for =192.0.2.1`:                                                   "- - -!",
		`for= 192.0.2.1`:                                                   "- - -!",
		`for=`:                                                             "- - -!",
		`for`:                                                              "- - -!",
		`=192.0.2.1`:                                                       "- - -!",
		`for="192.0.2.1`:                                                   "- - -!",
		`for=192.0.2.1"`:                                                   "- - -!",
		`for="192.0.2.1"x`:                                                 "- - -!",
		`for="192.0.2.1\"`:                                                 "- - -!",
		`192.0.2.1`:                                                        "- - -!",
		``:                                                                 "- - -",
		// What a client may write so that the words of the proxy behind it are not found.
		`for=", for=192.0.2.1;proto=https`:               `192.0.2.1:0 https -`,
		`for="\, for=192.0.2.1`:                          `192.0.2.1:0 - -`,
		`for=x;host="\", for="192.0.2.1";host="a"`:       `192.0.2.1:0 - a`,
		`for=10.0.0.1", for="[2001:db8::1]";host="b"`:    `[2001:db8::1]:0 - b`,
		`x="a, b", for=10.0.0.1;by="c, for=1.1.1.1"`:     `10.0.0.1:0 - -!`,
		`for=1.1.1.1;by="\", for=10.0.0.1;by="[::1]:80"`: `10.0.0.1:0 - -!`,
	} {
		told, doubts := readTold(t, "Forwarded", list)
		got := dash(told.client.IsValid(), told.client.String()) + " " + dash(told.scheme != "", told.scheme) + " " + dash(told.host != "", told.host)
		if len(doubts) > 0 {
			got += "!"
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", list, got, want, doubts)
		}
	}
}

func dash(is bool, text string) string {
	if !is {
		return "-"
	}
	return text
}

// FuzzForwarded holds the reader to what it promises whatever comes: what it tells is well
// formed, and words of the nearest proxy are found behind whatever a client wrote.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{
		`for=192.0.2.1`, `for="[2001:db8::1]:80";proto=https;host=a, for=10.0.0.1`, `for="\`, `for="a\"b, c`, `,;=",`, `unknown`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		for _, field := range []string{"Forwarded", "X-Forwarded-For"} {
			told, _ := readTold(t, field, list)
			if told.client.IsValid() && told.client.Addr().Zone() != "" {
				t.Errorf("%s: client %v", field, told.client)
			}
			if !validHost(told.host) || len(told.host) > maxHost || told.scheme != "" && told.scheme != "http" && told.scheme != "https" {
				t.Errorf("%s: %+v", field, told)
			}
		}
		for field, own := range map[string]string{
			"Forwarded": `for="[2001:db8::9]:4";by="a, \"b";proto=https;host="c:81"`, "X-Forwarded-For": "[2001:db8::9]:4",
		} {
			told, _ := readTold(t, field, list+","+own)
			want := forwarded{client: netip.MustParseAddrPort("[2001:db8::9]:4")}
			if field == "Forwarded" {
				want.scheme, want.host = "https", "c:81"
			}
			if told != want {
				t.Errorf("%s behind %q: %+v", field, list, told)
			}
		}
	})
}

func TestWhatIsNotBelievedIsLogged(t *testing.T) {
	s := serve(t, echo, behind("127.0.0.1"))
	s.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "+strings.Repeat("x", 1000)+"\r\n\r\n").reply("GET").wantStatus(t, 200)
	entry := s.logged("proxy not believed")
	if entry.Level != zap.DebugLevel {
		t.Error(entry.Level)
	}
	fields := entry.ContextMap()
	if fields["field"] != "X-Forwarded-For" || fields["value"] != strings.Repeat("x", 200) || fields["reason"] != "not an address" || fields["request_id"] == "" {
		t.Error(fields)
	}
}

func TestAccessLogNamesTheClientBehindTheProxy(t *testing.T) {
	book := new(guestBook)
	s := serve(t, echo, behind("127.0.0.1"), func(o *Options) { o.AccessLog = book })
	c := s.dial()
	for _, fields := range []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 2001:db8::1", "X-Forwarded-For: x", "X-Forwarded-Proto: https"} {
		c.send("GET / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n\r\n").reply("GET").wantStatus(t, 200)
	}
	c.get("/") // before it is read the line of the one before is written
	var clients []string
	for _, line := range strings.Split(book.read(), "\n")[:4] {
		client, _, _ := strings.Cut(line, " ")
		clients = append(clients, client)
	}
	if got := strings.Join(clients, " "); got != "192.0.2.1 2001:db8::1 127.0.0.1 127.0.0.1" {
		t.Error(got)
	}
}
