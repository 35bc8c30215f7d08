package server

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// appendJSON appends the whole of what is known of a visit as a JSON object, on one
// line. Each has the same keys: what is not known is null.
func appendJSON(dst []byte, v *visit) []byte {
	dst = append(dst, `{"time":"`...)
	dst = v.start.AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	dst = append(dst, '"')
	dst = appendMember(dst, "remote_addr", v.remote)
	dst = appendMember(dst, "method", v.method())
	dst = appendMember(dst, "uri", v.target())
	dst = appendMember(dst, "protocol", v.proto())
	dst = appendMember(dst, "scheme", v.scheme())
	dst = appendMember(dst, "host", v.host())
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(v.status), 10)
	dst = strconv.AppendInt(append(dst, `,"bytes":`...), v.bytes, 10)
	dst = appendMember(dst, "referer", v.received("referer"))
	dst = appendMember(dst, "user_agent", v.received("user-agent"))
	dst = appendSeconds(append(dst, `,"duration":`...), v.duration())
	dst = appendMember(dst, "request_id", v.id)
	if v.pid == 0 {
		return append(dst, `,"worker":null,"generation":null,"pid":null,"app_time":null,"wait_time":null}`...)
	}
	dst = strconv.AppendInt(append(dst, `,"worker":`...), int64(v.worker), 10)
	dst = strconv.AppendInt(append(dst, `,"generation":`...), int64(v.generation), 10)
	dst = strconv.AppendInt(append(dst, `,"pid":`...), int64(v.pid), 10)
	dst = appendSeconds(append(dst, `,"app_time":`...), v.appTime)
	dst = appendSeconds(append(dst, `,"wait_time":`...), v.waitTime)
	return append(dst, '}')
}

func (v *visit) scheme() string {
	switch {
	case v.r == nil:
		return ""
	case v.told != nil && v.told.scheme != "":
		return v.told.scheme
	}
	return v.r.scheme
}

// received is the first field of that name, in lower case, that the client has sent.
func (v *visit) received(name string) string {
	if v.r == nil {
		return ""
	}
	return first(v.r.header, name)
}

func appendMember(dst []byte, key, value string) []byte {
	dst = append(append(append(dst, `,"`...), key...), `":`...)
	if value == "" {
		return append(dst, "null"...)
	}
	return appendJSONString(dst, value)
}

// appendJSONString appends text as JSON (RFC 8259, 7). What is not printable is written
// as \u, so that no terminal heeds it, and bytes that are no UTF-8 are U+FFFD.
func appendJSONString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		if c := text[i]; classes[c]&plainClass != 0 {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			dst = appendUnicode(dst, r)
		} else {
			dst = append(dst, text[i:i+size]...)
		}
		i += size
	}
	return append(dst, '"')
}

// appendUnicode appends a character as \u and four digits, or as two of these.
func appendUnicode(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	if r > 0xffff {
		r -= 0x10000
		dst = appendUnicode(dst, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return append(dst, '\\', 'u', digits[r>>12], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
