package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// introduced serves on a listener whose connections begin with a PROXY header.
func introduced(t *testing.T, l net.Listener, trusted string, keys ...string) *site {
	t.Helper()
	b := &bound{Listener: l}
	b.introduces.Store(true)
	return serveAt(t, b, showEnv(keys...), behind(trusted))
}

// headerV2 is a header of version 2: the command and the family, and what follows them.
func headerV2(command, family byte, rest string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	ends4 = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb" // 192.0.2.1:12345 to 198.51.100.2:443
	tlv   = "\x04\x00\x03\x00\x00\x00"
)

var (
	ends6    = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x02" + "\x30\x39\x00\x50"
	endsUnix = "/run/client" + strings.Repeat("\x00", 97) + "/run/proxy" + strings.Repeat("\x00", 98)
)

func TestConnectionIsThatOfWhomTheProxySpeaksFor(t *testing.T) {
	keys := []string{"REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_NAME", "SERVER_PORT", "thralld.remote_addr"}
	s := introduced(t, listenWant(t, "127.0.0.1:0", ListenOptions{}), "127.0.0.1", keys...)
	_, port, _ := net.SplitHostPort(s.addr.String())
	const own = "127.0.0.1 CLIENT 127.0.0.1 127.0.0.1 PORT 127.0.0.1"
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n": "192.0.2.1 12345 198.51.100.2 198.51.100.2 443 127.0.0.1",
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n":              "1.1.1.1 1 2.2.2.2 2.2.2.2 2 127.0.0.1",
		"PROXY TCP6 :: ::1 0 1\r\n":                       ":: 0 ::1 [::1] 1 127.0.0.1",
		"PROXY TCP6 2001:db8::1 2001:db8::2 12345 80\r\n": "2001:db8::1 12345 2001:db8::2 [2001:db8::2] 80 127.0.0.1",
		"PROXY UNKNOWN\r\n":                               own,
		"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n":           own,
		headerV2(1, 0x11, ends4):                          "192.0.2.1 12345 198.51.100.2 198.51.100.2 443 127.0.0.1",
		headerV2(1, 0x11, ends4+tlv):                      "192.0.2.1 12345 198.51.100.2 198.51.100.2 443 127.0.0.1",
		headerV2(1, 0x21, ends6):                          "2001:db8::1 12345 2001:db8::2 [2001:db8::2] 80 127.0.0.1",
		headerV2(1, 0x21, ends6+strings.Repeat(tlv, 600)): "2001:db8::1 12345 2001:db8::2 [2001:db8::2] 80 127.0.0.1",
		headerV2(1, 0x31, endsUnix):                       "- 0 (none) host 80 127.0.0.1",
		headerV2(0, 0x00, ""):                             own,
		headerV2(0, 0x11, ends4):                          own,
		headerV2(0, 0x11, "left over"):                    own,
	} {
		name := fmt.Sprintf("%.40q", header)
		c := s.dial()
		_, client, _ := net.SplitHostPort(c.LocalAddr().String())
		var got []string
		for turn := range 2 { // of the same connection
			c.send(header + "GET / HTTP/1.1\r\nHost: host\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")
			got, header = nil, ""
			for _, line := range strings.Split(c.reply("GET").text, "\n") {
				_, value, _ := strings.Cut(line, "=")
				if value == "" {
					value = "-"
				}
				got = append(got, value)
			}
			want := strings.NewReplacer("CLIENT", client, "PORT", port).Replace(want)
			if strings.Join(got, " ") != want {
				t.Errorf("%s, turn %d: %s, want %s", name, turn, got, want)
			}
		}
		c.Close()
	}
}

func TestHeaderMayComeInPieces(t *testing.T) {
	s := introduced(t, listenWant(t, "127.0.0.1:0", ListenOptions{}), "127.0.0.1", "REMOTE_ADDR")
	for _, header := range []string{"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n", headerV2(1, 0x11, ends4+tlv)} {
		c := s.dial()
		for _, b := range []byte(header + getOne) {
			c.send(string([]byte{b}))
		}
		c.reply("GET").wantText(t, "REMOTE_ADDR=192.0.2.1")
		c.Close()
	}
}

func TestBodyBehindTheHeaderIsWhole(t *testing.T) {
	b := &bound{Listener: listenWant(t, "127.0.0.1:0", ListenOptions{})}
	b.introduces.Store(true)
	s := serveAt(t, b, echo, behind("loopback"))
	body := strings.Repeat("0123456789", 5000)
	c := s.dial().send("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" +
		fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body) + getOne)
	c.reply("POST").wantText(t, body)
	c.reply("GET").wantText(t, "")
}

func TestConnectionIsClosedUnlessATrustedProxyIntroducesIt(t *testing.T) {
	const good = "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"
	for name, test := range map[string]struct{ trusted, raw, reason string }{
		"a stranger":                 {"10.0.0.0/8", good + getOne, "it is not from a trusted proxy"},
		"a stranger without it":      {"unix", getOne, "it is not from a trusted proxy"},
		"nobody is trusted":          {"", good + getOne, "it is not from a trusted proxy"},
		"HTTP":                       {"loopback", getOne, "it does not begin with a PROXY header"},
		"TLS":                        {"loopback", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + getOne, "it does not begin with a PROXY header"},
		"small letters":              {"loopback", strings.ToLower(good) + getOne, "it does not begin with a PROXY header"},
		"a bare LF":                  {"loopback", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n" + getOne, "malformed"},
		"no end":                     {"loopback", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 " + strings.Repeat("x", 200), "107 bytes"},
		"another family":             {"loopback", "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n" + getOne, "malformed"},
		"an address of another kind": {"loopback", "PROXY TCP4 ::1 ::2 1 2\r\n" + getOne, "malformed"},
		"a port too many":            {"loopback", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n" + getOne, "malformed"},
		"a port that is none":        {"loopback", "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n" + getOne, "malformed"},
		"two blanks":                 {"loopback", "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n" + getOne, "malformed"},
		"a zone":                     {"loopback", "PROXY TCP6 fe80::1%lo fe80::2 1 2\r\n" + getOne, "malformed"},
		"version 3":                  {"loopback", strings.Replace(headerV2(1, 0x11, ends4), "\x21", "\x31", 1) + getOne, "malformed"},
		"an unknown command":         {"loopback", headerV2(2, 0x11, ends4) + getOne, "malformed"},
		"datagrams":                  {"loopback", headerV2(1, 0x12, ends4) + getOne, "datagrams"},
		"addresses cut short":        {"loopback", headerV2(1, 0x11, ends4[:11]) + getOne, "malformed"},
		"too long":                   {"loopback", headerV2(1, 0x11, strings.Repeat("x", longestV2+1)), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := introduced(t, listenWant(t, "127.0.0.1:0", ListenOptions{}), test.trusted, "REMOTE_ADDR")
			for _, level := range []string{"warn", "debug"} { // the second one soon after the first is no news
				c := s.dial()
				_, _ = c.Write([]byte(test.raw))
				if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
					t.Errorf("answered: %q", rest)
				}
				s.eventually("a log line", func() bool {
					for _, entry := range s.logs.FilterMessage("connection closed").All() {
						if entry.Level.String() == level && strings.Contains(fmt.Sprint(entry.ContextMap()["error"]), test.reason) {
							return true
						}
					}
					return false
				})
			}
		})
	}
}

func TestProxyThatOnlyLooksWhetherWeAreThereIsNoNews(t *testing.T) {
	s := introduced(t, listenWant(t, "127.0.0.1:0", ListenOptions{}), "127.0.0.1")
	s.dial().Close()
	if entry := s.logged("connection closed"); entry.Level != zap.DebugLevel {
		t.Error(entry)
	}
}

func TestIntroducedClientIsNoTrustedProxyByThat(t *testing.T) {
	s := introduced(t, listenWant(t, "127.0.0.1:0", ListenOptions{}), "127.0.0.1 10.0.0.1", "REMOTE_ADDR", "thralld.remote_addr")
	for header, want := range map[string]string{
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n":  "1.1.1.1",   // a client in person, whatever it says
		"PROXY TCP4 10.0.0.1 2.2.2.2 1 2\r\n": "192.0.2.1", // a second proxy
		"PROXY UNKNOWN\r\n":                   "127.0.0.1", // somebody
		headerV2(0, 0, ""):                    "127.0.0.1",
	} {
		c := s.dial().send(header + "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
		c.reply("GET").wantText(t, "REMOTE_ADDR="+want+"\nthralld.remote_addr=127.0.0.1")
	}
}

func TestProxyOnAUnixSocketIntroduces(t *testing.T) {
	s := introduced(t, listenWant(t, t.TempDir()+"/s", ListenOptions{}), "unix", "REMOTE_ADDR", "SERVER_PORT", "thralld.remote_addr")
	c := s.dial().send("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n" + getOne)
	c.reply("GET").wantText(t, "REMOTE_ADDR=192.0.2.1\nSERVER_PORT=443\nthralld.remote_addr=")
}

func TestRequestThatCannotBeReadIsThatOfTheIntroducedClient(t *testing.T) {
	book := new(guestBook)
	b := &bound{Listener: listenWant(t, "127.0.0.1:0", ListenOptions{})}
	b.introduces.Store(true)
	s := serveAt(t, b, echo, behind("127.0.0.1"), func(o *Options) { o.AccessLog = book })
	c := s.dial().send("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n\x00")
	c.reply("GET").wantStatus(t, 400)
	c.wantClosed()
	if got := book.read(); !strings.HasPrefix(got, "192.0.2.1 - - ") {
		t.Error(got)
	}
	if got := fmt.Sprint(s.logged("request refused").ContextMap()["remote"]); got != "192.0.2.1:12345" {
		t.Error(got)
	}
}

func TestListenerThatStaysIntroducesFromTheChangeOn(t *testing.T) {
	s := serve(t, showEnv("REMOTE_ADDR"), behind("127.0.0.1"))
	change := func(introduces bool) *site {
		next, err := s.server.Prepare(s.opts, with(ListenOptions{ProxyProtocol: introduces}, "127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		next.Commit()
		return s.at("tcp", s.server.listeners[0].Addr().String())
	}
	const header = "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n"
	there := change(false)
	kept := there.dial()
	kept.get("/").wantText(t, "REMOTE_ADDR=127.0.0.1")
	if again := change(true); again.addr.String() != there.addr.String() {
		t.Fatal("it was opened anew")
	}
	there.dial().send(header+getOne).reply("GET").wantText(t, "REMOTE_ADDR=192.0.2.1")
	kept.get("/").wantText(t, "REMOTE_ADDR=127.0.0.1")
	change(false)
	there.dial().send(header+getOne).reply("GET").wantStatus(t, 400)
}

// from makes the connections of a pipe come from an address.
type from struct {
	*pipe
	remote net.Addr
}

type connFrom struct {
	net.Conn
	remote net.Addr
}

func (c connFrom) RemoteAddr() net.Addr { return c.remote }

func (l from) Accept() (net.Conn, error) {
	c, err := l.pipe.Accept()
	if err != nil {
		return nil, err
	}
	return connFrom{c, l.remote}, nil
}

func TestSilentProxyIsLeftInTime(t *testing.T) {
	for _, sent := range []string{"", "P", "PROXY TCP4 1.1.1.1 2.2.2.2 ", headerV2(1, 0x11, ends4)[:20]} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipe()
			s := introduced(t, from{p, &net.UnixAddr{Net: "unix"}}, "unix")
			c := s.over(p.dial())
			_ = c.SetDeadline(time.Time{})
			c.send(sent)
			begun := time.Now()
			c.wantClosed()
			if waited := time.Since(begun); waited != introductionPatience {
				t.Errorf("%q: it took %v", sent, waited)
			}
		})
	}
}

func TestStopWaitsNotLongForAnIntroduction(t *testing.T) {
	for _, connected := range []time.Duration{0, headGrace} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipe()
			s := introduced(t, from{p, &net.UnixAddr{Net: "unix"}}, "unix")
			c := s.over(p.dial()).send("PROXY TCP4 ")
			_ = c.SetDeadline(time.Time{})
			synctest.Wait()
			time.Sleep(connected)
			begun := time.Now()
			if err := s.server.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if waited := time.Since(begun); waited > headGrace {
				t.Errorf("connected for %v: it took %v", connected, waited)
			}
			c.wantClosed()
		})
	}
}

func TestConnectionThatIsIntroducedInTheStopIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		s := introduced(t, from{p, &net.UnixAddr{Net: "unix"}}, "unix", "REMOTE_ADDR")
		c := s.over(p.dial()).send("PROXY TCP4 1.1.1.1")
		_ = c.SetDeadline(time.Time{})
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- s.server.Shutdown(context.Background()) }()
		synctest.Wait() // the stop goes on until it can do no more
		c.send(" 2.2.2.2 1 2\r\n"+getOne).reply("GET").wantText(t, "REMOTE_ADDR=1.1.1.1")
		c.wantClosed()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// FuzzIntroduction holds the reader to taking a whole header and nothing behind it,
// however the bytes arrive.
func FuzzIntroduction(f *testing.F) {
	for _, seed := range []string{
		"PROXY UNKNOWN\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET", "PROXY TCP6 :: :: 0 0\r\n\r\n", "PROXY TCP4 \n", "PROXY " + strings.Repeat("x", 120),
		headerV2(1, 0x11, ends4+tlv) + "GET", headerV2(0, 0, ""), headerV2(1, 0x21, ends6)[:30], headerV2(1, 0x31, endsUnix), "GET / HTTP/1.1\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole := bytes.NewReader(raw)
		header, err := readProxyHeader(whole)
		slow := bytes.NewReader(raw)
		again, errAgain := readProxyHeader(iotest.OneByteReader(slow))
		if !bytes.Equal(header, again) || (err == nil) != (errAgain == nil) || whole.Len() != slow.Len() {
			t.Fatalf("%q, %v, and in pieces %q, %v", header, err, again, errAgain)
		}
		if err != nil && !errors.Is(err, errIntroduction) && !errors.Is(err, errNoIntroduction) {
			t.Errorf("error %v", err)
		}
		if err == nil && (!bytes.HasPrefix(raw, header) || whole.Len() != len(raw)-len(header)) {
			t.Errorf("header %q of %q, left %d", header, raw, whole.Len())
		}
	})
}
