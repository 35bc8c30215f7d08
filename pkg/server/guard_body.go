package server

// body is the guard's step inside a request's body. It returns how many bytes at
// the start of p are good; if it is fewer than belong together, g.err is set.
func (g *guard) body(p []byte) int {
	c := p[0]
	switch g.state {
	case inBody, inChunk:
		n := min(uint64(len(p)), g.left)
		if g.left -= n; g.left == 0 {
			g.endData()
		}
		return int(n)
	case inSize:
		return g.sizeByte(c)
	case inExt:
		return g.extension(p)
	case sizeLF:
		if !g.expect(c, '\n', inChunk) {
			return 0
		}
		if g.left == 0 {
			g.state, g.trailers, g.n = lineStart, true, 0
		}
	case chunkCR:
		if !g.expect(c, '\r', chunkLF) {
			return 0
		}
	case chunkLF:
		if !g.expect(c, '\n', inSize) {
			return 0
		}
		g.n = 0
	}
	return 1
}

// endData moves on from the last byte of a body or of a chunk.
func (g *guard) endData() {
	if g.state == inChunk {
		g.state = chunkCR
		return
	}
	g.restart()
}

// sizeByte takes one byte of a chunk's size: hexadecimal digits, few enough not to
// overflow, and right after them a semicolon or the line's end.
func (g *guard) sizeByte(c byte) int {
	digit, ok := unhex(c)
	switch {
	case ok && g.n < 15:
		g.left, g.n = g.left<<4|uint64(digit), g.n+1
	case ok:
		g.refuse(errMalformed, "chunk size of more than 15 digits")
		return 0
	case c == ';' && g.n > 0:
		g.state = inExt
	case c == '\r' && g.n > 0:
		g.state = sizeLF
	default:
		g.refuse(errMalformed, "byte %q in a chunk size", c)
		return 0
	}
	return 1
}

// extension takes a chunk's extension, which nobody reads. All extensions of a
// body together may be no longer than a head.
func (g *guard) extension(p []byte) int {
	room := g.limit - g.size
	if room <= 0 {
		g.refuse(errMalformed, "chunk extensions of more than %d bytes", g.limit)
		return 0
	}
	p = p[:min(len(p), room)]
	n := span(p, valueClass)
	if g.size += n; n == len(p) {
		return n
	}
	if !g.expect(p[n], '\r', sizeLF) {
		return n
	}
	return n + 1
}
