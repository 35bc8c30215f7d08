package server

import (
	"errors"
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is what a client has at the start of a transfer, when it has not yet shown how
// fast it is: a body's first bytes may take a while on a bad line.
const grace = 30 * time.Second

// pace is how long a client may still be waited for in one transfer, the body of a
// request or of a response. Only waiting for it takes from that, and each byte that it
// sends or reads adds the time that a byte may take, up to Options.Timeout. So a client
// that falls silent has the whole Timeout, and one that keeps sending a byte now and then
// has not for ever. The zero pace waits for ever.
type pace struct {
	timeout time.Duration // Options.Timeout; zero is forever
	rate    int64         // Options.MinRate; zero is any
	left    time.Duration // what there is still to wait; without meaning where there is no limit

	// Of writes. The kernel takes what the client will read later, and room in its buffers
	// comes in large pieces: how much has arrived tells more.
	unread int64 // bytes in the kernel when that was last looked at; negative: not yet
	ahead  int64 // of these, bytes that have been counted when they arrived
}

func newPace(set *settings) pace {
	p := pace{timeout: set.Timeout, rate: set.MinRate, left: set.Timeout, unread: -1}
	if p.rate > 0 && (p.timeout <= 0 || p.timeout > grace) {
		p.left = grace
	}
	return p
}

// strictly is a pace that no byte prolongs.
func strictly(patience time.Duration) pace {
	return pace{timeout: patience, rate: math.MaxInt64, left: patience, unread: -1}
}

func (p *pace) endless() bool { return p.timeout <= 0 && p.rate <= 0 }

// wait returns how long the client may be waited for now; zero is forever.
func (p *pace) wait() time.Duration {
	if p.endless() {
		return 0
	}
	return max(p.left, 1)
}

// spent accounts for a wait in which n bytes have come through.
func (p *pace) spent(waited time.Duration, n int64) {
	if p.endless() {
		return
	}
	p.left = max(p.left-waited, 0)
	switch {
	case n <= 0:
		return
	case p.rate > 0:
		p.left += time.Duration(min(n, 1<<30)) * time.Second / time.Duration(p.rate) // more would overflow
	default:
		p.left = p.timeout
	}
	if p.timeout > 0 {
		p.left = min(p.left, p.timeout)
	}
}

// late is the error for a client that has been waited for in vain: it has sent nothing
// for the whole of Timeout, or too little.
func (p *pace) late(waited time.Duration) error {
	if p.timeout > 0 && waited >= p.timeout {
		return errSilence
	}
	return errTooSlow
}

// looks is how often, in the whole of the patience with a client, a write is interrupted to see
// how much it has read.
const looks = 8

// slice is how long a write may take before again is asked. Only a bare socket can go on
// with a write that was broken off.
func (p *pace) slice(l *link) time.Duration {
	whole := p.wait()
	if whole == 0 || p.rate <= 0 || !l.isSocket() {
		return whole
	}
	most := grace
	if p.timeout > 0 {
		most = p.timeout
	}
	return min(whole, most/looks)
}

// again accounts for a write that has taken n bytes and that long, and reports whether to
// go on with the rest, as err is no more than the end of a slice.
func (p *pace) again(l *link, waited time.Duration, n int64, err error) bool {
	counted := min(n, p.ahead)
	p.ahead -= counted
	p.spent(waited, n-counted)
	if !errors.Is(err, os.ErrDeadlineExceeded) || p.endless() {
		return false
	}
	if unread, ok := l.undelivered(); ok && p.rate > 0 {
		if arrived := p.unread - unread; n == 0 && p.unread >= 0 && arrived > 0 {
			p.ahead += arrived
			p.spent(0, arrived)
		}
		p.unread = unread
	}
	return p.left > 0
}

func (l *link) isSocket() bool {
	_, ok := l.Conn.(syscall.Conn)
	return ok
}

// undelivered returns how many bytes the kernel holds that have not arrived at the client.
func (l *link) undelivered() (n int64, ok bool) {
	socket, is := l.Conn.(syscall.Conn)
	if !is {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	failed := raw.Control(func(fd uintptr) {
		var held int
		held, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		n = int64(held)
	})
	return n, failed == nil && err == nil
}
