package server

import (
	"slices"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// fewFields is how many fields are compared one with another; of more, those of one name
// are brought together by sorting.
const fewFields = 32

// parseHead reads a request's head, which the guard has found to be well formed, from
// its method to the empty line. What it finds shares its memory.
func (x *http1Exchange) parseHead(text string) {
	r := &x.asked
	r.line, text, _ = strings.Cut(text, "\r\n")
	at := strings.LastIndexByte(r.line, ' ')
	r.line, r.proto = r.line[:at], r.line[at+1:]
	r.method, r.target, _ = strings.Cut(r.line, " ")
	r.host, r.header = "", r.header[:0]
	x.old = r.proto == "HTTP/1.0"
	x.expects, x.keep = false, !x.old
	for {
		end := strings.IndexByte(text, '\r')
		if end <= 0 {
			break
		}
		name, value, _ := strings.Cut(text[:end], ":")
		value = strings.Trim(value, " \t")
		text = text[end+len("\r\n"):]
		r.header = append(r.header, psgi.Field{Name: name, Value: value})
		switch {
		case equalFold(name, "host"):
			r.host = value
		case equalFold(name, "connection"):
			x.heed(value)
		case equalFold(name, "expect"):
			x.expects = !x.old
		}
	}
	bringTogether(r.header)
}

// heed does what the client says of its connection. Close has the last word.
func (x *http1Exchange) heed(connection string) {
	switch {
	case hasToken(connection, "close"):
		x.keep, x.closing = false, true
	case x.old && !x.closing && hasToken(connection, "keep-alive"):
		x.keep = true
	}
}

// bringTogether puts the fields of one name beside each other and leaves them in their
// order.
func bringTogether(h psgi.Header) {
	if len(h) <= fewFields && !hasTwins(h) {
		return
	}
	slices.SortStableFunc(h, func(a, b psgi.Field) int { return compareFold(a.Name, b.Name) })
}

// hasTwins reports whether two fields have the same name.
func hasTwins(h psgi.Header) bool {
	for i := range h {
		for j := range i {
			if len(h[i].Name) == len(h[j].Name) && strings.EqualFold(h[i].Name, h[j].Name) {
				return true
			}
		}
	}
	return false
}

// compareFold orders names without regard to the case of ASCII letters.
func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if c := int(lower(a[i])) - int(lower(b[i])); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}
