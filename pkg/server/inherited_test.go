package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// handOver makes a descriptor of a socket as a process that starts thralld would,
// and returns its address.
func handOver(t *testing.T, socket interface{ File() (*os.File, error) }) (number int, address string) {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if number, err = unix.Dup(int(f.Fd())); err != nil { // a copy that is not closed on exec
		t.Fatal(err)
	}
	return number, fmt.Sprintf("fd:%d", number)
}

func closedOnExec(number int) bool {
	flags, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC != 0
}

func isOpen(number int) bool {
	_, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0)
	return err == nil
}

func TestInheritedPortIsServed(t *testing.T) {
	l := listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
	number, address := handOver(t, l)
	l.Close()
	s := serve(t, showEnv("SERVER_PORT"))
	s.change(unchanged, address)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.opened().dial().get("/").wantText(t, "SERVER_PORT="+port)
	if !closedOnExec(number) {
		t.Error("the processes that thralld starts get it, too")
	}
	s.change(unchanged, address) // it stays
	s.opened().dial().get("/").wantStatus(t, 200)
	s.change(unchanged)
	if isOpen(number) || reachable(l, "tcp4", "127.0.0.1") {
		t.Error("it is still open")
	}
}

func TestInheritedUnixSocketKeepsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_, address := handOver(t, l)
	l.Close()
	s := serve(t, echo)
	s.change(unchanged, address)
	s.at("unix", path).dial().get("/").wantStatus(t, 200)
	s.change(unchanged)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestInheritedSocketCanBeAdoptedAgainAfterAFailure(t *testing.T) {
	l := listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
	number, address := handOver(t, l)
	l.Close()
	s := serve(t, echo)
	if _, err := s.server.Prepare(s.opts, at(address, "127.0.0.1:http")); err == nil {
		t.Fatal("it can be prepared")
	}
	if !isOpen(number) || closedOnExec(number) {
		t.Error("the descriptor is not as it was")
	}
	s.change(unchanged, address)
	s.opened().dial().get("/").wantStatus(t, 200)
}

func TestDescriptorThatIsNoListeningSocketIsRefused(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for what, number := range map[string]int{
		"a connected socket": pair[0], "the other end": pair[1], "a datagram socket": udp, "a file": file,
	} {
		t.Run(what, func(t *testing.T) {
			listenFails(t, fmt.Sprintf("fd:%d", number), ListenOptions{}, fmt.Sprintf("descriptor %d is no listening socket", number))
			if !isOpen(number) || closedOnExec(number) {
				t.Error("it was touched")
			}
		})
		unix.Close(number)
	}
}

func TestListenerOfThisProcessIsNotAdopted(t *testing.T) {
	l := listenWant(t, "127.0.0.1:0", ListenOptions{}).(*net.TCPListener)
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		listenFails(t, fmt.Sprintf("fd:%d", fd), ListenOptions{}, "was not handed over to thralld, or already in use")
	})
	_, address := handOver(t, l)
	first := listenWant(t, address, ListenOptions{})
	listenFails(t, address, ListenOptions{}, "already in use")
	first.Close()
	first.Close()
}
