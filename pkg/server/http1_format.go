package server

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// statusLines are those of the statuses that have a name, without the version.
var statusLines = func() (lines [600]string) {
	for status := range lines {
		if text := http.StatusText(status); text != "" {
			lines[status] = " " + strconv.Itoa(status) + " " + text + "\r\n"
		}
	}
	return lines
}()

// appendStatusLine appends the first line of a response, in the version of the request.
func appendStatusLine(dst []byte, status int, old bool) []byte {
	if old {
		dst = append(dst, "HTTP/1.0"...)
	} else {
		dst = append(dst, "HTTP/1.1"...)
	}
	if 0 <= status && status < len(statusLines) && statusLines[status] != "" {
		return append(dst, statusLines[status]...)
	}
	dst = strconv.AppendInt(append(dst, ' '), int64(status), 10)
	return append(dst, " \r\n"...) // without a name, but not without the space (RFC 9112, 4)
}

// dateLine is the Date field of one second.
type dateLine struct {
	second int64
	line   string
}

var lastDate atomic.Pointer[dateLine]

// appendDate appends the Date field (RFC 9110, 6.6.1).
func appendDate(dst []byte, now time.Time) []byte {
	d := lastDate.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &dateLine{second, now.UTC().Format("Date: " + http.TimeFormat + "\r\n")}
		lastDate.Store(d)
	}
	return append(dst, d.line...)
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

func appendLength(dst []byte, length int64) []byte {
	dst = append(dst, "Content-Length: "...)
	return append(strconv.AppendInt(dst, length, 10), "\r\n"...)
}

func appendChunkSize(dst []byte, size int) []byte {
	return append(strconv.AppendInt(dst, int64(size), 16), "\r\n"...)
}
