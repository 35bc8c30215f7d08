package server

import (
	"io"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readSize is the buffer of a connection that a request arrives on, in bytes.
const readSize = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// socket is what a connection reads and writes by, past package net: what does not wait
// needs no help of the runtime, and to tell it of each call costs more than that it is
// told. Its scheduler, for one, takes a call that a busy machine makes last for one that
// waits, and starts a thread to run in its stead.
type socket struct {
	raw syscall.RawConn // nil where there is none, as in tests

	tryRead, tryWrite func(fd uintptr) bool // methods of the connection
	got               int                   // bytes that tryRead has read
	unsent            []byte                // what tryWrite has to write
	waited            bool                  // the last write had to wait, as far as is known
	readErr, writeErr error
}

// prepare finds the socket under the connection.
func (c *http1Conn) prepare() {
	if conn, ok := c.Conn.(syscall.Conn); ok {
		c.socket.raw, _ = conn.SyscallConn()
		c.socket.tryRead, c.socket.tryWrite = c.tryReading, c.tryWriting
	}
}

// readInto reads from the client into p, or into the free part of the buffer if p is
// nil. It gets the buffer when there is something to read: what is idle has none.
func (c *http1Conn) readInto(p []byte) (int, error) {
	s := &c.socket
	switch {
	case p != nil:
		return c.Read(p)
	case c.buf != nil || s.raw == nil:
		c.take()
		return c.Read(c.buf[c.end:])
	}
	if err := s.raw.Read(s.tryRead); err != nil {
		return 0, err
	}
	return s.got, s.readErr
}

// tryReading reads into the buffer without waiting. It returns false if nothing is there.
func (c *http1Conn) tryReading(fd uintptr) bool {
	c.take()
	s := &c.socket
	n, errno := retry(unix.SYS_READ, fd, c.buf)
	s.got, s.readErr = n, nil
	switch {
	case errno == unix.EAGAIN:
		c.letGo()
		return false
	case errno != 0:
		s.readErr = errno
	case n == 0:
		s.readErr = io.EOF
	}
	return true
}

// send writes p, before the deadline for writes, and returns how much of it the client
// has been sent.
func (c *http1Conn) send(p []byte) (n int, err error) {
	s := &c.socket
	if s.waited = s.raw == nil; s.waited {
		return c.Write(p)
	}
	s.unsent, s.writeErr = p, nil
	if err = s.raw.Write(s.tryWrite); err == nil {
		err = s.writeErr
	}
	n, s.unsent = len(p)-len(s.unsent), nil
	return n, err
}

// tryWriting writes what is unsent, without waiting. It returns false if the client has to
// read first.
func (c *http1Conn) tryWriting(fd uintptr) bool {
	s := &c.socket
	for len(s.unsent) > 0 {
		n, errno := retry(unix.SYS_WRITE, fd, s.unsent)
		if errno == unix.EAGAIN {
			s.waited = true
			return false
		}
		if errno != 0 {
			s.writeErr = errno
			return true
		}
		s.unsent = s.unsent[n:]
	}
	return true
}

// retry calls read or write on a socket that does not block, until no signal interrupts it.
func retry(call, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno // n is -1
		}
	}
}

// take sees to it that there is a buffer.
func (c *http1Conn) take() {
	if c.buf == nil {
		array, _ := readBuffers.Get().(*[readSize]byte)
		c.buf, c.pos, c.end = array[:], 0, 0
	}
}

// letGo gives the buffer back if nothing is in it.
func (c *http1Conn) letGo() {
	if c.buf != nil && c.pos == c.end {
		readBuffers.Put((*[readSize]byte)(c.buf))
		c.buf, c.pos, c.end = nil, 0, 0
	}
}
