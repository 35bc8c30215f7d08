package server

// field is a header field that decides about framing.
type field uint8

const (
	fieldOther field = iota
	fieldHost
	fieldLength
	fieldEncoding
	fieldExpect
)

// endWord acts on a word that has been read whole.
func (g *guard) endWord() {
	switch g.state {
	case inVersion:
		g.endVersion()
	case inName:
		g.field = fieldOther
		if g.n <= len(g.word) && !g.trailers {
			g.field = framing(g.word[:g.n])
		}
	case inValue:
		g.endField()
	}
}

func (g *guard) endVersion() {
	word := g.word[:min(g.n, len(g.word))]
	switch string(word) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		g.old = true
	default:
		if len(word) == 8 && string(word[:5]) == "HTTP/" && word[6] == '.' {
			g.refuse(errVersion, "HTTP version %q", word)
			return
		}
		g.refuse(errMalformed, "HTTP version %q", word)
	}
}

// endField acts on the value of a field that decides about framing.
func (g *guard) endField() {
	word := g.word[:min(g.n, len(g.word))]
	for len(word) > 0 && (word[len(word)-1] == ' ' || word[len(word)-1] == '\t') {
		word = word[:len(word)-1]
	}
	switch g.field {
	case fieldHost:
		if g.hosts++; g.hosts > 1 {
			g.refuse(errMalformed, "more than one Host")
		}
	case fieldLength:
		length, ok := parseLength(word)
		if g.sized || !ok || g.n > len(g.word) {
			g.refuse(errMalformed, "Content-Length %q, or more than one", word)
		}
		g.sized, g.length = true, length
	case fieldEncoding:
		if g.chunked || !equalFold(word, "chunked") || g.n > len(g.word) {
			g.refuse(errMalformed, "Transfer-Encoding %q, or more than one", word)
		}
		g.chunked = true
	case fieldExpect:
		if !equalFold(word, "100-continue") || g.n > len(g.word) {
			g.refuse(errExpectation, "Expect %q", word)
		}
	case fieldOther:
	}
}

// framing says which of the fields that matter to a guard a name is.
func framing(name []byte) field {
	switch {
	case equalFold(name, "host"):
		return fieldHost
	case equalFold(name, "content-length"):
		return fieldLength
	case equalFold(name, "transfer-encoding"):
		return fieldEncoding
	case equalFold(name, "expect"):
		return fieldExpect
	}
	return fieldOther
}

// parseLength reads a Content-Length: digits only, and few enough not to overflow
// (RFC 9110, 8.6).
func parseLength(word []byte) (length uint64, ok bool) {
	if len(word) == 0 || len(word) > 18 {
		return 0, false
	}
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		length = length*10 + uint64(c-'0')
	}
	return length, true
}
