package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The keep-alive of TCP, tcp(7).
const (
	unanswered       = 9         // questions before a connection is gone: what Linux and Go have, too
	longestKeepAlive = 1<<15 - 1 // seconds; the kernel takes no more
)

// reusePort lets others bind the same port, as net.ListenConfig wants it to be set.
func reusePort(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, failed)
}

// keepAlive sets the keep-alive of the connections that a TCP listener accepts from
// now on: on Linux they have that of the listening socket. So it costs nothing for
// each of them.
func keepAlive(l net.Listener, every time.Duration) {
	onSocket(l, func(fd int) {
		if every <= 0 {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
			return
		}
		seconds := keepAliveSeconds(every)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, unanswered)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) // none fails with values in their range
	})
}

// keepAliveSeconds is a time as the kernel takes it.
func keepAliveSeconds(every time.Duration) int {
	return int(min((every+time.Second-1)/time.Second, longestKeepAlive))
}

// withBacklog gives a listener that has just been opened its backlog, or closes it.
// Package net has let it have the longest.
func withBacklog(l net.Listener, backlog int) (net.Listener, error) {
	if err := checkBacklog(backlog); err != nil {
		_ = l.Close()
		return nil, err
	}
	if backlog > 0 {
		setBacklog(l, backlog)
	}
	return l, nil
}

// checkBacklog refuses what the kernel would cut in silence.
func checkBacklog(backlog int) error {
	if most := longestBacklog(); backlog > most {
		return fmt.Errorf("a backlog of %d: this machine allows %d; raise net.core.somaxconn, or take less", backlog, most)
	}
	return nil
}

// setBacklog changes how many connections may wait; zero is as many as the machine
// allows. Those that wait already stay.
func setBacklog(l net.Listener, backlog int) {
	if backlog == 0 {
		backlog = longestBacklog()
	}
	onSocket(l, func(fd int) { _ = unix.Listen(fd, backlog) }) // a socket that listens already can do that
}

// longestBacklog is net.core.somaxconn; without /proc, what it has been since Linux 5.4.
func longestBacklog() int {
	text, _ := os.ReadFile("/proc/sys/net/core/somaxconn")
	if most, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		return most
	}
	return 4096
}

// onSocket calls f with the descriptor of a listener, if it has one.
func onSocket(l net.Listener, f func(fd int)) {
	if socket, ok := l.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // fails for one that is closed
		}
	}
}
