package supervisor

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// batchSize is how many frames are taken in at a time: as many as a worker is sent
// ahead, so that one that is not full has, nearly always, emptied the socket.
const batchSize = maxAhead

// batch is room for several frames, which one system call fills. Each has room for the
// largest frame, and as the memory is mapped, what no frame has touched is not there.
// A socket holds little more than one of the largest, so that not many grow.
type batch struct {
	memory   []byte
	vectors  [batchSize]unix.Iovec
	messages [batchSize]message
	count    int // frames that have come
	next     int // the first one that has not been handled
}

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

func newBatch() (*batch, error) {
	page := os.Getpagesize()
	room := (psgi.MaxFrame + page) / page * page // at least a byte more than a frame may have
	memory, err := unix.Mmap(-1, 0, batchSize*room, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map memory for frames: %w", err)
	}
	b := &batch{memory: memory}
	for i := range b.messages {
		b.vectors[i].Base = &memory[i*room]
		b.vectors[i].SetLen(room)
		b.messages[i].header.Iov = &b.vectors[i]
		b.messages[i].header.SetIovlen(1)
	}
	return b, nil
}

// release gives the memory back. Nothing that frame returned may be used any more.
func (b *batch) release() { _ = unix.Munmap(b.memory) }

// fill takes in what is there, without waiting; unix.EAGAIN if that is nothing. It is
// recvmmsg(2), for which golang.org/x/sys/unix has no name. As the call does not
// block, Go's scheduler need not hear of it.
func (b *batch) fill(fd int) unix.Errno {
	b.count, b.next = 0, 0
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages)),
			batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.count = int(n)
			return 0
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// full reports whether there may be more than has been taken in: the kernel stops
// before its array ends only where the queue does.
func (b *batch) full() bool { return b.count == batchSize }

// left is how many frames have not been handled.
func (b *batch) left() int { return b.count - b.next }

// bytes is a frame that has come. It is overwritten by the next fill.
func (b *batch) bytes(i int) []byte {
	return unsafe.Slice(b.vectors[i].Base, b.messages[i].length)
}
