package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/thralld/thralld/pkg/psgi"
)

// errClientLeft means that the client closed its connection. Nobody is left to be
// answered.
var errClientLeft = errors.New("the client left")

// body is a request body that has arrived whole: in memory while it fits a frame,
// else in a file.
type body struct {
	inline []byte
	file   string // absolute path, or ""
	remove func(file string)
	size   int64
}

// discard removes the file.
func (b *body) discard() {
	if b.file != "" {
		b.remove(b.file)
	}
}

// receiver takes in request bodies.
type receiver struct {
	create func() (*os.File, error)
	remove func(file string) // ends what create made
	limit  int64             // of one body; zero is none
}

// receive reads a body whole. At most psgi.MaxInline bytes of it are held in
// memory, in buf, which is grown as they arrive and handed back for the next
// request; a longer body goes through buf into a file.
func (rc *receiver) receive(x exchange, buf *[]byte) (b body, err error) {
	length := x.request().length
	switch {
	case length == 0:
		return body{}, nil
	case rc.limit > 0 && length > rc.limit:
		return body{}, fmt.Errorf("%w: %d bytes announced", errBodyTooLarge, length)
	}

	in := (*buf)[:0]
	defer func() { *buf = in[:0] }()
	for len(in) < psgi.MaxInline {
		if len(in) == cap(in) {
			in = enlarge(in, length)
		}
		n, err := x.read(in[len(in):min(cap(in), psgi.MaxInline)])
		in = in[:len(in)+n]
		b.size += int64(n)
		if err := rc.check(b.size); err != nil {
			return body{}, err
		}
		if errors.Is(err, io.EOF) {
			b.inline = in
			return b, nil
		}
		if err != nil {
			return body{}, err
		}
	}
	return rc.spool(x, in)
}

// enlarge gives p room for more: all that is announced if that is little, else
// twice what it had, so that no client is given memory for what it only announces.
func enlarge(p []byte, length int64) []byte {
	const first = 4 << 10
	room := max(first, 2*cap(p))
	if 0 < length && length < first {
		room = int(length) + 1 // the read that finds the end needs a byte too
	}
	return append(make([]byte, 0, min(room, psgi.MaxInline)), p...)
}

// spool moves a body that has outgrown memory into a file, through in, which is
// full.
func (rc *receiver) spool(x exchange, in []byte) (b body, err error) {
	f, err := rc.create()
	if err != nil {
		return body{}, noRoom(err)
	}
	b.file, b.remove = f.Name(), rc.remove
	defer func() {
		if closing := f.Close(); err == nil && closing != nil {
			err = noRoom(closing)
		}
		if err != nil {
			b.discard()
			b = body{}
		}
	}()
	for n, end := len(in), error(nil); ; n, end = x.read(in[:cap(in)]) {
		if _, err := f.Write(in[:n]); err != nil {
			return b, noRoom(err)
		}
		b.size += int64(n)
		if err := rc.check(b.size); err != nil {
			return b, err
		}
		if errors.Is(end, io.EOF) {
			return b, nil
		}
		if end != nil {
			return b, end
		}
	}
}

// check refuses a body that has grown beyond the limit.
func (rc *receiver) check(size int64) error {
	if rc.limit > 0 && size > rc.limit {
		return fmt.Errorf("%w: more than %d bytes", errBodyTooLarge, rc.limit)
	}
	return nil
}

// noRoom tells a full disk, which passes, from other failures of the spool.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return fmt.Errorf("spool request body: %w", err)
}
