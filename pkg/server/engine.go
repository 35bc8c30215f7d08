package server

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// engine speaks HTTP/1 with the clients of any number of listeners, and hands what
// they ask to the server as exchanges.
type engine interface {
	// serve accepts connections from l until it fails or is closed, and closes it.
	serve(l net.Listener) error
	// count returns how many connections there are, and how many were refused.
	count() (connections int, refused int64)
	// shutdown stops accepting and ends all connections, by force when ctx is done.
	shutdown(ctx context.Context) error
}

// peer is a connection as the roster of an engine sees it.
type peer interface {
	// closeWaiting has the connection close if it carries no request, not even one
	// that the kernel has and the engine has not, and if none is certain to come: a
	// client that has only just connected is about to send one, and would not know
	// what became of it.
	closeWaiting()
	// closeHeadless closes the connection if it has no more than a part of a head.
	closeHeadless()
	// cut closes the connection at once.
	cut()
	// idleSince tells since when the connection has waited for a request; zero: it is
	// not to be closed.
	idleSince() int64
	// giveWay closes the connection if it still waits for a request.
	giveWay() bool
}

// roster holds the listeners and the connections of an engine, and ends them.
type roster struct {
	goroutines sync.WaitGroup // one for each listener and each connection
	closing    atomic.Bool    // set under mu
	stopping   chan struct{}  // closed when closing is set

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	peers     map[peer]struct{}
	refused   int64     // connections that there was no room for
	told      time.Time // when that was logged last
}

// open notes a listener; false if it comes too late, and is closed.
func (r *roster) open(l net.Listener) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing.Load() {
		_ = l.Close()
		return false
	}
	if r.listeners == nil {
		r.listeners = make(map[net.Listener]struct{})
	}
	r.listeners[l] = struct{}{}
	r.goroutines.Add(1)
	return true
}

// close takes a listener off that does not accept any more.
func (r *roster) close(l net.Listener) {
	r.mu.Lock()
	delete(r.listeners, l)
	r.mu.Unlock()
	r.goroutines.Done()
}

// enter notes a connection.
func (r *roster) enter(c peer) {
	r.mu.Lock()
	if r.peers == nil {
		r.peers = make(map[peer]struct{})
	}
	r.peers[c] = struct{}{}
	r.mu.Unlock()
	if r.closing.Load() {
		time.AfterFunc(headGrace, c.closeHeadless)
	}
}

// leave takes a connection off that is closed.
func (r *roster) leave(c peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, c)
}

// eachPeer calls f for the connections that there are, which it may close.
func (r *roster) eachPeer(f func(peer)) {
	r.mu.Lock()
	peers := slices.Collect(maps.Keys(r.peers))
	r.mu.Unlock()
	for _, c := range peers {
		f(c)
	}
}

// shutdown closes the listeners and the connections that carry no request, gives a head
// that has begun to arrive or is certain to come a moment, and waits for the rest. announce
// tells those clients that can be told at any time. When ctx is done it calls cut, which
// has to end what is left, and returns the error of ctx.
func (r *roster) shutdown(ctx context.Context, announce, cut func()) error {
	r.stopAccepting()
	announce()
	r.eachPeer(peer.closeWaiting)
	ended := make(chan struct{})
	go func() { // ends when all connections have
		r.goroutines.Wait()
		close(ended)
	}()
	heads := time.NewTimer(headGrace)
	defer heads.Stop()
	var err error
	for waits := true; waits; {
		select {
		case <-ended:
			waits = false
		case <-heads.C:
			r.eachPeer(peer.closeHeadless)
		case <-ctx.Done():
			waits, err = false, ctx.Err()
		}
	}
	cut()
	<-ended
	return err
}

func (r *roster) stopAccepting() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closing.Swap(true) {
		close(r.stopping)
	}
	for l := range r.listeners {
		_ = l.Close()
	}
}

// The phases of a connection. Between the first two it goes back and forth.
const (
	waiting int32 = iota // for the first byte of a request
	engaged              // from that byte to the end of the response
	closed
)

// link is what the connections of all engines have in common: the socket, and how
// far it may be closed.
type link struct {
	net.Conn
	secured  *secured         // Conn, if it is under TLS; nil if not
	settings func() *settings // those in force
	leave    func()           // called once, when it is closed
	accepted time.Time
	served   atomic.Int32 // requests handed to the server
	open     atomic.Int32 // requests whose head has been read and which are not yet answered
	phase    atomic.Int32 // waiting, engaged or closed
	quiet    atomic.Int64 // when it last began to wait, in nanoseconds since 1970; zero: it has not answered yet

	broken     atomic.Bool // what was sent last is not whole, and must not look so
	introduces bool        // a proxy has yet to say whom it speaks for
	told       *endpoints  // what it said; nil: the connection is the client's own
}

// ends says between whom the connection is.
func (l *link) ends() *endpoints {
	if l.told != nil {
		return l.told
	}
	return newEndpoints(l.LocalAddr(), l.RemoteAddr())
}

// client is who is at the other end, as far as the connection knows.
func (l *link) client() net.Addr {
	if l.told != nil {
		return l.told.remote
	}
	return l.RemoteAddr()
}

// bare returns the connection that is under TLS, or else the connection itself.
func (l *link) bare() net.Conn {
	if l.secured != nil {
		return l.secured.wire.Conn
	}
	return l.Conn
}

// engage notes that a request has begun. It returns false if the connection was
// closed before.
func (l *link) engage() bool {
	return l.phase.CompareAndSwap(waiting, engaged) || l.phase.Load() == engaged
}

// longAgo is a deadline that wakes whoever reads.
var longAgo = time.Unix(1, 0)

// closeWaiting wakes who reads from the connection, which alone knows whether a request
// has begun to arrive: what has left the kernel may not have come any further.
func (l *link) closeWaiting() {
	if l.phase.Load() == waiting {
		_ = l.SetReadDeadline(longAgo)
	}
}

// isFresh reports whether the client has had no time yet to send its first request.
func (l *link) isFresh() bool {
	return l.served.Load() == 0 && time.Since(l.accepted) < headGrace
}

func (l *link) closeHeadless() {
	if l.open.Load() == 0 {
		l.cut()
	}
}

// cut closes the connection at once, without a farewell that a client could hold up.
func (l *link) cut() {
	if l.phase.Swap(closed) != closed {
		l.leave()
	}
	_ = l.bare().Close()
}

// hasInput reports whether the kernel has bytes of the client's, or TLS has a part of a
// record.
func (l *link) hasInput() (has bool) {
	if l.secured != nil && l.secured.wire.midRecord() {
		return true
	}
	socket, ok := l.bare().(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		var first [1]byte
		n, _, err := unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		has = err == nil && n > 0
	})
	return has
}

// CloseWrite tells the client that nothing more follows, and still reads.
func (l *link) CloseWrite() error {
	if l.secured != nil {
		if err := l.secured.CloseWrite(); err != nil {
			return err
		}
	}
	if half, ok := l.bare().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// reset makes the coming Close tell the client that something is missing, where
// the end of the connection alone would look like the end of the response.
func (l *link) reset() {
	l.broken.Store(true)
	if tcp, ok := l.bare().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// Close closes the connection; a second call does nothing. Under TLS it says farewell
// first (close_notify), unless the response is broken: without one a client can tell that
// it has not been sent everything (RFC 8446, 6.1). This may take a few seconds with a
// client that reads nothing.
func (l *link) Close() error {
	if l.phase.Swap(closed) == closed {
		return nil
	}
	if l.secured != nil && !l.broken.Load() {
		_ = l.secured.CloseWrite()
	}
	l.leave()
	return l.bare().Close()
}

// after returns the time when d has passed; zero is forever.
func after(d time.Duration) time.Time { return since(time.Now(), d) }

// since returns the time when d has passed since then; zero is forever.
func since(then time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return then.Add(d)
}
