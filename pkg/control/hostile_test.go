package control

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// raw says something to the socket and returns all that it answers.
func (s *site) raw(says string) string {
	s.t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, says) // it may close before it has all
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		s.t.Fatalf("%.40q: got %q, %v", says, answer, err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		s.t.Errorf("%.40q: not closed", says)
	}
	return answer
}

func TestGarbageIsAnsweredWithWhatIsWrong(t *testing.T) {
	s := newSite(t)
	for says, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":            "not understood: invalid character",
		"\n":                                "not understood: EOF",
		"{}\n":                              `not understood: do \"\"`,
		"{\"do\":\"dance\"}\n":              `not understood: do \"dance\"`,
		"{\"do\":\"status\",\"fast\":1}\n":  `unknown field \"fast\"`,
		"{\"do\":\"status\"}{}\n":           "more than one value",
		"{\"do\":[]}\n":                     "not understood",
		"\x00\xff\n":                        "not understood",
		strings.Repeat("x", mostRequest):    "at most 4096 bytes",
		strings.Repeat("[", 1<<20) + "\n":   "at most 4096 bytes",
		strings.Repeat("[", 4000) + "\n":    "not understood",
		"{\"do\":\"trace\",\"pid\":1e99}\n": "not understood",
	} {
		if got := s.raw(says); !strings.Contains(got, want) || !strings.Contains(got, `"done":true`) {
			t.Errorf("%.40q: got %s, want %s", says, got, want)
		}
	}
	if len(s.asked) > 0 {
		t.Errorf("the daemon was asked for %s", <-s.asked)
	}
}

func TestRequestInPiecesIsUnderstood(t *testing.T) {
	s := newSite(t)
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, piece := range []string{"{\"do\"", ":\"sta", "tus\"}", "\n"} {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatal(err)
		}
	}
	if answer, _ := io.ReadAll(c); !strings.Contains(string(answer), `"listeners":[]`) {
		t.Errorf("got %s", answer)
	}
}

func TestSilentClientIsDropped(t *testing.T) {
	s := newSite(t, func(s *service) { s.silence = 30 * time.Millisecond })
	for _, says := range []string{"", "{\"do\":"} {
		if got := s.raw(says); !strings.Contains(got, "no request within 30ms") {
			t.Errorf("got %s", got)
		}
	}
}

func TestClientThatLeavesInTheMiddleIsForgotten(t *testing.T) {
	s := newSite(t)
	for range 3 * mostClients {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "{\"do\":\"status\"")
		_ = c.(*net.UnixConn).CloseWrite()
		_, _ = io.ReadAll(c)
		c.Close()
	}
	if _, err := s.dial().Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClientThatDoesNotReadHoldsUpNothing(t *testing.T) {
	s := newSite(t, func(s *service) { s.silence = time.Second })
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "{\"do\":\"reload\"}\n"); err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 { // more than the socket has room for
		s.report <- Progress{2, strings.Repeat("rolling", 50), i, 20_000}
		next(t, s.seen)
	}
	s.ended <- nil
}

func TestClientsBeyondTheBoundAreRefused(t *testing.T) {
	s := newSite(t, func(s *service) { s.reloads = make(chan struct{}, mostClients) })
	var clients []*Client
	for range mostClients {
		client := s.dial()
		clients = append(clients, client)
		go client.Reload(t.Context(), false, nil) //nolint:errcheck // ends with the connection, below
		s.waitsFor(t, "reload")
	}
	if got := s.raw(""); !strings.Contains(got, "too many clients") {
		t.Errorf("got %s", got)
	}
	for _, client := range clients {
		s.ended <- nil
		client.Close()
	}
}

func TestReloadsThatHangLeaveRoomForAStop(t *testing.T) {
	s := newSite(t)
	for range mostReloads {
		if err := s.dial().Reload(t.Context(), true, nil); err != nil {
			t.Fatal(err)
		}
		s.waitsFor(t, "reload")
	}
	if err := s.dial().Reload(t.Context(), true, nil); err == nil || err.Error() != "too many reloads at a time" {
		t.Errorf("one more: got %v", err)
	}
	if _, err := s.dial().Status(t.Context()); err != nil {
		t.Errorf("status: %v", err)
	}
}

func TestOtherUsersAreNotHeard(t *testing.T) {
	for _, c := range []struct {
		uid   int
		err   error
		heard bool
	}{
		{uid: 0, heard: true},
		{uid: 33, heard: true},
		{uid: 34},
		{uid: 65534},
		{uid: 0, err: errors.New("the kernel does not tell")},
	} {
		s := newSite(t, func(s *service) {
			s.uid = 33
			s.peer = func(net.Conn) (int, error) { return c.uid, c.err }
		})
		_, err := s.dial().Status(t.Context())
		if heard := err == nil; heard != c.heard {
			t.Errorf("%v: got %v", c, err)
		}
		if c.uid > 33 && !strings.Contains(err.Error(), "only root and the user of the daemon, with the id 33, are heard") {
			t.Errorf("%v: got %v", c, err)
		}
	}
}
