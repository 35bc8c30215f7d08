package server

import (
	"errors"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// readSize is the buffer of a connection that a request arrives on, in bytes.
const readSize = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// prepare finds the socket under the connection.
func (c *http1Conn) prepare() {
	if socket, ok := c.Conn.(syscall.Conn); ok {
		c.raw, _ = socket.SyscallConn()
		c.tryRead = c.tryReading
	}
}

// readInto reads from the client into p, or into the free part of the buffer if p is
// nil. It gets the buffer when there is something to read: what is idle has none.
func (c *http1Conn) readInto(p []byte) (int, error) {
	switch {
	case p != nil:
		return c.Read(p)
	case c.buf != nil || c.raw == nil:
		c.take()
		return c.Read(c.buf[c.end:])
	}
	if err := c.raw.Read(c.tryRead); err != nil {
		return 0, err
	}
	return c.got, c.failed
}

// tryReading reads into the buffer without waiting. It returns false if nothing is there.
func (c *http1Conn) tryReading(fd uintptr) bool {
	c.take()
	for {
		switch n, err := unix.Read(int(fd), c.buf); {
		case err == nil && n > 0:
			c.got, c.failed = n, nil
			return true
		case err == nil:
			err = io.EOF
			fallthrough
		default:
			if errors.Is(err, unix.EINTR) {
				continue
			}
			c.letGo()
			c.got, c.failed = 0, err
			return !errors.Is(err, unix.EAGAIN)
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
