package psgi

import "encoding/binary"

// Env is a PSGI environment under construction, kept in the form in which it
// goes over the wire: key, value, key, value, each a length and its bytes. The
// zero Env is empty and ready to use.
type Env struct{ list []byte }

// Set adds a key and its value. Setting a key twice sends it twice; the app sees
// the last.
func (e *Env) Set(key, value string) {
	e.list = appendString(appendString(e.list, key), value)
}

// SetBytes is Set for a key that was put together for it, and may be changed after.
func (e *Env) SetBytes(key []byte, value string) {
	e.list = append(binary.BigEndian.AppendUint32(e.list, uint32(len(key))), key...)
	e.list = appendString(e.list, value)
}

// Reset empties e and keeps its memory for the next request.
func (e *Env) Reset() { e.list = e.list[:0] }

// Len is the size of e on the wire, in bytes.
func (e *Env) Len() int { return len(e.list) }

// Map returns the environment as the app will see it.
func (e *Env) Map() map[string]string {
	m := make(map[string]string)
	for p := (parser{rest: e.list}); len(p.rest) > 0; {
		key := p.string()
		m[key] = p.string()
	}
	return m
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
