package server

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// named makes of a socket the file that systemd would hand over under a name.
func named(t *testing.T, name string, socket interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	number, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(number), name)
}

// passive opens a port as systemd does, and hands it over.
func passive(t *testing.T, name string) (l *net.TCPListener, f *os.File) {
	t.Helper()
	l = listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
	return l, named(t, name, l)
}

// serveHanded runs an app on a free port, by a server that was handed sockets over.
func serveHanded(t *testing.T, files ...*os.File) *site {
	t.Helper()
	handed, err := Adopt(files)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, showEnv("SERVER_NAME", "SERVER_PORT"))
	s.server.handed = handed
	t.Cleanup(func() { // a server that listens on none of them leaves them to the process
		for _, h := range handed {
			h.listener.Close()
		}
	})
	return s
}

func TestAllSocketsOfANameAreServed(t *testing.T) {
	one, file1 := passive(t, "web")
	other, file2 := passive(t, "web")
	path := filepath.Join(t.TempDir(), "socket")
	admin, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	admin.SetUnlinkOnClose(false)
	file3 := named(t, "admin", admin)
	for _, l := range []net.Listener{one, other, admin} {
		l.Close()
	}

	s := serveHanded(t, file1, file2, file3)
	s.change(unchanged, "systemd:web", "systemd:admin")
	for _, l := range []net.Listener{one, other} {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		s.at("tcp", l.Addr().String()).dial().get("/").wantText(t, "SERVER_NAME=127.0.0.1\nSERVER_PORT="+port)
	}
	s.at("unix", path).dial().get("/").wantText(t, "SERVER_NAME=test\nSERVER_PORT=80")

	kept := s.server.listeners
	s.change(unchanged, "127.0.0.1:0", "systemd:admin", "systemd:web")
	if now := len(s.server.listeners); now != len(kept)+1 {
		t.Errorf("%d listeners, want %d", now, len(kept)+1)
	}
	s.at("unix", path).dial().get("/").wantStatus(t, 200)
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file of the socket is gone: %v", err)
	}
	if reachable(one, "tcp4", "127.0.0.1") {
		t.Error("the port is still open")
	}
}

func TestNamesOfSocketsHaveToMatch(t *testing.T) {
	web, file1 := passive(t, "web")
	_, file2 := passive(t, "admin")
	s := serveHanded(t, file1, file2)
	for name, test := range map[string]struct {
		addresses []string
		says      string
	}{
		"one that there is not": {[]string{"systemd:web", "systemd:admin", "systemd:wbe"}, "listen on systemd:wbe: systemd has handed over no socket of that name, but web, admin"},
		"one that is not named": {[]string{"systemd:admin"}, `systemd has handed over ` + web.Addr().String() + ` as "web", and no listener names it; listen on systemd:web, too`},
		"one that is twice":     {[]string{"systemd:web", "systemd:admin", "systemd:web"}, "listen on systemd:web: it is named twice"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.server.Prepare(s.opts, at(test.addresses...)); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v does not say %q", err, test.says)
			}
		})
	}
	s.change(unchanged, "systemd:web", "systemd:admin") // what failed has closed none
	s.at("tcp", web.Addr().String()).dial().get("/").wantStatus(t, 200)
}

func TestWithoutSystemdNothingIsHandedOver(t *testing.T) {
	s := serve(t, echo)
	_, err := s.server.Prepare(s.opts, at("systemd:web"))
	if err == nil || !strings.Contains(err.Error(), "systemd has handed no socket over; thralld has to be started by the service of a .socket unit") {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNoListeningSocketIsNotTakenOver(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	_, err = Adopt([]*os.File{os.NewFile(uintptr(pair[0]), "connection"), null})
	for _, says := range []string{`systemd has handed over "connection": it is no socket that listens`, os.DevNull, "Accept=no"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v does not say %q", err, says)
		}
	}
}
