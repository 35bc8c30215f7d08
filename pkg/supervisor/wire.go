package supervisor

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// wire is a slot's queue of frames as the dispatcher sees it.
type wire interface {
	// send puts a frame into the worker's queue. It does not block: a queue that is
	// full, which the dispatcher's budgets prevent, is errQueueFull.
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
}

func newSocketWire() (*socketWire, error) {
	pair, err := socketPair()
	if err != nil {
		return nil, err
	}
	raw, err := pair[0].SyscallConn()
	if err != nil {
		return nil, err
	}
	return &socketWire{ours: pair[0], workers: pair[1], raw: raw}, nil
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
	var failed error
	err := w.raw.Write(func(fd uintptr) (done bool) {
		for {
			if failed = unix.Send(int(fd), frame, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); failed != unix.EINTR {
				return true
			}
		}
	})
	switch {
	case err != nil:
		return err
	case errors.Is(failed, unix.EAGAIN):
		return errQueueFull
	}
	return failed
}

// takeBack reads at the worker's end, also when the worker has died: the kernel
// gives each frame either to the worker or to us, never to both.
func (w *socketWire) takeBack(dead bool) []uint32 {
	var ids []uint32
	var others [][]byte
	buf := make([]byte, 4096) // requests are cut short: only their id matters
	for {
		n, _, err := unix.Recvfrom(int(w.workers.Fd()), buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
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

// read blocks until the worker has sent a frame. After wake it returns what is
// there already, and then os.ErrDeadlineExceeded.
func (w *socketWire) read(buf []byte) (int, error) {
	n, err := w.ours.Read(buf)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	rawErr := w.raw.Control(func(fd uintptr) {
		for {
			if n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case errors.Is(err, unix.EAGAIN):
		return 0, os.ErrDeadlineExceeded
	}
	return n, err
}

// wake makes read return when nothing more is there.
func (w *socketWire) wake() error { return w.ours.SetReadDeadline(time.Unix(1, 0)) }

// rest undoes wake.
func (w *socketWire) rest() error { return w.ours.SetReadDeadline(time.Time{}) }

// close releases the descriptors; a pending read returns os.ErrClosed.
func (w *socketWire) close() {
	_ = w.ours.Close()
	_ = w.workers.Close()
}
