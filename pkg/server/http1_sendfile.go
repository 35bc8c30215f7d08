package server

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// sendfileSize is how much one call hands to the kernel at most, in bytes: a socket takes
// no more at a time, and a connection that is read quickly must not keep a processor.
const sendfileSize = 2 << 20

// errNoSendfile means that the kernel cannot send from this file to this socket.
var errNoSendfile = errors.New("sendfile is not possible")

// sendFile sends a file by sendfile(2), where there is a socket and the kernel can.
func (x *http1Exchange) sendFile(f *psgi.File) (sent int64, err error) {
	if err := x.flush(); err != nil {
		return 0, err
	}
	if x.c.socket.raw != nil {
		file, failed := f.SyscallConn()
		if failed != nil {
			return 0, failed
		}
		failed = file.Control(func(fd uintptr) { sent, err = x.sendFrom(int(fd), f.Offset, f.Length) })
		if failed != nil {
			return 0, failed
		}
		if !errors.Is(err, errNoSendfile) {
			return sent, err
		}
	}
	return x.copyFile(f)
}

// sendFrom sends length bytes of an open file from offset. What the socket takes at once is
// one call.
func (x *http1Exchange) sendFrom(file int, offset, length int64) (sent int64, err error) {
	n := 0
	try := func(fd uintptr) bool {
		for {
			n, err = unix.Sendfile(int(fd), file, &offset, int(min(length-sent, sendfileSize)))
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	}
	for sent < length {
		began := x.patiently()
		late := x.c.socket.raw.Write(try)
		if late != nil || err != nil {
			n = 0
		}
		sent += int64(n)
		again := x.pace.again(&x.c.link, time.Since(began), int64(n), late)
		switch {
		case late != nil && again:
		case late != nil:
			return sent, late
		case sent == 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)):
			return 0, errNoSendfile
		case err != nil:
			return sent, err
		case n == 0:
			return sent, io.ErrUnexpectedEOF
		}
	}
	return sent, nil
}

// copyFile sends a file through memory.
func (x *http1Exchange) copyFile(f *psgi.File) (sent int64, err error) {
	from := io.NewSectionReader(f.File, f.Offset, f.Length)
	for sent < f.Length {
		began := x.patiently()
		n, err := io.CopyN(x.c.Conn, from, min(f.Length-sent, window))
		sent += n
		switch again := x.pace.again(&x.c.link, time.Since(began), n, err); {
		case err == nil:
		case errors.Is(err, io.EOF):
			return sent, io.ErrUnexpectedEOF
		case !again:
			return sent, err
		default: // more may have been read than was sent
			_, _ = from.Seek(sent, io.SeekStart)
		}
	}
	return sent, nil
}
