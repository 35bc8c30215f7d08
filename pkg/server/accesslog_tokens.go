package server

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// token makes the appender of a token. If word is set its values are to be one word.
type token func(word bool) appender

// The tokens of a letter. As in Apache and Plack, a dash stands for what is missing.
var tokens = map[byte]token{
	'%': plain(func(dst []byte, _ *visit) []byte { return append(dst, '%') }),
	'a': escaped(func(v *visit) string { return v.remote }),
	'b': plain(func(dst []byte, v *visit) []byte { return appendCount(dst, v.bytes) }),
	'B': plain(func(dst []byte, v *visit) []byte { return strconv.AppendInt(dst, v.bytes, 10) }),
	'D': plain(func(dst []byte, v *visit) []byte { return strconv.AppendInt(dst, v.duration().Microseconds(), 10) }),
	'h': escaped(func(v *visit) string { return v.remote }),
	'H': escaped((*visit).proto),
	'l': unknownToken,
	'm': escaped((*visit).method),
	'p': escaped(func(v *visit) string { _, port := v.server(); return port }),
	'P': plain(func(dst []byte, v *visit) []byte { return appendCount(dst, int64(v.pid)) }),
	'q': query,
	'r': plain(appendRequest),
	's': plain(func(dst []byte, v *visit) []byte { return strconv.AppendInt(dst, int64(v.status), 10) }),
	't': plain(appendTime),
	'T': plain(func(dst []byte, v *visit) []byte { return strconv.AppendInt(dst, int64(v.duration()/time.Second), 10) }),
	'u': unknownToken, // only the app knows its users
	'U': path,
	'v': escaped(func(v *visit) string { name, _ := v.server(); return name }),
	'V': escaped(func(v *visit) string {
		if host := v.host(); host != "" {
			return host
		}
		name, _ := v.server()
		return name
	}),
}

// The tokens of thralld's own: %{request_id}x.
var own = map[string]token{
	"request_id": escaped(func(v *visit) string { return v.id }),
	"duration":   plain(func(dst []byte, v *visit) []byte { return appendSeconds(dst, v.duration()) }),
	"worker":     ofWorker(func(dst []byte, v *visit) []byte { return strconv.AppendInt(dst, int64(v.worker), 10) }),
	"generation": ofWorker(func(dst []byte, v *visit) []byte { return strconv.AppendInt(dst, int64(v.generation), 10) }),
	"app_time":   ofWorker(func(dst []byte, v *visit) []byte { return appendSeconds(dst, v.appTime) }),
	"wait_time":  ofWorker(func(dst []byte, v *visit) []byte { return appendSeconds(dst, v.waitTime) }),
}

func ownNames() string { return strings.Join(slices.Sorted(maps.Keys(own)), ", ") }

// plain is a token whose values have nothing in them that a client could choose, or
// escape it themselves.
func plain(a appender) token { return func(bool) appender { return a } }

// escaped is a token whose values are escaped.
func escaped(value func(*visit) string) token {
	return func(word bool) appender {
		return func(dst []byte, v *visit) []byte { return appendValue(dst, value(v), word) }
	}
}

// ofWorker is a token of a request that a worker has answered.
func ofWorker(a appender) token {
	return plain(func(dst []byte, v *visit) []byte {
		if v.pid == 0 {
			return append(dst, '-')
		}
		return a(dst, v)
	})
}

var unknownToken = plain(func(dst []byte, _ *visit) []byte { return append(dst, '-') })

// received is a field of the request. Fields of one name are joined, as for the app.
func received(name string) token {
	return func(word bool) appender {
		if name == "host" {
			return escaped((*visit).host)(word)
		}
		return func(dst []byte, v *visit) []byte {
			if v.r == nil {
				return append(dst, '-')
			}
			start := len(dst)
			for _, f := range v.r.header {
				if !equalFold(f.Name, name) || f.Value == "" {
					continue
				}
				if len(dst) > start {
					dst = appendEscaped(dst, separator(name), word)
				}
				dst = appendEscaped(dst, f.Value, word)
			}
			if len(dst) == start {
				return append(dst, '-')
			}
			return dst
		}
	}
}

// sent is the field of the response that has this place among those of the format.
func sent(index int) token {
	return escaped(func(v *visit) string {
		if index < len(v.sent) {
			return v.sent[index]
		}
		return ""
	})
}

func path(word bool) appender {
	return func(dst []byte, v *visit) []byte {
		if v.at.uri == "" || v.at.script+v.at.path == "" { // of a target that leads nowhere, or of *
			before, _, _ := strings.Cut(v.target(), "?")
			return appendValue(dst, before, word)
		}
		return appendEscaped(appendEscaped(dst, v.at.script, word), v.at.path, word)
	}
}

func query(word bool) appender {
	return func(dst []byte, v *visit) []byte {
		asked := v.at.query
		if v.at.uri == "" {
			_, asked, _ = strings.Cut(v.target(), "?")
		}
		if asked == "" {
			return dst
		}
		return appendEscaped(append(dst, '?'), asked, word)
	}
}

// appendRequest appends the first line of a request, as it was sent.
func appendRequest(dst []byte, v *visit) []byte {
	if v.r == nil {
		return append(dst, '-')
	}
	dst = append(appendEscaped(dst, v.r.method, false), ' ')
	dst = append(appendEscaped(dst, v.r.target, false), ' ')
	return appendEscaped(dst, v.r.proto, false)
}

func appendTime(dst []byte, v *visit) []byte {
	return append(v.start.AppendFormat(append(dst, '['), "02/Jan/2006:15:04:05 -0700"), ']')
}

func (v *visit) duration() time.Duration { return max(0, v.end.Sub(v.start)) }

func (v *visit) method() string {
	if v.r == nil {
		return ""
	}
	return v.r.method
}

func (v *visit) target() string {
	if v.r == nil {
		return ""
	}
	return v.r.target
}

func (v *visit) proto() string {
	if v.r == nil {
		return ""
	}
	return v.r.proto
}

// host is the name that the client used, with its port, or "".
func (v *visit) host() string {
	switch {
	case v.told != nil && v.told.host != "":
		return v.told.host
	case v.at.host == "" && v.r != nil:
		return v.r.host
	}
	return v.at.host
}

// server is the name and the port of the server, as the app finds them.
func (v *visit) server() (name, port string) {
	switch {
	case v.r == nil:
		return "", ""
	case v.r.serverName != "":
		return v.r.serverName, v.r.serverPort
	}
	return splitHost(v.host(), v.scheme())
}

// appendCount appends a number, or a dash for zero.
func appendCount(dst []byte, n int64) []byte {
	if n == 0 {
		return append(dst, '-')
	}
	return strconv.AppendInt(dst, n, 10)
}

// appendSeconds appends a time that is not negative in seconds, to the microsecond.
func appendSeconds(dst []byte, d time.Duration) []byte {
	micros := d.Microseconds()
	dst = append(strconv.AppendInt(dst, micros/1e6, 10), '.')
	for rest, unit := micros%1e6, int64(1e5); unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+rest/unit%10))
	}
	return dst
}

// appendValue appends a value, escaped, or a dash for one that is missing.
func appendValue(dst []byte, value string, word bool) []byte {
	if value == "" {
		return append(dst, '-')
	}
	return appendEscaped(dst, value, word)
}

// appendEscaped appends what somebody else has sent so that it stays within its quotes
// and its line, as Apache does: \" and \\, names for some control characters, and
// \xhh for everything else that is not printable ASCII; of a word for blanks, too.
func appendEscaped(dst []byte, text string, word bool) []byte {
	const digits = "0123456789abcdef"
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c > ' ' && c <= '~', c == ' ' && !word:
			dst = append(dst, c)
		case c >= '\b' && c <= '\r' && c != '\f':
			dst = append(dst, '\\', "btnv_r"[c-'\b'])
		default:
			dst = append(dst, '\\', 'x', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
