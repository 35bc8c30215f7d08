package server

import (
	"math"
	"net"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// sample is among how many connections the one is looked for that has been idle for the
// longest. To look at all would make each new one dearer the more there are.
const sample = 64

// mostConnections is how many there may be: that many, or for zero three quarters of the
// files that this process may have open. The others are for bodies, workers and logs.
func mostConnections(configured int) int {
	if configured > 0 {
		return configured
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur / 4 * 3)
}

// admits reports whether there is room for another connection. If need be it closes one
// that is idle.
func (r *roster) admits(most int) bool {
	for range 3 { // the one that is found may just begin a request
		victim, full := r.mostIdle(most)
		if !full || victim != nil && victim.giveWay() {
			return true
		}
		if victim == nil {
			return false
		}
	}
	return false
}

// mostIdle returns, if there are as many connections as there may be, the one of some that
// has been idle for the longest: nil if none is.
func (r *roster) mostIdle(most int) (longest peer, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.peers) < most {
		return nil, false
	}
	first, looked := int64(math.MaxInt64), 0
	for c := range r.peers { // begins somewhere else each time
		if since := c.idleSince(); since != 0 && since < first {
			longest, first = c, since
		}
		if looked++; looked == sample {
			break
		}
	}
	return longest, true
}

// turnAway answers a connection that there is no room for, without waiting for it.
func (r *roster) turnAway(c net.Conn, set *settings) {
	defer c.Close()
	r.mu.Lock()
	r.refused++
	tells, count := time.Since(r.told) >= tellEvery, len(r.peers)
	if tells {
		r.told = time.Now()
	}
	r.mu.Unlock()
	if tells {
		set.Log.Warn("connection refused: max_connections is reached, and none is idle",
			zap.Stringer("remote", c.RemoteAddr()), zap.Int("connections", count))
	}
	socket, ok := c.(syscall.Conn)
	if !ok {
		return // to write may mean to talk first, as in TLS
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	answer := refusal(errCrowded, set.ServerSoftware)
	_ = raw.Control(func(fd uintptr) {
		_, _ = retry(unix.SYS_WRITE, fd, answer) // its buffer is empty: this takes no time
		var request [readSize]byte
		_, _ = retry(unix.SYS_READ, fd, request[:]) // what is unread at the end would destroy the answer
	})
	set.access.refused(c.RemoteAddr(), statusOf(errCrowded), len(outcomeOf(errCrowded).text()))
}

// idles notes that the connection begins to wait for a request.
func (l *link) idles(now time.Time) { l.quiet.Store(now.UnixNano()) }

// idleSince is the time, in nanoseconds since 1970; zero if the connection may not be
// closed, as it carries a request or is certain to.
func (l *link) idleSince() int64 {
	if l.phase.Load() != waiting || l.isFresh() {
		return 0
	}
	return max(l.quiet.Load(), l.accepted.UnixNano())
}

// giveWay closes the connection, unless a request has begun to arrive.
func (l *link) giveWay() bool {
	if l.hasInput() || !l.phase.CompareAndSwap(waiting, closed) {
		return false
	}
	l.leave()
	_ = l.bare().Close() // without a farewell, which may take long
	return true
}
