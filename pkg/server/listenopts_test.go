package server

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func wantMode(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != mode {
		t.Errorf("got %v, %v, want mode %o", info, err, mode)
	}
}

func TestModeAndBacklogChangeWhileASocketIsOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	s.listen(Listener{Address: "127.0.0.1:0"}, Listener{path, ListenOptions{Access: Access{Mode: 0o600}}})
	wantMode(t, path, 0o600)
	c := s.opened().dial()
	before := s.server.listeners

	s.listen(Listener{"127.0.0.1:0", ListenOptions{Backlog: 7}}, Listener{path, ListenOptions{Access: Access{Mode: 0o666}}})
	wantMode(t, path, 0o666)
	if got := room(t, before[0].Listener); got != 7 {
		t.Errorf("a backlog of %d, want 7", got)
	}
	c.get("/").wantStatus(t, 200)
	if !slices.Equal(before, s.server.listeners) {
		t.Error("they were opened anew")
	}
}

func TestModeIsAsItWasAfterAChangeThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	s.listen(Listener{path, ListenOptions{Access: Access{Mode: 0o600}}})
	open := Listener{path, ListenOptions{Access: Access{Mode: 0o666}}}
	if _, err := s.server.Prepare(s.opts, append(at("127.0.0.1:http"), open)); err == nil {
		t.Fatal("it can be prepared")
	}
	wantMode(t, path, 0o600)
	change, err := s.server.Prepare(s.opts, []Listener{open})
	if err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o666)
	change.Discard()
	wantMode(t, path, 0o600)
}

func TestOptionsThatNeedARestartSaySo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	s.listen(Listener{path, ListenOptions{Access: Access{Mode: 0o600}}}, Listener{Address: "127.0.0.1:0"})
	for address, test := range map[string]struct {
		next ListenOptions
		says string
	}{
		path:          {ListenOptions{}, "name them, or restart"},
		"127.0.0.1:0": {ListenOptions{ReusePort: true}, "cannot change while it is open; this needs a restart"},
	} {
		_, err := s.server.Prepare(s.opts, []Listener{{address, test.next}})
		if err == nil || !strings.HasPrefix(err.Error(), "listen on "+address+": ") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v does not say %q", address, err, test.says)
		}
	}
}

func TestNameMeansIPv4OnlyWhenIPv6IsOff(t *testing.T) {
	l := listenWant(t, "localhost:0", ListenOptions{})
	if !reachable(l, "tcp4", "127.0.0.1") || reachable(l, "tcp6", "::1") {
		t.Error("not on 127.0.0.1 alone")
	}
	if ip := l.Addr().(*net.TCPAddr).IP; ip.To4() == nil {
		t.Errorf("it listens on %v", ip)
	}
	if hasIPv6() {
		listenFails(t, "[::]:0", ListenOptions{}, "ipv6 is off")
		listenFails(t, "[::ffff:127.0.0.1]:0", ListenOptions{}, "ipv6 is off")
	}
}

func TestServerIsNamedByTheSocketOnEachKind(t *testing.T) {
	env := showEnv("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR")
	s := serve(t, env)
	path := filepath.Join(t.TempDir(), "socket")
	other := listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
	_, fd := handOver(t, other)
	abstract := fmt.Sprintf("@thralld-names-%d", os.Getpid())
	kinds := map[string]string{ // and what follows the port
		"127.0.0.1:0": "127.0.0.1", "127.0.0.2:0": "127.0.0.2", fd: "127.0.0.1", path: "", abstract: "",
	}
	if hasIPv6() {
		kinds["[::1]:0"] = "[::1]"
	}
	for address, name := range kinds {
		s.listen(Listener{address, ListenOptions{IPv6: true}})
		there := s.opened()
		want := "SERVER_NAME=test\nSERVER_PORT=80\nREMOTE_ADDR="
		if name != "" {
			_, port, _ := net.SplitHostPort(there.addr.String())
			remote := strings.Trim(name, "[]")
			if name == "127.0.0.2" {
				remote = "127.0.0.1"
			}
			want = "SERVER_NAME=" + name + "\nSERVER_PORT=" + port + "\nREMOTE_ADDR=" + remote
		}
		there.dial().get("/").wantText(t, want)
	}
}

func TestServerOnAllAddressesIsNamedByTheOneThatWasReached(t *testing.T) {
	s := serve(t, showEnv("SERVER_NAME"))
	s.listen(Listener{":0", ListenOptions{IPv6: true}})
	_, port, _ := net.SplitHostPort(s.opened().addr.String())
	s.at("tcp", "127.0.0.1:"+port).dial().get("/").wantText(t, "SERVER_NAME=127.0.0.1")
	s.at("tcp", "127.0.0.2:"+port).dial().get("/").wantText(t, "SERVER_NAME=127.0.0.2")
	if hasIPv6() {
		s.at("tcp", "[::1]:"+port).dial().get("/").wantText(t, "SERVER_NAME=[::1]")
	}
}
