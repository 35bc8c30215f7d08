package server

// class is a set of bytes with a place in HTTP's grammar.
type class uint8

const (
	tokenClass  class = 1 << iota // method, field name (RFC 9110, 5.6.2)
	targetClass                   // request target: no space, no control character
	valueClass                    // field value, chunk extension: text, space and tab
	hostClass                     // Host: name, address, port (RFC 3986, 3.2)
	plainClass                    // printable ASCII
)

// classes says to which sets a byte belongs.
//
// A target may hold bytes above 0x7f although the RFC's grammar has none: there
// are clients that send UTF-8 unescaped, and no two servers frame it differently.
var classes = func() (t [256]class) {
	for c := range 256 {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if letter || digit {
			t[c] |= tokenClass | hostClass
		}
		if c > ' ' && c != 0x7f {
			t[c] |= targetClass
		}
		if c >= ' ' && c <= '~' {
			t[c] |= plainClass
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= valueClass
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= tokenClass
	}
	for _, c := range []byte("-._~%!$&'()*+,;=:[]") {
		t[c] |= hostClass
	}
	return t
}()

// span returns the length of the longest start of p that lies in the set.
func span(p []byte, set class) int {
	for i, c := range p {
		if classes[c]&set == 0 {
			return i
		}
	}
	return len(p)
}

// within reports whether all of s lies in the set.
func within(s string, set class) bool {
	for i := range len(s) {
		if classes[s[i]]&set == 0 {
			return false
		}
	}
	return true
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) (value byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// lower returns c with an ASCII capital made small.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold reports whether name is known, which is in lower case, but for the
// case of ASCII letters.
func equalFold[T string | []byte](name T, known string) bool {
	if len(name) != len(known) {
		return false
	}
	for i := range len(name) {
		if lower(name[i]) != known[i] {
			return false
		}
	}
	return true
}
