package unixsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
)

// Longest is how many bytes of path a unix socket's address has room for, without
// the NUL at its end.
const Longest = len(syscall.RawSockaddrUnix{}.Path) - 1

// InUse is the error of [Listen] when somebody listens there.
type InUse struct {
	PID int // the process that began to listen, or 0 if the kernel does not tell
}

func (e InUse) Error() string { return "this socket is already in use" + By(e.PID) }

// Listen opens a stream socket at a path. From the first moment nobody can connect
// whom access does not allow to. The errors leave it to the caller to name the path.
func Listen(path string, access Access) (*Listener, error) {
	if len(path) > Longest {
		return nil, fmt.Errorf("the path has %d bytes, and the kernel takes %d", len(path), Longest)
	}
	if err := clearWay(path); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	if mode := access.atFirst(); mode != 0 {
		config.Control = func(_, _ string, raw syscall.RawConn) error { return setMode(raw, mode) }
	}
	opened, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, Reason(err)
	}
	l := &Listener{UnixListener: opened.(*net.UnixListener), path: path}
	l.SetUnlinkOnClose(false)
	if l.file, err = os.Lstat(path); err == nil {
		_, err = l.SetAccess(access)
	}
	if err != nil {
		_ = l.Close()
		return nil, Reason(err)
	}
	return l, nil
}

// setMode sets the mode that the file of a socket will have when it is bound:
// Linux gives it that of the socket itself, less the umask.
func setMode(raw syscall.RawConn, mode fs.FileMode) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(mode.Perm())) })
	return errors.Join(err, failed)
}

// clearWay removes a socket that nobody listens on.
func clearWay(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return Reason(err)
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is not a socket is in the way")
	}
	owner, err := Probe(path)
	switch {
	case err == nil:
		return InUse{owner}
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("a socket is in the way, and whether it is in use cannot be told: %w", Reason(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a stale socket: %w", Reason(err))
	}
	return nil
}

// A Listener removes its socket's file when it is closed, if it still is its own.
type Listener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
	once sync.Once
	err  error
}

// Close stops listening, and removes the file. Only the first call does something.
func (l *Listener) Close() error {
	l.once.Do(func() {
		// The file goes first: as long as the socket listens, nobody else takes the path.
		if l.InPlace() {
			_ = os.Remove(l.path)
		}
		l.err = l.UnixListener.Close()
	})
	return l.err
}

// InPlace reports whether the socket's file is still the one that it made.
func (l *Listener) InPlace() bool {
	now, err := os.Lstat(l.path)
	return err == nil && l.file != nil && os.SameFile(now, l.file)
}

// Reason returns what the kernel said, without the names of Go's functions and the
// address. An error that is not the kernel's is returned as it is.
func Reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
