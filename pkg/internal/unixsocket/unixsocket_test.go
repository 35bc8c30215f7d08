package unixsocket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestModeIsThereFromTheFirstMoment(t *testing.T) {
	before := syscall.Umask(0) // the most open one
	defer syscall.Umask(before)

	// As net does it, and without the Chmod of Listen.
	path := filepath.Join(t.TempDir(), "socket")
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setMode(raw, 0o600) }}
	l, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestModeIsWhatWasAskedFor(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o666} { // the second is more than the umask allows
		path := filepath.Join(t.TempDir(), "socket")
		l, err := Listen(path, Access{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("got %v, %v, want %v", info.Mode(), err, mode)
		}
		l.Close()
	}
}

func TestOwnerOfALiveSocketIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Listen(path, Access{})
	var inUse InUse
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || !strings.HasSuffix(err.Error(), "in use by this process") {
		t.Errorf("got %v", err)
	}
}

func TestPeerIsToldOfAConnectionOnly(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	if peer, err := Peer(here); err == nil {
		t.Errorf("got %v", peer)
	}
}

func TestOwnerIsNamed(t *testing.T) {
	if got := By(0); got != "" {
		t.Errorf("nobody is %q", got)
	}
	if got := By(os.Getppid()); !strings.HasPrefix(got, fmt.Sprintf(" by process %d (", os.Getppid())) {
		t.Errorf("the parent is %q", got)
	}
}
