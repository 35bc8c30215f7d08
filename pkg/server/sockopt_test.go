package server

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sockopt reads an option of a socket.
func sockopt(t *testing.T, socket any, level, name int) (value int) {
	t.Helper()
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), level, name) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return value
}

// room is how many connections may wait in a TCP listener's queue, as ss shows it.
func room(t *testing.T, l net.Listener) (most int) {
	t.Helper()
	onSocket(l, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		most = int(info.Sacked) // of a socket that listens it means that
	})
	return most
}

// accepted connects to a listener, and returns the server's end.
func accepted(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// wantKeepAlive checks when the kernel asks for the client of a connection; 0 is never.
func wantKeepAlive(t *testing.T, c net.Conn, seconds int) {
	t.Helper()
	on := sockopt(t, c, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	if seconds == 0 {
		if on != 0 {
			t.Error("it asks for the client")
		}
		return
	}
	idle, every := sockopt(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), sockopt(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
	if on == 0 || idle != seconds || every != seconds || sockopt(t, c, unix.IPPROTO_TCP, unix.TCP_KEEPCNT) != 9 {
		t.Errorf("on: %d; it asks after %d s and every %d, want %d", on, idle, every, seconds)
	}
}

func TestConnectionsHaveTheKeepAliveOfTheirListener(t *testing.T) {
	for how, seconds := range map[time.Duration]int{0: 0, 7 * time.Second: 7, 1500 * time.Millisecond: 2, 20 * time.Hour: 32767} {
		opts := ListenOptions{KeepAlive: how}
		own := listenWant(t, "127.0.0.1:0", opts)
		wantKeepAlive(t, accepted(t, own), seconds)

		other := listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
		_, address := handOver(t, other)
		wantKeepAlive(t, accepted(t, listenWant(t, address, opts)), seconds)
	}
}

func TestKeepAliveChangesForNewConnections(t *testing.T) {
	other := listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
	_, address := handOver(t, other)
	for _, address := range []string{"127.0.0.1:0", address} {
		b := &bound{Listener: listenWant(t, address, ListenOptions{}), address: address}
		before := accepted(t, b)
		for _, seconds := range []int{7, 0, 9} {
			b.set(ListenOptions{KeepAlive: time.Duration(seconds) * time.Second})
			wantKeepAlive(t, accepted(t, b), seconds)
		}
		wantKeepAlive(t, before, 0)
	}
}

func TestBacklogIsWhatWasAskedFor(t *testing.T) {
	most := longestBacklog()
	b := &bound{
		Listener: listenWant(t, "127.0.0.1:0", ListenOptions{Backlog: 3}), address: "127.0.0.1:0", how: ListenOptions{Backlog: 3},
	}
	if got := room(t, b.Listener); got != 3 {
		t.Errorf("%d may wait, want 3", got)
	}
	for backlog, want := range map[int]int{0: most, 5: 5} {
		b.set(ListenOptions{Backlog: backlog})
		if got := room(t, b.Listener); got != want {
			t.Errorf("a backlog of %d: %d may wait, want %d", backlog, got, want)
		}
	}
	if got := room(t, listenWant(t, "127.0.0.1:0", ListenOptions{})); got != most {
		t.Errorf("without a word %d may wait, want %d", got, most)
	}
}

func TestBacklogThatTheMachineWouldCutIsRefused(t *testing.T) {
	opts := ListenOptions{Backlog: longestBacklog() + 1}
	says := fmt.Sprintf("a backlog of %d: this machine allows %d", opts.Backlog, opts.Backlog-1)
	path := filepath.Join(t.TempDir(), "socket")
	for _, address := range []string{"127.0.0.1:0", path, "@thralld-backlog"} {
		listenFails(t, address, opts, says, "net.core.somaxconn")
	}
	if left := inside(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	s := serve(t, echo)
	s.change(unchanged, path)
	if _, err := s.server.Prepare(s.opts, with(opts, path)); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v", err)
	}
}

func TestPortIsSharedWhenAllWantThat(t *testing.T) {
	sharing := ListenOptions{ReusePort: true}
	l := listenWant(t, "127.0.0.1:0", sharing)
	listenWant(t, l.Addr().String(), sharing)
	listenFails(t, l.Addr().String(), ListenOptions{}, "already in use")

	alone := listenWant(t, "127.0.0.1:0", ListenOptions{})
	listenFails(t, alone.Addr().String(), sharing, "already in use")
}
