package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// relay offers the connection of a request that asks for an upgrade to the app, as
// psgix.io (PSGI::Extensions). The worker connects to a socket that is made for this
// request, before it calls the app, under a name that nobody can guess. With the first
// byte that the app writes there HTTP has ended: from then on bytes are passed on, in both
// directions, until both ends have closed. An app that answers before it has written
// declines the offer.
type relay struct {
	x        relayable
	began    func()             // called when the app has taken the connection
	end      context.CancelFunc // ends the call, when the connection is over
	name     string             // for the worker: the address, NUL first
	listener *os.File
	done     chan struct{} // closed when nothing is passed on any more
	sent     int64         // bytes to the client; to be read when done is closed

	mu      sync.Mutex
	worker  *net.UnixConn // nil until it has connected
	first   []byte        // what the app has written to take the connection
	passing bool          // run has begun to pass bytes on
	closed  bool          // the offer is over
}

// relayable is an exchange whose connection can be taken over.
type relayable interface {
	exchange
	// hijack ends HTTP on the connection, and returns it with what the client has sent
	// ahead. It may be called while another goroutine waits for the app, and nothing else
	// of the exchange is used after it.
	hijack() (ahead []byte, client rawClient)
}

// rawClient is a client that does not speak HTTP any more.
type rawClient interface {
	io.ReadWriter
	// linger closes the connection so that the client gets what it was sent last.
	linger()
}

// offer makes the relay for a request. began is called when the app takes the connection,
// and end when it is over.
func offer(x relayable, began func(), end context.CancelFunc) (*relay, error) {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	name := fmt.Sprintf("thralld-%x", secret)
	l, err := listenFor("@" + name)
	if err != nil {
		return nil, fmt.Errorf("offer the connection to the app: %w", err)
	}
	r := &relay{x: x, began: began, end: end, name: "\x00" + name, listener: l, done: make(chan struct{})}
	go r.run() // ends with the offer or with the connection
	return r, nil
}

// withdraw ends the offer as there is an answer, and reports whether the app had taken
// the connection before: then done tells when that is over. What the app has written
// before it answered is there by then. A nil relay was not taken.
func (r *relay) withdraw() (taken bool) {
	if r == nil {
		return false
	}
	r.mu.Lock()
	control(r.listener, r.tryAccept)
	if r.worker != nil {
		control(r.worker, r.tryRead)
	}
	taken = len(r.first) > 0
	r.closed = !taken
	if !r.passing { // run still waits for what has been found here, or what will not come
		_ = r.listener.SetDeadline(longAgo)
		if r.worker != nil {
			_ = r.worker.SetReadDeadline(longAgo)
		}
	}
	r.mu.Unlock()
	if !taken {
		<-r.done
	}
	return taken
}

// run waits for the worker and for its first bytes, and passes bytes on.
func (r *relay) run() {
	defer close(r.done)
	await(r.listener, func(fd uintptr) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.tryAccept(fd)
	})
	_ = r.listener.Close()
	r.mu.Lock()
	worker := r.worker
	r.mu.Unlock()
	if worker == nil {
		return
	}
	defer worker.Close()
	await(worker, func(fd uintptr) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.tryRead(fd)
	})
	r.mu.Lock()
	r.passing = len(r.first) > 0
	_ = worker.SetReadDeadline(time.Time{})
	r.mu.Unlock()
	if r.passing {
		r.pass(worker)
	}
}

// pass passes bytes on until the app has closed.
func (r *relay) pass(worker *net.UnixConn) {
	defer r.end()
	r.began()
	ahead, client := r.x.hijack()
	fromClient := make(chan struct{})
	go func() { // ends when the client has closed, or is closed
		defer close(fromClient)
		if _, err := worker.Write(ahead); err == nil {
			_, _ = io.Copy(worker, client)
		}
		_ = worker.CloseWrite() // the app reads the end, and may still have something to say
	}()
	r.toClient(client, worker)
	client.linger()
	_ = worker.Close()
	<-fromClient
}

// toClient passes on what the app writes, up to its end or the client's.
func (r *relay) toClient(client io.Writer, worker io.Reader) {
	piece := r.first
	for {
		n, err := client.Write(piece)
		if r.sent += int64(n); err != nil {
			return
		}
		n, err = worker.Read(r.first[:cap(r.first)])
		if piece = r.first[:n]; n == 0 && err != nil {
			return
		}
	}
}

// listenFor makes an abstract unix socket that listens. It is no net.Listener, as one
// cannot be asked without waiting whether somebody has connected.
func listenFor(name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// tryAccept accepts the worker, and nobody else. It returns false if it has not come yet.
func (r *relay) tryAccept(fd uintptr) bool {
	for r.worker == nil && !r.closed {
		peer, _, err := unix.Accept4(int(fd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		case err != nil:
			return !errors.Is(err, unix.EAGAIN)
		default:
			r.worker = ours(peer)
		}
	}
	return true
}

// ours makes a connection of a socket, if the other end is a process of this user.
func ours(fd int) *net.UnixConn {
	f := os.NewFile(uintptr(fd), "psgix.io")
	defer f.Close()
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || int(peer.Uid) != os.Getuid() {
		return nil
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil
	}
	worker, _ := c.(*net.UnixConn)
	return worker
}

// relayPiece is how much is passed on at a time, in bytes.
const relayPiece = 16 << 10

// tryRead reads the first bytes that the app writes. It returns false if it has written
// none yet.
func (r *relay) tryRead(fd uintptr) bool {
	for len(r.first) == 0 && !r.closed {
		room := make([]byte, relayPiece)
		n, err := unix.Read(int(fd), room)
		switch {
		case errors.Is(err, unix.EINTR):
		case n <= 0:
			return !errors.Is(err, unix.EAGAIN)
		default:
			r.first = room[:n]
		}
	}
	return true
}

// await waits until try has succeeded, or the socket is closed or past its deadline.
func await(c syscall.Conn, try func(fd uintptr) bool) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Read(try)
	}
}

// control has try look at a socket once, unless it is closed.
func control(c syscall.Conn, try func(fd uintptr) bool) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { try(fd) })
	}
}
