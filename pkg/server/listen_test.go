package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listenWant opens a listener that has to open, for the time of the test.
func listenWant(t *testing.T, addr string, opts ListenOptions) net.Listener {
	t.Helper()
	l, err := Listen(addr, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// listenFails wants an error that names the address and says the rest.
func listenFails(t *testing.T, addr string, opts ListenOptions, says ...string) {
	t.Helper()
	l, err := Listen(addr, opts)
	if err == nil {
		l.Close()
		t.Fatalf("%q was opened", addr)
	}
	for _, want := range append(says, addr) {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func reachable(l net.Listener, network, addr string) bool {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := net.Dial(network, net.JoinHostPort(addr, port))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestPortAloneListensOnBothFamilies(t *testing.T) {
	l := listenWant(t, ":0", ListenOptions{IPv6: true})
	if !reachable(l, "tcp4", "127.0.0.1") {
		t.Error("not on IPv4")
	}
	if hasIPv6() && !reachable(l, "tcp6", "::1") {
		t.Error("not on IPv6")
	}
}

func TestIPv6TurnedOffIsOff(t *testing.T) {
	l := listenWant(t, ":0", ListenOptions{})
	if !reachable(l, "tcp4", "127.0.0.1") {
		t.Error("not on IPv4")
	}
	if reachable(l, "tcp6", "::1") {
		t.Error("on IPv6")
	}
	listenFails(t, "[::1]:0", ListenOptions{}, "ipv6 is off")
}

func TestIPv6AddressIsListenedOn(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no IPv6")
	}
	l := listenWant(t, "[::1]:0", ListenOptions{IPv6: true})
	if !reachable(l, "tcp6", "::1") || reachable(l, "tcp4", "127.0.0.1") {
		t.Error("not on ::1 alone")
	}
}

func TestWildcardOfOneFamilyLeavesTheOtherAlone(t *testing.T) {
	four := listenWant(t, "0.0.0.0:0", ListenOptions{IPv6: true})
	if !reachable(four, "tcp4", "127.0.0.1") || reachable(four, "tcp6", "::1") {
		t.Error("0.0.0.0 is not IPv4 alone")
	}
	if !hasIPv6() {
		return
	}
	_, port, _ := net.SplitHostPort(four.Addr().String())
	six := listenWant(t, "[::]:"+port, ListenOptions{IPv6: true})
	four.Close()
	if !reachable(six, "tcp6", "::1") || reachable(six, "tcp4", "127.0.0.1") {
		t.Error("[::] is not IPv6 alone")
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func TestPortInUseIsRefusedWithItsOwner(t *testing.T) {
	l := listenWant(t, "127.0.0.1:0", ListenOptions{})
	listenFails(t, l.Addr().String(), ListenOptions{}, "already in use", "this process")
}

func TestAddressesThatAreNoneAreRefused(t *testing.T) {
	for addr, why := range map[string]string{
		"":                             "empty",
		"127.0.0.1:http":               "want a number",
		"127.0.0.1:70000":              "want a number",
		":":                            "want a number",
		"192.0.2.1:0":                  "no address of this machine",
		"fd:x":                         "no number of a descriptor",
		"fd:999":                       "there is no descriptor 999",
		"/nonexistent/dir/socket":      "no such file",
		"/" + strings.Repeat("x", 200): "the kernel takes 107",
	} {
		t.Run(fmt.Sprintf("%.20s", addr), func(t *testing.T) { listenFails(t, addr, ListenOptions{IPv6: true}, why) })
	}
}

func TestUnixSocketGoesWithItsListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l := listenWant(t, path, ListenOptions{})
	if _, err := net.Dial("unix", path); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}

func TestStaleUnixSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	listenWant(t, path, ListenOptions{})
}

func TestLiveUnixSocketIsRefusedWithItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listenWant(t, path, ListenOptions{})
	listenFails(t, path, ListenOptions{}, "already in use", "this process")
	if _, err := net.Dial("unix", path); err != nil {
		t.Errorf("it is not live any more: %v", err)
	}
}

func TestOtherFileInPlaceOfASocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	listenFails(t, path, ListenOptions{}, "not a socket")
	if data, _ := os.ReadFile(path); string(data) != "data" {
		t.Errorf("it holds %q now", data)
	}
}

func TestSocketOfASuccessorIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	first := listenWant(t, path, ListenOptions{})
	if err := os.Rename(path, path+".old"); err != nil { // so that its inode is not used again
		t.Fatal(err)
	}
	listenWant(t, path, ListenOptions{})
	first.Close()
	if _, err := net.Dial("unix", path); err != nil {
		t.Errorf("the successor is gone: %v", err)
	}
}

func TestAbstractSocketIsListenedOn(t *testing.T) {
	name := fmt.Sprintf("thralld-test-%d", os.Getpid())
	l := listenWant(t, "\x00"+name, ListenOptions{})
	if got := l.Addr().String(); got != "@"+name {
		t.Errorf("address %q", got)
	}
	listenFails(t, "@"+name, ListenOptions{}, "already in use", "this process")
}

func TestOwnerOfNoPortIsNobody(t *testing.T) {
	if got := portOwner(0); got != 0 {
		t.Errorf("process %d has port 0", got)
	}
}
