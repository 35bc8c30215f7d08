package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestStopIsWaitedForUntilTheConnectionEnds(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	var daemonsEnd []net.Conn
	s.close()
	s.path += "2"
	l, err := Listen(s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.socket, s.served = &recording{Listener: l, accepted: func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		daemonsEnd = append(daemonsEnd, c)
	}}, make(chan struct{})
	go func() { // ends when the site closes
		defer close(s.served)
		Serve(s.socket, s.fakeDaemon, nil)
	}()

	client, ended := s.dial(), make(chan error)
	go func() { // ends when the connection does
		pid, err := client.Stop(context.Background())
		if pid == 0 {
			err = errors.New("no process id")
		}
		ended <- err
	}()
	s.waitsFor(t, "stop")
	s.close() // the last thing that a daemon does
	select {
	case err := <-ended:
		t.Fatalf("the daemon has not ended, and the client has: %v", err)
	default:
	}
	mu.Lock()
	daemonsEnd[0].Close() // as the kernel does with all that a process has
	mu.Unlock()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
}

// recording hands out the connections that it accepts.
type recording struct {
	net.Listener
	accepted func(net.Conn)
}

func (r *recording) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err == nil {
		r.accepted(c)
	}
	return c, err
}

func TestDaemonThatDiesIsToldFromOneThatAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the second connection
		for _, says := range []string{"", "HTTP/1.1 400 Bad Request\r\n"} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(says))
			_, _ = c.Read(make([]byte, 100))
			c.Close()
		}
	}()
	for _, want := range []string{"ended before it had answered", "is it a thralld"} {
		c, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Reload(t.Context(), false, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		c.Close()
	}
}

func TestDaemonThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := Listen(path) // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	why := c.unanswered(time.Second)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, why)
	defer cancel()
	if _, err := c.Status(ctx); !errors.Is(err, why) || !strings.Contains(err.Error(), "(process ") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyToTalkToIsSaid(t *testing.T) {
	folder := t.TempDir()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: folder + "/stale", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	_, err = Dial(folder+"/stale", folder+"/missing")
	if err == nil || !strings.HasPrefix(err.Error(), "no thralld is running with this configuration: nothing listens on "+
		folder+"/stale, nor on "+folder+"/missing; if another user runs it") {
		t.Errorf("got %v", err)
	}
	if _, err := Dial("/" + strings.Repeat("x", 200)); err == nil || !strings.Contains(err.Error(), "the kernel takes 107") {
		t.Errorf("got %v", err)
	}
}

func TestSecondPlaceIsTriedWhenNobodyIsAtTheFirst(t *testing.T) {
	s := newSite(t)
	c, err := Dial(s.path+".other", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestErrorOfTheKernelIsExplained(t *testing.T) {
	err := refused("/run/thralld.sock", &net.OpError{Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !strings.HasPrefix(err.Error(), "no permission to talk to the thralld at /run/thralld.sock: only root and the user") {
		t.Errorf("got %v", err)
	}
}

func TestPlacesThatMayNotBeLookedAtAreTold(t *testing.T) {
	for _, c := range []struct {
		paths, hidden []string
		want          string
	}{
		{[]string{"/a", "/b"}, nil, "nothing listens on /a, nor on /b; if another user runs it, ask as that user, or say where with --control"},
		{[]string{"/a", "/b"}, []string{"/b"}, "nothing listens on /a, and /b is hidden from it"},
		{[]string{"/b"}, []string{"/b"}, "no permission to look at /b, where thralld would listen"},
	} {
		if got := nobody(c.paths, c.hidden).Error(); !strings.HasSuffix(got, c.want) {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestAnswerDoesNotSpeakToTheTerminal(t *testing.T) {
	s := newSite(t)
	s.traced = map[int]string{7: "main::\x1b[2J called at app.psgi line 3\nmain::next"}
	text, err := s.dial().Trace(t.Context(), 7)
	if want := "main::\ufffd[2J called at app.psgi line 3\nmain::next"; text != want || err != nil {
		t.Errorf("trace: got %q, %v", text, err)
	}
	go func() { s.ended <- errors.New("it last printed:\n\t\x1b]0;owned\x07") }() // ends with the reload
	err = s.dial().Reload(t.Context(), false, nil)
	if want := "it last printed:\n\t\ufffd]0;owned\ufffd"; err == nil || err.Error() != want {
		t.Errorf("reload: got %q", err)
	}
}
