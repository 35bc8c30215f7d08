package stack

import (
	"bytes"
	"encoding/binary"
	"io"
	"unicode/utf8"
)

const (
	wordSize = 8
	pageSize = 4096 // or a part of one, where pages are larger
	maxText  = 4096 // bytes of a name or a file
)

// memory is that of another process, which changes while it is read. All addresses
// come from it, so each may be wrong; what cannot be read is zero or empty.
type memory struct {
	from io.ReaderAt
	err  error // of the last read that failed
}

// bytes fills b, and tells whether it could.
func (m *memory) bytes(at uint64, b []byte) bool {
	if at < minAddress || at >= maxAddress {
		m.err = errNowhere
		return false
	}
	n, err := m.from.ReadAt(b, int64(at))
	if n == len(b) {
		return true
	}
	m.err = err
	return false
}

func (m *memory) word(at uint64) uint64 {
	var b [wordSize]byte
	if !m.bytes(at, b[:]) {
		return 0
	}
	return binary.NativeEndian.Uint64(b[:])
}

func (m *memory) number(at uint64) uint32 {
	var b [4]byte
	if !m.bytes(at, b[:]) {
		return 0
	}
	return binary.NativeEndian.Uint32(b[:])
}

// text reads a C string.
func (m *memory) text(at uint64) string {
	var text []byte
	for len(text) < maxText {
		piece := make([]byte, min(pageSize-at%pageSize, uint64(maxText-len(text)))) // what follows may not be mapped
		if !m.bytes(at, piece) {
			return ""
		}
		if end := bytes.IndexByte(piece, 0); end >= 0 {
			return printable(append(text, piece[:end]...))
		}
		text = append(text, piece...)
		at += uint64(len(piece))
	}
	return ""
}

// key reads a HEK, as perl shares the names of things: a hash of 32 bits, the
// length of the name, the name and a NUL.
func (m *memory) key(at uint64) string {
	size := m.number(at + 4)
	if size == 0 || size > maxText {
		return ""
	}
	text := make([]byte, size+1)
	if !m.bytes(at+8, text) || text[size] != 0 {
		return ""
	}
	return printable(text[:size])
}

// printable makes a string that is safe in a log: UTF-8, as perl's names may be
// Latin-1, and without control characters.
func printable(b []byte) string {
	valid := utf8.Valid(b)
	out := make([]byte, 0, len(b))
	for rest := b; len(rest) > 0; {
		r, size := rune(rest[0]), 1
		if valid {
			r, size = utf8.DecodeRune(rest)
		}
		rest = rest[size:]
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			r = utf8.RuneError
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
