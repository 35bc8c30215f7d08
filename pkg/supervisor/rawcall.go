package supervisor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls that do not wait, and that are made for every request or nearly so. They go
// past the runtime: to be told of a call costs it more than most of these take, and it wakes
// the thread that looks after calls which last, to find that this one is over.

// readNow is read(2) on a descriptor that does not block.
func readNow(fd int, p []byte) (int, unix.Errno) {
	return callNow(unix.SYS_READ, fd, p, 0)
}

// receiveNow is recv(2) with MSG_DONTWAIT, on one that may.
func receiveNow(fd int, p []byte) (int, unix.Errno) {
	return callNow(unix.SYS_RECVFROM, fd, p, unix.MSG_DONTWAIT)
}

// sendNow is send(2) of a whole message. It does not wait, and a reader that is gone is an
// error and no signal.
func sendNow(fd int, p []byte) unix.Errno {
	_, errno := callNow(unix.SYS_SENDTO, fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return errno
}

func callNow(call uintptr, fd int, p []byte, flags uintptr) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno // n is -1
		}
	}
}
