package server

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// statusClientLeft stands in the access log for the status of a response that was
// not begun, as its client had left. It is nginx's number for that.
const statusClientLeft = 499

// accessLog writes a line for each request. A nil one writes nothing.
type accessLog struct {
	to     io.Writer
	format *AccessFormat
}

// newAccessLog makes the log that writes to w: a line for each Write, from any
// goroutine. Errors of w are its own affair. Nil is no log; the format that is nil is
// the combined one.
func newAccessLog(w io.Writer, format *AccessFormat) *accessLog {
	if w == nil {
		return nil
	}
	if format == nil {
		format = combined
	}
	return &accessLog{w, format}
}

// visit is what a line may say. What is not known is zero.
type visit struct {
	r      *request // nil: it could not be read
	at     place    // empty if the target leads nowhere
	remote string   // the client's address; "" if it has none, as on a unix socket
	id     string

	start, end time.Time
	called     time.Time // when it was given to the app; only where the format asks how long it waits
	status     int
	bytes      int64 // of the body, without what frames it

	told               *forwarded // what trusted proxies have said; nil if nothing
	pid                int        // of the worker that answered; 0: none did
	worker, generation int
	appTime, waitTime  time.Duration

	sent []string // what the response has of the fields that the format names
}

// longestKept is how many bytes of memory for a line are kept for the next one.
const longestKept = 16 << 10

var lines = sync.Pool{New: func() any { return new([]byte) }}

// write writes the line of a visit.
func (a *accessLog) write(v *visit) {
	line, _ := lines.Get().(*[]byte)
	*line = a.format.appendLine((*line)[:0], v)
	_, _ = a.to.Write(*line)
	if cap(*line) <= longestKept {
		lines.Put(line)
	}
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

// located notes where the target of a task leads.
func (a *accessLog) located(t *task, at place) {
	if a != nil {
		t.visit.at = at
	}
}

// calling notes that a task is about to be given to the app.
func (a *accessLog) calling(t *task) {
	if a != nil && a.format.waits {
		t.visit.called = time.Now()
	}
}

// answered notes who has answered a task.
func (a *accessLog) answered(t *task, r *psgi.Response) {
	if a == nil {
		return
	}
	v := &t.visit
	v.pid, v.worker, v.generation, v.appTime = r.PID, r.Worker, r.Generation, r.AppTime
	if a.format.waits {
		v.waitTime = max(0, time.Since(v.called)-r.AppTime)
	}
}

// begun notes what a line says of the head of a response, which does not outlive it.
func (a *accessLog) begun(t *task, h *head) {
	if a != nil && len(a.format.sent) > 0 {
		t.visit.sent = a.format.appendSent(t.visit.sent[:0], h)
	}
}

// note writes the line of a task that has ended.
func (a *accessLog) note(t *task) {
	if a == nil {
		return
	}
	v := &t.visit
	v.r, v.id, v.start, v.end = t.x.request(), t.id, t.start, time.Now()
	v.remote, v.told = t.clientAddress(), t.told
	v.status, v.bytes = t.status, t.counted.bytes
	if !t.begun {
		v.status = statusClientLeft
	}
	a.write(v)
	sent := v.sent
	clear(sent)
	*v = visit{sent: sent[:0]}
}

// refused writes the line of a request that was refused before it could be read
// whole: what it asked for is not known.
func (a *accessLog) refused(remote net.Addr, status int, bytes int) {
	if a == nil {
		return
	}
	now := time.Now()
	v := visit{start: now, end: now, status: status, bytes: int64(bytes)}
	if tcp, ok := remote.(*net.TCPAddr); ok {
		v.remote = tcp.IP.String()
	}
	a.write(&v)
}
