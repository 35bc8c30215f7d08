package server

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// maxRanges is how many ranges a client may ask for at a time. Each costs a head of its
// own and a read of the disk; players and download managers ask for one.
const maxRanges = 16

// byteRange is a part of a body that is not empty.
type byteRange struct{ offset, length int64 }

// part is a range with what comes before it in the body of a response.
type part struct {
	head string
	byteRange
}

// parseRanges reads a Range field about a body of size bytes (RFC 9110, 14.1.2) and returns
// the ranges that lie in it, as far as they do: none means that the client is to be told so.
// It returns false for what is to be ignored (14.2): other units, what is malformed,
// more than maxRanges, and several that are more than the whole body together.
func parseRanges(field string, size int64) (ranges []byteRange, ok bool) {
	unit, set, ok := strings.Cut(field, "=")
	if !ok || !equalFold(strings.Trim(unit, " \t"), "bytes") {
		return nil, false
	}
	asked, total := 0, int64(0)
	for spec := range strings.SplitSeq(set, ",") {
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue
		}
		r, ok := parseRange(spec, size)
		if asked++; !ok || asked > maxRanges {
			return nil, false
		}
		if r.length > 0 {
			ranges = append(ranges, r)
			total += r.length
		}
	}
	if asked == 0 || len(ranges) > 1 && total > size {
		return nil, false
	}
	return ranges, true
}

// parseRange reads first-last, first- or -length. Of a range beyond the body the length is 0.
func parseRange(spec string, size int64) (r byteRange, ok bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return r, false
	}
	if first == "" {
		n, ok := parsePosition(last)
		n = min(n, size)
		return byteRange{size - n, n}, ok
	}
	from, ok := parsePosition(first)
	to := size - 1
	if ok && last != "" {
		if to, ok = parsePosition(last); to < from {
			return r, false
		}
		to = min(to, size-1)
	}
	if !ok || from >= size {
		return r, ok
	}
	return byteRange{from, to - from + 1}, true
}

// parsePosition reads a number of bytes. One that is too large for an int64 lies beyond
// every body, and so does what is returned for it.
func parsePosition(text string) (n int64, ok bool) {
	const most = 1<<63 - 1
	if text == "" {
		return 0, false
	}
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (most-9)/10 {
			n = most
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// narrow makes of a plan for a body of size bytes one for the ranges of it that the client
// asks for, or one that tells it that there are no such (RFC 9110, 14.2, 15.3.7, 15.5.17).
// Ranges are defined for GET only.
func (p *plan) narrow(r *request, size int64) {
	field := r.field("range")
	if field == "" || r.method != "GET" || p.head.status != 200 || size == 0 || !isCurrent(r, p.head.header) {
		return
	}
	ranges, ok := parseRanges(field, size)
	switch {
	case !ok:
	case len(ranges) == 0:
		p.head.status, p.head.body, p.head.length = 416, false, 0
		p.head.header = append(strip(p.head.header, aboutContent...), psgi.Field{
			Name: "Content-Range", Value: "bytes */" + strconv.FormatInt(size, 10),
		})
	case len(ranges) == 1:
		p.head.status, p.head.length = 206, ranges[0].length
		p.parts = []part{{"", ranges[0]}}
		p.head.header = append(p.head.header, psgi.Field{Name: "Content-Range", Value: ranges[0].contentRange(size)})
	default:
		p.multipart(ranges, size)
	}
}

// multipart plans several ranges (RFC 9110, 14.6). The Content-Type of the body is that of
// each part; the response has one of its own.
func (p *plan) multipart(ranges []byteRange, size int64) {
	boundary := rand.Text()
	described := ""
	if kind, ok := p.head.header.Get("Content-Type"); ok {
		described = "Content-Type: " + kind + "\r\n"
	}
	p.tail = "\r\n--" + boundary + "--\r\n"
	p.head.status, p.head.length = 206, int64(len(p.tail))
	for i, r := range ranges {
		head := "--" + boundary + "\r\n" + described + "Content-Range: " + r.contentRange(size) + "\r\n\r\n"
		if i > 0 {
			head = "\r\n" + head
		}
		p.parts = append(p.parts, part{head, r})
		p.head.length += int64(len(head)) + r.length
	}
	p.head.header = append(strip(p.head.header, "content-type"), psgi.Field{
		Name: "Content-Type", Value: "multipart/byteranges; boundary=" + boundary,
	})
}

// contentRange is the value of a Content-Range field.
func (r byteRange) contentRange(size int64) string {
	text := strconv.AppendInt([]byte("bytes "), r.offset, 10)
	text = strconv.AppendInt(append(text, '-'), r.offset+r.length-1, 10)
	return string(strconv.AppendInt(append(text, '/'), size, 10))
}

// sendParts sends the parts of a body that is a file or, if that is nil, bytes.
func (p *plan) sendParts(x exchange, f *psgi.File, body []byte) error {
	for _, part := range p.parts {
		if err := x.write([]byte(part.head)); err != nil {
			return errClientLeft
		}
		if f != nil {
			piece := psgi.File{File: f.File, Offset: f.Offset + part.offset, Length: part.length}
			if err := sendFile(x, &piece); err != nil {
				return err
			}
		} else if err := x.write(body[part.offset : part.offset+part.length]); err != nil {
			return errClientLeft
		}
	}
	if err := x.write([]byte(p.tail)); err != nil {
		return errClientLeft
	}
	return nil
}
