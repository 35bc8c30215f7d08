package server

import (
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// statusClientLeft stands in the access log for the status of a response that was
// not begun, as its client had left. It is nginx's number for that.
const statusClientLeft = 499

// accessLog writes a line for each request, in the combined format of Apache. A nil
// one writes nothing.
type accessLog struct{ to io.Writer }

// newAccessLog makes the log that writes to w: a line for each Write, from any
// goroutine. Errors of w are its own affair. Nil is no log.
func newAccessLog(w io.Writer) *accessLog {
	if w == nil {
		return nil
	}
	return &accessLog{w}
}

// visit is what a line says. What is not known is empty, or nil.
type visit struct {
	remote                net.Addr
	start                 time.Time
	method, target, proto string
	status                int
	bytes                 int64 // of the body, without what frames it
	referer, agent        string
}

var lines = sync.Pool{New: func() any { return new([]byte) }}

// write writes the line of a visit.
func (a *accessLog) write(v *visit) {
	line, _ := lines.Get().(*[]byte)
	*line = appendVisit((*line)[:0], v)
	_, _ = a.to.Write(*line)
	lines.Put(line)
}

// appendVisit appends: host ident user [time] "request line" status bytes "referer" "agent".
// Ident and user are not known to the server.
func appendVisit(dst []byte, v *visit) []byte {
	dst = appendHost(dst, v.remote)
	dst = append(dst, " - - ["...)
	dst = v.start.AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	dst = append(dst, `] "`...)
	if v.method == "" {
		dst = append(dst, '-')
	} else {
		dst = append(appendEscaped(dst, v.method), ' ')
		dst = append(appendEscaped(dst, v.target), ' ')
		dst = appendEscaped(dst, v.proto)
	}
	dst = append(dst, `" `...)
	dst = append(strconv.AppendInt(dst, int64(v.status), 10), ' ')
	if v.bytes == 0 {
		dst = append(dst, '-')
	} else {
		dst = strconv.AppendInt(dst, v.bytes, 10)
	}
	dst = append(appendQuoted(append(dst, ' '), v.referer), ' ')
	return append(appendQuoted(dst, v.agent), '\n')
}

// appendHost appends the address of a client, or a dash where it has none, as on a
// unix socket.
func appendHost(dst []byte, remote net.Addr) []byte {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().AppendTo(dst)
	}
	return append(dst, '-')
}

// appendQuoted appends the value of a field, or a dash for one that is missing.
func appendQuoted(dst []byte, value string) []byte {
	if value == "" {
		return append(dst, `"-"`...)
	}
	return append(appendEscaped(append(dst, '"'), value), '"')
}

// appendEscaped appends what a client has sent so that it stays within its quotes
// and its line, as Apache does: \" and \\, names for some control characters, and
// \xhh for everything else that is not printable ASCII.
func appendEscaped(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ' && c <= '~':
			dst = append(dst, c)
		case c >= '\b' && c <= '\r' && c != '\f':
			dst = append(dst, '\\', "btnv_r"[c-'\b'])
		default:
			dst = append(dst, '\\', 'x', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// counted is an exchange that counts the bytes of the body it sends.
type counted struct {
	exchange
	bytes int64
}

func (c *counted) write(p []byte) error {
	err := c.exchange.write(p)
	if err == nil {
		c.bytes += int64(len(p))
	}
	return err
}

func (c *counted) sendFile(f *psgi.File) (int64, error) {
	n, err := c.exchange.sendFile(f)
	c.bytes += n
	return n, err
}

// note writes the line of a task that has ended.
func (a *accessLog) note(t *task) {
	if a == nil {
		return
	}
	r := t.x.request()
	referer, _ := r.header.Get("Referer")
	agent, _ := r.header.Get("User-Agent")
	status := t.status
	if !t.begun {
		status = statusClientLeft
	}
	a.write(&visit{
		remote: t.remote(), start: t.start, method: r.method, target: r.target, proto: r.proto,
		status: status, bytes: t.counted.bytes, referer: referer, agent: agent,
	})
}

// refused writes the line of a request that was refused before it could be read
// whole: what it asked for is not known.
func (a *accessLog) refused(remote net.Addr, status int, bytes int) {
	if a != nil {
		a.write(&visit{remote: remote, start: time.Now(), status: status, bytes: int64(bytes)})
	}
}
