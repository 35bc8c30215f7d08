package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/zap"
)

// introductionPatience is how long a proxy may take for its header, which it has ready
// when it connects.
const introductionPatience = 5 * time.Second

// Why a connection that is to begin with a header of the PROXY protocol is closed.
var (
	errStranger       = errors.New("it is not from a trusted proxy")
	errNoIntroduction = errors.New("it does not begin with a PROXY header")
	errIntroduction   = errors.New("its PROXY header is malformed")
)

// introduce has the proxy at the other end say whom it speaks for, where the listener
// wants that. It is called once, before anything is read from the connection, by the
// connection's own goroutine. If it returns false nothing may be read, and the connection
// is to be closed: without the header nobody knows who the client is, and what a stranger
// says of himself is worth nothing.
func (l *link) introduce() bool {
	if !l.introduces {
		return true
	}
	l.introduces = false
	set := l.settings()
	err := errStranger
	if set.proxies.trusts(l.RemoteAddr()) {
		l.told, err = readIntroduction(l.bare())
	}
	if err == nil {
		return true
	}
	level := zap.DebugLevel
	if !errors.Is(err, io.EOF) && set.warned.passes(time.Now()) { // health checks connect and say nothing
		level = zap.WarnLevel
	}
	set.Log.Log(level, "connection closed",
		zap.Stringer("address", l.LocalAddr()), zap.Stringer("remote", l.RemoteAddr()), zap.Error(err))
	return false
}

// readIntroduction reads a header and says between whom the connection is by it.
func readIntroduction(c net.Conn) (*endpoints, error) {
	until := time.Now().Add(introductionPatience)
	_ = c.SetReadDeadline(until)
	raw, err := readProxyHeader(patient{c, until})
	_ = c.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, err
	}
	header, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(raw), len(raw)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIntroduction, err)
	}
	own := newEndpoints(c.LocalAddr(), c.RemoteAddr())
	switch {
	case header.Command.IsLocal():
		// The proxy speaks for itself, or for one whose address it cannot tell.
		own.introduced, own.hidden = true, true
		return own, nil
	case !header.TransportProtocol.IsStream():
		return nil, fmt.Errorf("%w: it tells of datagrams", errIntroduction)
	}
	told := newEndpoints(header.DestinationAddr, header.SourceAddr)
	told.introduced, told.peerAddr = true, own.remoteAddr
	told.hidden = header.TransportProtocol.IsUnix()
	return told, nil
}

// patient reads from a connection up to a fixed time, also when a stop of the server wakes
// it: that closes the connection, if it wants to.
type patient struct {
	net.Conn
	until time.Time
}

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.Conn.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(p.until) {
			return n, err
		}
		_ = p.SetReadDeadline(p.until)
	}
}

// The least lengths of a header: of any, and of those of version 1 by their beginnings.
const shortest = len("PROXY UNKNOWN\r\n")

var leastV1 = map[string]int{
	"PROXY TCP4 ": len("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"),
	"PROXY TCP6 ": len("PROXY TCP6 :: :: 0 0\r\n"),
}

const (
	longestV1 = 107     // with its end of line, says the protocol
	fixedV2   = 16      // what has the length of the rest
	longestV2 = 4 << 10 // of the rest, with all that is told of TLS
)

// readProxyHeader reads a header and no byte of what follows, so that the next reader,
// whoever that is, finds the rest in the socket. Of the first version only its end tells
// the length: where that may come, it reads byte by byte.
func readProxyHeader(r io.Reader) ([]byte, error) {
	h := header{from: r, raw: make([]byte, 0, 2*longestV1)}
	if err := h.readTo(shortest); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(h.raw, proxyproto.SIGV2):
		if err := h.readTo(fixedV2); err != nil {
			return nil, err
		}
		length := int(binary.BigEndian.Uint16(h.raw[fixedV2-2:]))
		if length > longestV2 {
			return nil, fmt.Errorf("%w: of %d bytes", errIntroduction, length)
		}
		return h.raw, h.readTo(fixedV2 + length)
	case !bytes.HasPrefix(h.raw, []byte("PROXY ")):
		return nil, errNoIntroduction
	}
	size := leastV1[string(h.raw[:len("PROXY TCP4 ")])]
	for h.raw[len(h.raw)-1] != '\n' {
		size = max(size, len(h.raw)+1)
		if size > longestV1 {
			return nil, fmt.Errorf("%w: more than %d bytes without an end", errIntroduction, longestV1)
		}
		if err := h.readTo(size); err != nil {
			return nil, err
		}
	}
	return h.raw, nil
}

// header is one that is being read.
type header struct {
	from io.Reader
	raw  []byte
}

// readTo reads until there are size bytes.
func (h *header) readTo(size int) error {
	have := len(h.raw)
	if size > cap(h.raw) {
		h.raw = append(make([]byte, 0, size), h.raw...)
	}
	h.raw = h.raw[:size]
	n, err := io.ReadFull(h.from, h.raw[have:])
	switch {
	case err == nil:
		return nil
	case have+n == 0:
		return fmt.Errorf("%w: %w", errNoIntroduction, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends after %d bytes", errIntroduction, have+n)
	}
	return fmt.Errorf("%w after %d bytes: %w", errIntroduction, have+n, err)
}

// seldom keeps what strangers can cause from filling the log.
type seldom struct{ next atomic.Int64 }

// passes says yes once a minute.
func (s *seldom) passes(now time.Time) bool {
	next := s.next.Load()
	return now.UnixNano() >= next && s.next.CompareAndSwap(next, now.Add(time.Minute).UnixNano())
}
