package server

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// http1Exchange is an exchange on the engine http1. A connection has one, for each of
// its requests in turn.
type http1Exchange struct {
	c     *http1Conn
	set   *settings
	asked request

	// Of the request.
	old     bool // it is HTTP/1.0
	expects bool // the client waits for 100 (Continue) before it sends the body
	closing bool // the client will close the connection
	unread  bool // a part of the body is still to come

	// Of the response.
	pace    pace   // of the client, first with the body of the request
	keep    bool   // the connection is kept after it
	chunked bool   // its length is not known beforehand
	endless bool   // only the end of the connection tells its end
	out     []byte // what has not been written yet
	pieces  [3][]byte
}

var goOn = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// start makes ready for the request whose head has been parsed.
func (x *http1Exchange) start(c *http1Conn, set *settings) {
	x.c, x.set = c, set
	x.chunked, x.endless = false, false
	x.pace = newPace(set)
	switch c.guard.state {
	case inBody:
		x.asked.length = int64(c.guard.left)
	case inSize:
		x.asked.length = -1
	default:
		x.asked.length = 0
	}
	if x.unread = x.asked.length != 0; !x.unread {
		c.engine.watches.start(c)
	}
}

// keptFields is for how many fields of a request a waiting connection keeps room.
const keptFields = 64

// forget lets go of the request, whose head may be large.
func (x *http1Exchange) forget() {
	r := &x.asked
	r.line, r.method, r.target, r.proto, r.host = "", "", "", "", ""
	if clear(r.header); cap(r.header) > keptFields {
		r.header = nil
	}
}

func (x *http1Exchange) request() *request { return &x.asked }

func (x *http1Exchange) read(p []byte) (int, error) {
	if !x.unread {
		return 0, io.EOF
	}
	if x.expects {
		x.expects = false
		x.c.deadlines.write(x.c, x.set.Timeout)
		if _, err := x.c.send(goOn); err != nil {
			return 0, errClientLeft
		}
	}
	for len(p) > 0 {
		n, err := x.buffered(p)
		if n > 0 || err != nil {
			return n, err
		}
		began := time.Now()
		x.c.deadlines.read(x.c, since(began, x.pace.wait()))
		var came int
		if x.c.guard.state == inBody {
			if n, err = x.c.receive(p[:min(uint64(len(p)), x.c.guard.left)]); n > 0 {
				x.c.guard.step(p[:n])
			}
			came = n
		} else {
			err = x.c.fill()
			came = x.c.end - x.c.pos // there was nothing before
		}
		waited := time.Since(began)
		x.pace.spent(waited, int64(came))
		switch {
		case n > 0:
			return n, x.ended()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, x.pace.late(waited)
		case err != nil:
			return 0, errClientLeft
		}
	}
	return 0, nil
}

// buffered moves what the connection's buffer has of the body to p: zero bytes and no
// error if that is nothing.
func (x *http1Exchange) buffered(p []byte) (n int, err error) {
	c := x.c
	for c.pos < c.end {
		data := c.guard.state == inBody || c.guard.state == inChunk
		k, _ := c.guard.step(c.buf[c.pos:min(c.end, c.pos+len(p))])
		if data {
			n = copy(p, c.buf[c.pos:c.pos+k])
		}
		c.pos += k
		if c.guard.err != nil {
			return n, c.guard.err
		}
		if err := x.ended(); n > 0 || err != nil {
			return n, err
		}
	}
	c.letGo()
	return 0, nil
}

// ended returns io.EOF when the guard has come to the end of the body.
func (x *http1Exchange) ended() error {
	if !x.c.guard.atHead() {
		return nil
	}
	x.unread = false
	x.c.engine.watches.start(x.c)
	return io.EOF
}

func (x *http1Exchange) inform(status int, h psgi.Header) {
	head := appendStatusLine(nil, status, x.old)
	for _, f := range h {
		head = appendField(head, f.Name, f.Value)
	}
	x.c.deadlines.write(x.c, informPatience)
	if n, err := x.c.send(append(head, "\r\n"...)); err != nil && (n > 0 || x.c.secured != nil) {
		x.c.cut() // what follows would stand in the middle of it; TLS does not tell how much it has sent
	}
}

func (x *http1Exchange) begin(h head) {
	if h.last || x.unread || x.c.engine.closing.Load() || x.set.MaxKeepaliveReqs > 0 && int(x.c.served.Load()) >= x.set.MaxKeepaliveReqs {
		x.keep = false
	}
	if h.body && h.length < 0 {
		x.chunked, x.endless = !x.old, x.old
		x.keep = x.keep && !x.old
	}
	x.pace = newPace(x.set)
	x.out = x.appendHead(x.c.outgoing(), h)
}

func (x *http1Exchange) appendHead(dst []byte, h head) []byte {
	dst = appendStatusLine(dst, h.status, x.old)
	dated := false
	for _, f := range h.header {
		dst = appendField(dst, f.Name, f.Value)
		dated = dated || equalFold(f.Name, "date")
	}
	if !dated {
		dst = appendDate(dst, time.Now())
	}
	switch {
	case h.length >= 0:
		dst = appendLength(dst, h.length)
	case x.chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case x.keep && x.old:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	case !x.keep && !x.old:
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "\r\n"...)
}

var lineEnd = []byte("\r\n")

// gather is how many bytes of a response may wait to be written together.
const gather = 8 << 10

func (x *http1Exchange) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	var end []byte
	if x.chunked {
		x.out = appendChunkSize(x.out, len(p))
		end = lineEnd
	}
	if len(x.out)+len(p)+len(end) <= gather {
		x.out = append(append(x.out, p...), end...)
		return nil
	}
	all := net.Buffers(x.pieces[:0])
	for _, piece := range [...][]byte{x.out, p, end} {
		if len(piece) > 0 { // to write nothing may take as long as a client does not read
			all = append(all, piece)
		}
	}
	defer func() {
		x.pieces = [3][]byte{}
		x.out = x.out[:0]
	}()
	for {
		began := x.patiently()
		n, err := all.WriteTo(x.c.Conn)
		if !x.pace.again(&x.c.link, time.Since(began), n, err) {
			return err
		}
	}
}

// patiently sets how long the client may take for the coming write, and returns the time.
func (x *http1Exchange) patiently() (now time.Time) {
	return x.c.deadlines.write(x.c, x.pace.slice(&x.c.link))
}

func (x *http1Exchange) flush() error {
	if len(x.out) == 0 {
		return nil
	}
	rest := x.out
	x.out = x.out[:0]
	for {
		began := x.patiently()
		n, err := x.c.send(rest)
		waited := time.Duration(0)
		if x.c.socket.waited {
			waited = time.Since(began)
		}
		if !x.pace.again(&x.c.link, waited, int64(n), err) {
			return err
		}
		rest = rest[n:]
	}
}

// complete writes the end of the response, and what of it waits.
func (x *http1Exchange) complete() error {
	if x.chunked {
		x.out = append(x.out, "0\r\n\r\n"...)
	}
	return x.flush()
}
