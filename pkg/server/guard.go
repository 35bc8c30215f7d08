package server

import "fmt"

// guard follows the framing of HTTP/1 requests (RFC 9112) over the bytes of one
// connection and finds the first one that has no place there.
//
// It is stricter than most servers' parsers, because a client and a proxy that
// disagree with the server about where a request ends can smuggle one inside
// another: no bare CR or LF, no folded lines, no space before a colon, one
// Content-Length or one "chunked" but never both, chunk sizes to the letter. It
// keeps a few words of state, never the bytes themselves, and does not allocate
// until it refuses.
//
// The zero guard, with a limit, is ready for the first byte of a connection.
type guard struct {
	limit int   // bytes of a request's head, and of what a chunked body adds to its data
	heads int   // heads that have been complete so far
	err   error // why the connection was refused, wrapping an error of the status table

	state state
	size  int    // bytes that count against limit
	blank int    // empty lines before this request line
	left  uint64 // bytes of a body, or of a chunk, still to come

	old      bool // the request is HTTP/1.0
	hosts    int  // Host lines
	sized    bool // there was a Content-Length
	length   uint64
	chunked  bool // there was a Transfer-Encoding
	trailers bool // the lines that follow are a chunked body's

	field field    // the field whose value is being read
	word  [20]byte // what has been read of the present word
	n     int      // its length, which may be more than fits word
}

// state is the guard's place in the grammar. States up to inVersion belong to the
// request line; those from inBody on, to the body.
type state uint8

const (
	atStart   state = iota // the first byte of a request, or an empty line before it
	startLF                // the LF of such an empty line
	inMethod               // up to the first space
	inTarget               // up to the second
	inVersion              // up to the CR
	lineLF                 // the LF of the request line or of a field
	lineStart              // the first byte of a field, or the CR of the empty line
	inName                 // up to the colon
	inValue                // up to the CR
	endLF                  // the LF of the empty line
	inBody                 // data whose length was declared
	inSize                 // a chunk's size
	inExt                  // a chunk's extension
	sizeLF                 // the LF after them
	inChunk                // a chunk's data
	chunkCR                // the CR after it
	chunkLF                // the LF after that
)

// maxBlank is how many empty lines may stand before a request line: RFC 9112, 2.2
// asks to put up with one from old clients.
const maxBlank = 4

// scan follows p to its end, or to the first byte that is refused, and returns
// how many bytes at its start are good; g.err tells the two apart. Empty lines
// before a request are taken out of p, so that no engine needs to know them.
func (g *guard) scan(p []byte) int {
	i := 0
	for i < len(p) && g.err == nil {
		n, drop := g.step(p[i:])
		if drop {
			p = append(p[:i], p[i+n:]...)
			continue
		}
		i += n
	}
	return i
}

// atHead reports whether the next byte is the first of a request.
func (g *guard) atHead() bool { return g.state == atStart && g.size == 0 }

// midHead reports whether a request's head has begun and not ended.
func (g *guard) midHead() bool {
	return g.state > startLF && g.state < inBody && !g.trailers
}

// poison returns bytes that every server refuses in the place that the guard has
// reached, and that are worth an answer to net/http: in a head that takes a whole
// line, and nothing but the end of the connection suits a body.
func (g *guard) poison() string {
	if g.state < inBody && !g.trailers {
		return "\x00\r\n\r\n"
	}
	return "\x00"
}

// step takes the longest start of p, which is not empty, that belongs together,
// and returns its length, and whether it is to be dropped. When the next byte is
// refused it sets g.err and returns the length of what comes before.
func (g *guard) step(p []byte) (n int, drop bool) {
	if g.state >= inBody {
		return g.body(p), false
	}
	if room := g.limit - g.size; len(p) > room {
		p = p[:room]
		if room <= 0 {
			g.overflow()
			return 0, false
		}
	}
	c := p[0]
	switch n = 1; g.state {
	case atStart:
		if c == '\r' && g.blank < maxBlank {
			g.state = startLF
			return 1, true
		}
		g.state = inMethod
		fallthrough
	case inMethod:
		n = g.until(p, tokenClass, ' ', inTarget, "method")
	case startLF:
		if !g.expect(c, '\n', atStart) {
			return 0, false
		}
		g.blank++
		return 1, true
	case inTarget:
		n = g.until(p, targetClass, ' ', inVersion, "request target")
	case inVersion:
		n = g.until(p, targetClass, '\r', lineLF, "HTTP version")
	case lineLF:
		g.expect(c, '\n', lineStart)
	case lineStart:
		if c == '\r' {
			g.state = endLF
			break
		}
		if c == ' ' || c == '\t' {
			g.refuse(errMalformed, "a line begins with a space, as folded ones do")
			break
		}
		g.state = inName
		fallthrough
	case inName:
		n = g.until(p, tokenClass, ':', inValue, "field name")
	case inValue:
		n = g.until(p, valueClass, '\r', lineLF, "field value")
	case endLF:
		if g.expect(c, '\n', atStart) && g.endHead() {
			return 1, false // and size counts for what follows
		}
	}
	if g.err != nil {
		n = max(0, n-1)
	}
	g.size += n
	return n, false
}

// until takes bytes of the set, and then the one that ends them, and moves on to
// the state next. It returns how many it took, counting a byte that it refused.
func (g *guard) until(p []byte, set class, end byte, next state, what string) int {
	n := span(p, set)
	g.note(p[:n])
	if n == len(p) {
		return n
	}
	switch {
	case p[n] != end:
		g.refuse(errMalformed, "byte %q in or after a %s", p[n], what)
	case g.n == 0 && g.state != inValue:
		g.refuse(errMalformed, "empty %s", what)
	default:
		g.endWord()
		g.state, g.n = next, 0
	}
	return n + 1
}

// note remembers as much of a word as any word that matters has. Spaces before a
// field's value are not part of it.
func (g *guard) note(p []byte) {
	if g.state == inValue && g.field == fieldOther {
		return
	}
	if g.n == 0 {
		for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
			p = p[1:]
		}
	}
	if g.n < len(g.word) {
		copy(g.word[g.n:], p)
	}
	g.n += len(p)
}

// endHead decides, at the empty line, how the request's body is framed. It returns
// false if it refuses to.
func (g *guard) endHead() bool {
	switch {
	case g.trailers: // it was a body that ended
		g.restart()
		return true
	case g.hosts == 0 && !g.old:
		g.refuse(errMalformed, "no Host")
	case g.chunked && g.sized:
		g.refuse(errMalformed, "both Content-Length and Transfer-Encoding")
	case g.chunked && g.old:
		g.refuse(errMalformed, "Transfer-Encoding in HTTP/1.0")
	}
	if g.err != nil {
		return false
	}

	g.heads++
	switch {
	case g.chunked:
		g.state, g.size, g.n = inSize, 0, 0
	case g.length > 0:
		g.state, g.left = inBody, g.length
	default:
		g.restart()
	}
	return true
}

// restart prepares for the next request.
func (g *guard) restart() { *g = guard{limit: g.limit, heads: g.heads} }

// expect moves on to the state next if c is what has to come now.
func (g *guard) expect(c, want byte, next state) bool {
	if c != want {
		g.refuse(errMalformed, "byte %q where %q belongs", c, want)
		return false
	}
	g.state = next
	return true
}

// overflow refuses a head that has reached the limit.
func (g *guard) overflow() {
	switch {
	case g.trailers:
		g.refuse(errMalformed, "trailers of more than %d bytes", g.limit)
	case g.state <= inVersion:
		g.refuse(errTargetTooLong, "request line of more than %d bytes", g.limit)
	default:
		g.refuse(errHeadTooLarge, "head of more than %d bytes", g.limit)
	}
}

// refuse ends all reading: class is an error of the status table, the rest a
// reason for the log.
func (g *guard) refuse(class error, format string, args ...any) {
	g.err = fmt.Errorf("%w: %s", class, fmt.Sprintf(format, args...))
}
