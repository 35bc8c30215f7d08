package unixsocket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// By says which process has an address, to follow "in use"; pid 0 is nobody known.
func By(pid int) string {
	if pid == 0 {
		return ""
	}
	if pid == os.Getpid() {
		return " by this process"
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf(" by process %d", pid)
	}
	return fmt.Sprintf(" by process %d (%s)", pid, strings.TrimSpace(string(name)))
}

// Probe connects to a unix socket, for a second at most. If somebody listens, err
// is nil and pid is the process that began to, or 0 if the kernel does not tell.
func Probe(addr string) (pid int, err error) {
	c, err := (&net.Dialer{Timeout: time.Second}).Dial("unix", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if peer, err := Peer(c); err == nil {
		pid = int(peer.Pid)
	}
	return pid, nil
}

// Peer says who is at the other end of a connection over a unix socket: who
// connected, or who began to listen.
func Peer(c net.Conn) (*syscall.Ucred, error) {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("this is no socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return peer, errors.Join(err, failed)
}
