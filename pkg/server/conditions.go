package server

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// field returns the value of the request's fields of that name, which is in lower case,
// joined; "" if there are none.
func (r *request) field(name string) string {
	for i, f := range r.header {
		if equalFold(f.Name, name) {
			value, _ := joined(r.header[i:])
			return value
		}
	}
	return ""
}

// strip returns a header without the fields of those names, which are in lower case. It
// takes the header's memory.
func strip(h psgi.Header, names ...string) psgi.Header {
	return slices.DeleteFunc(h, func(f psgi.Field) bool {
		return slices.ContainsFunc(names, func(name string) bool { return equalFold(f.Name, name) })
	})
}

// aboutContent are the fields about the body of a response that a client gets no body of.
var aboutContent = []string{
	"accept-ranges", "content-disposition", "content-encoding", "content-language", "content-type",
}

// appendValidators adds ETag and Last-Modified of a file to a header that has none (RFC
// 9110, 8.8). The ETag is of size and time. It is weak as long as the file may change once
// more within what a clock can tell. A time of the Epoch's first second is one that a build
// has set on all its files: it tells nothing about them.
func appendValidators(h psgi.Header, info os.FileInfo, coding string, now time.Time) psgi.Header {
	modified := info.ModTime()
	if modified.Unix() <= 1 {
		return h
	}
	if _, ok := h.Get("ETag"); !ok {
		text := make([]byte, 0, 48)
		if now.Sub(modified) < time.Second {
			text = append(text, "W/"...)
		}
		text = strconv.AppendInt(append(text, '"'), modified.UnixNano(), 36)
		text = strconv.AppendInt(append(text, '-'), info.Size(), 36)
		if coding != "" {
			text = append(append(text, '-'), coding...)
		}
		h = append(h, psgi.Field{Name: "ETag", Value: string(append(text, '"'))})
	}
	if _, ok := h.Get("Last-Modified"); !ok && !modified.After(now) {
		h = append(h, psgi.Field{Name: "Last-Modified", Value: modified.UTC().Format(http.TimeFormat)})
	}
	return h
}

// meet makes of a plan one without a body if the request has conditions that its ETag and
// Last-Modified do not meet: 304 for what the client has already, or 412 (RFC 9110, 13.2.2).
func (p *plan) meet(r *request) {
	if p.head.status != 200 || r.method != "GET" && r.method != "HEAD" {
		return
	}
	status := precondition(r, p.head.header)
	if status == 0 {
		return
	}
	p.head.status, p.head.body, p.head.length = status, false, -1
	if status == 412 {
		p.head.length = 0
	}
	p.head.header = strip(p.head.header, aboutContent...)
}

// precondition returns the status for conditions of GET or HEAD that are not met, or 0.
func precondition(r *request, h psgi.Header) int {
	etag, _ := h.Get("ETag")
	if list := r.field("if-match"); list != "" {
		if !matches(list, etag, true) {
			return 412
		}
	} else if since, modified, ok := dates(r.field("if-unmodified-since"), h); ok && modified.After(since) {
		return 412
	}
	if list := r.field("if-none-match"); list != "" {
		if matches(list, etag, false) {
			return 304
		}
	} else if since, modified, ok := dates(r.field("if-modified-since"), h); ok && !modified.After(since) {
		return 304
	}
	return 0
}

// isCurrent reports whether a client that asks for a range has the rest of what is to be
// sent now, as far as it wants to know (If-Range; RFC 9110, 13.1.5).
func isCurrent(r *request, h psgi.Header) bool {
	field := r.field("if-range")
	if field == "" {
		return true
	}
	if strings.HasSuffix(field, `"`) {
		etag, _ := h.Get("ETag")
		return !strings.HasPrefix(etag, "W/") && field == etag
	}
	since, modified, ok := dates(field, h)
	return ok && modified.Equal(since)
}

// dates reads the date of a condition and that of Last-Modified. It returns false if there
// are not both.
func dates(field string, h psgi.Header) (since, modified time.Time, ok bool) {
	last, found := h.Get("Last-Modified")
	if field == "" || !found {
		return since, modified, false
	}
	since, err := http.ParseTime(field)
	if err != nil {
		return since, modified, false
	}
	modified, err = http.ParseTime(last)
	return since, modified, err == nil
}

// matches reports whether a list of entity tags holds one, or is *. A strong comparison
// wants neither to be weak. A list that is malformed ends there.
func matches(list, etag string, strong bool) bool {
	if strings.Trim(list, " \t") == "*" {
		return true
	}
	opaque, weak := strings.CutPrefix(etag, "W/")
	if opaque == "" || weak && strong {
		return false
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		rest, weak := strings.CutPrefix(list, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return false
		}
		end := strings.IndexByte(rest[1:], '"') + 2
		if end < 2 {
			return false
		}
		if rest[:end] == opaque && (!weak || !strong) {
			return true
		}
		list = rest[end:]
	}
}
