package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// byNumber is what stands for a host in the address of a descriptor.
const byNumber = "fd"

// adopted is a listener that another process has opened. What it sets on the socket
// would count for that process, too, so it is set on each connection; and package net
// insists on a keep-alive of its own for these.
type adopted struct {
	net.Listener
	keepAlive atomic.Int64 // as in ListenOptions, for connections from now on
}

func (a *adopted) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		if every := time.Duration(a.keepAlive.Load()); every > 0 {
			every = time.Duration(keepAliveSeconds(every)) * time.Second
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
				Enable: true, Idle: every, Interval: every, Count: unanswered,
			})
		} else {
			_ = tcp.SetKeepAlive(false)
		}
	}
	return c, err
}

// inherited is a listening socket that the process was started with. It has a copy of
// its descriptor: the original keeps the number taken, so that it can be given back.
type inherited struct {
	*adopted
	number int
	once   sync.Once
	err    error
}

// listenInherited adopts the listening socket with that descriptor number. The
// processes that thralld starts do not get it.
func listenInherited(text string, opts ListenOptions) (net.Listener, error) {
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no number of a descriptor", text)
	}
	fd := int(number)
	if err := checkInherited(fd); err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	l, err := listenerOf(fd)
	if err != nil {
		leave(fd)
		return nil, cause(err)
	}
	a := &adopted{Listener: l}
	a.keepAlive.Store(int64(opts.KeepAlive))
	return &inherited{adopted: a, number: fd}, nil
}

// checkInherited wants a stream socket that listens and that no other listener of
// this process has: all that Go opens is closed on exec, and so is what was adopted.
func checkInherited(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		return fmt.Errorf("there is no descriptor %d; whoever starts thralld has to hand it over", fd)
	}
	switch {
	case !accepts(fd):
		return fmt.Errorf("descriptor %d is no listening socket", fd)
	case flags&unix.FD_CLOEXEC != 0:
		return fmt.Errorf("descriptor %d was not handed over to thralld, or %w", fd, errInUse)
	}
	return nil
}

// accepts reports whether a descriptor is a stream socket that listens.
func accepts(fd int) bool {
	kind, err1 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	listens, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err1 == nil && err2 == nil && kind == unix.SOCK_STREAM && listens != 0
}

// listenerOf returns a listener on a copy of fd. It leaves a unix socket's file
// where it is, as it is not ours.
func listenerOf(fd int) (net.Listener, error) {
	number, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(number), "listener")
	defer f.Close()
	return net.FileListener(f)
}

// Close stops listening: for good, if no other process has the socket.
func (l *inherited) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.Listener.Close(), unix.Close(l.number)) })
	return l.err
}

// giveBack closes all but the descriptor that was handed over, so that it can be
// adopted again.
func (l *inherited) giveBack() {
	l.once.Do(func() {
		l.err = l.Listener.Close()
		leave(l.number)
	})
}

// leave makes a descriptor as it was handed over.
func leave(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0) }
