package psgi

import (
	"encoding/binary"
	"strconv"
)

// Env is a PSGI environment under construction, kept in the form in which it goes over
// the wire: the bytes of key, value, key, value, one behind the other, and the pack
// template that says how long each is, "a14a3…". Perl reads a list of lengths much slower
// than the numbers of a template. The zero Env is empty and ready to use.
type Env struct{ layout, text []byte }

// Set adds a key and its value. Setting a key twice sends it twice; the app sees
// the last.
func (e *Env) Set(key, value string) {
	e.note(len(key))
	e.note(len(value))
	e.text = append(append(e.text, key...), value...)
}

// SetBytes is Set for a key that was put together for it, and may be changed after.
func (e *Env) SetBytes(key []byte, value string) {
	e.note(len(key))
	e.note(len(value))
	e.text = append(append(e.text, key...), value...)
}

// note adds a string of that length to the layout.
func (e *Env) note(length int) {
	e.layout = strconv.AppendInt(append(e.layout, 'a'), int64(length), 10)
}

// Reset empties e and keeps its memory for the next request.
func (e *Env) Reset() { e.layout, e.text = e.layout[:0], e.text[:0] }

// Len is the size of e on the wire, in bytes, but for the number that says how long the
// layout is.
func (e *Env) Len() int { return len(e.layout) + len(e.text) }

func (e *Env) append(dst []byte) []byte {
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(e.layout))), e.layout...)
	return append(dst, e.text...)
}

// Map returns the environment as the app will see it.
func (e *Env) Map() map[string]string {
	m := make(map[string]string)
	layout, text := e.layout, e.text
	next := func() string {
		length := 0
		for layout = layout[1:]; len(layout) > 0 && layout[0] != 'a'; layout = layout[1:] {
			length = 10*length + int(layout[0]-'0')
		}
		s := string(text[:length])
		text = text[length:]
		return s
	}
	for len(layout) > 0 {
		key := next()
		m[key] = next()
	}
	return m
}
