package supervisor

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// wire is a slot's queue of frames as the dispatcher sees it.
type wire interface {
	// send puts a frame into the worker's queue, and does not keep it. It does not
	// block: a queue that is full, which the dispatcher's budgets prevent, is
	// errQueueFull.
	send(frame []byte) error
	// takeBack removes what the worker has not read from its queue and returns
	// the ids of the requests among it, oldest first. Other frames go back into
	// the queue, unless the worker is dead: they would reach the next one.
	takeBack(dead bool) []uint32
}

// errQueueFull says that a process leaves what it is sent: nobody may wait for it.
var errQueueFull = errors.New("its queue is full, as it does not read what it is sent")

// socketWire is a wire made of a SEQPACKET socket pair, of which this process
// keeps both ends: the worker inherits its end through the template.
type socketWire struct {
	ours    *os.File        // non-blocking
	workers *os.File        // blocking, as the worker shares its description
	raw     syscall.RawConn // ours

	mu     sync.Mutex // held while fd is used
	fd     int        // ours
	closed bool       // fd may be another file's by now
}

func newSocketWire() (*socketWire, error) {
	pair, err := socketPair()
	if err != nil {
		return nil, err
	}
	w := &socketWire{ours: pair[0], workers: pair[1]}
	if w.raw, err = w.ours.SyscallConn(); err == nil {
		err = w.raw.Control(func(fd uintptr) { w.fd = int(fd) })
	}
	return w, err
}

// socketPair returns two ends of a SEQPACKET pair, the first non-blocking.
func socketPair() ([2]*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return [2]*os.File{}, os.NewSyscallError("socketpair", err)
	}
	err = unix.SetNonblock(fds[0], true)
	ends := [2]*os.File{os.NewFile(uintptr(fds[0]), "slot"), os.NewFile(uintptr(fds[1]), "slot, worker's end")}
	return ends, os.NewSyscallError("fcntl", err)
}

func (w *socketWire) send(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	switch errno := sendNow(w.fd, frame); errno {
	case 0:
		return nil
	case unix.EAGAIN:
		return errQueueFull
	default:
		return errno
	}
}

// takeBack reads at the worker's end, also when the worker has died: the kernel
// gives each frame either to the worker or to us, never to both.
func (w *socketWire) takeBack(dead bool) []uint32 {
	var ids []uint32
	var others [][]byte
	buf := make([]byte, 4096) // requests are cut short: only their id matters
	for {
		n, errno := receiveNow(int(w.workers.Fd()), buf)
		if errno != 0 || n == 0 {
			break
		}
		frame, err := psgi.ParseFrame(buf[:n])
		switch {
		case err != nil:
		case frame.Type == psgi.TypeRequest:
			ids = append(ids, frame.ID)
		case !dead:
			others = append(others, append([]byte(nil), buf[:n]...))
		}
	}
	for _, frame := range others {
		_ = w.send(frame) // the queue is empty, so it fits; and who is gone needs none
	}
	return ids
}

// receive fills b as often as frames come, and hands it to quick, until quick has not
// handled all of them or there is an error. After wake it is os.ErrDeadlineExceeded,
// after hangUp os.ErrClosed.
//
// All of that is one read in the eyes of the runtime, which notes what arrives during
// it. So when a batch was not full, there is no need to look whether more is there. On
// the other hand, close has to wait for quick, which therefore must wait for nobody.
func (w *socketWire) receive(b *batch, quick func() (all bool)) error {
	var failed unix.Errno
	err := w.raw.Read(func(fd uintptr) (done bool) {
		for {
			if failed = b.fill(int(fd)); failed != 0 {
				return failed != unix.EAGAIN
			}
			if !quick() {
				return true
			}
			if !b.full() {
				return false
			}
		}
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case err == nil && failed != 0:
		return os.NewSyscallError("recvmmsg", failed)
	case err == nil:
		return nil
	}
	return os.ErrClosed // that is all that is left to the runtime
}

// receiveLeft fills b with what is there, and reports whether that is anything.
func (w *socketWire) receiveLeft(b *batch) bool {
	err := w.raw.Control(func(fd uintptr) { _ = b.fill(int(fd)) })
	return err == nil && b.count > 0
}

// wake makes receive return when nothing more is there.
func (w *socketWire) wake() error { return w.ours.SetReadDeadline(time.Unix(1, 0)) }

// rest undoes wake.
func (w *socketWire) rest() error { return w.ours.SetReadDeadline(time.Time{}) }

// hangUp closes our end; a pending receive returns os.ErrClosed.
func (w *socketWire) hangUp() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	_ = w.ours.Close()
}

// close releases both ends.
func (w *socketWire) close() {
	w.hangUp()
	_ = w.workers.Close()
}
