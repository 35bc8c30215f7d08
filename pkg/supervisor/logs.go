package supervisor

import (
	"bytes"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

const (
	maxLine   = 16 << 10 // longer lines of a worker are cut in pieces
	pipeSize  = 64 << 10 // what a pipe holds
	lastLines = 20       // how many lines are kept to explain a worker's death
)

// The runtime puts what the app prints between markBegin, the request's id,
// markEnd and markBegin, markEnd (Thralld::Log).
const (
	markBegin = 0x1e
	markEnd   = 0x1f
	maxMark   = 1 + psgi.MaxID // what is longer is no mark
)

// logPipe is where a worker's STDOUT and STDERR end. Each line is handed on as
// soon as it is complete, with the id of the request that printed it, if the line
// is marked. The pipe can be drained from elsewhere, so that the lines of a
// request are known to be out when its answer is.
type logPipe struct {
	file *os.File // ours, non-blocking
	fd   int      // of file; another file's when closed
	end  *os.File // the worker's
	emit func(line, request string)
	// printers is how many requests may be printing at a time; 0 means one. If
	// there are several, each has a line of its own.
	printers int

	mu      sync.Mutex
	closed  bool
	partial []byte
	mark    []byte // of an unfinished mark, with its markBegin
	printer string // who is printing now
	request string // who printed something of partial
	others  []partialLine
	last    []string
	buf     [4096]byte
}

func newLogPipe(emit func(line, request string)) (*logPipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &logPipe{
		file: os.NewFile(uintptr(fds[0]), "log"), fd: fds[0],
		end:  os.NewFile(uintptr(fds[1]), "log, worker's end"),
		emit: emit,
	}, nil
}

// run hands on lines until the pipe is closed.
func (p *logPipe) run() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(uintptr) (ended bool) {
		for {
			switch p.read() {
			case pipeEmpty:
				return false
			case pipeEnded:
				return true
			case pipeFull:
			}
		}
	})
}

// drain hands on the lines that are there already, without waiting.
func (p *logPipe) drain() { p.read() }

// pipeState is how a read has left the pipe.
type pipeState int

const (
	pipeEmpty pipeState = iota // there was no more
	pipeFull                   // there may be more
	pipeEnded                  // there will be no more
)

// read takes in at most what a pipe holds: a child of the app may print without
// end, and whoever else waits for the lock must come to it.
func (p *logPipe) read() pipeState {
	p.mu.Lock()
	defer p.mu.Unlock()
	for left := pipeSize; left > 0; {
		if p.closed {
			return pipeEnded
		}
		n, errno := readNow(p.fd, p.buf[:])
		switch {
		case errno == unix.EAGAIN:
			return pipeEmpty
		case errno != 0 || n == 0:
			return pipeEnded
		default:
			p.split(p.buf[:n])
			left -= n
		}
	}
	return pipeFull
}

func (p *logPipe) split(b []byte) {
	for len(b) > 0 {
		if len(p.mark) > 0 {
			b = p.readMark(b)
			continue
		}
		at := bytes.IndexAny(b, "\n\x1e")
		if at < 0 {
			p.text(b)
			return
		}
		p.text(b[:at])
		if b[at] == '\n' {
			p.line()
		} else {
			p.mark = append(p.mark, markBegin)
		}
		b = b[at+1:]
	}
}

// readMark takes in the rest of a mark; what turns out to be none is text.
func (p *logPipe) readMark(b []byte) (rest []byte) {
	for i, c := range b {
		switch {
		case c == markEnd:
			p.turn(string(p.mark[1:]))
			p.mark = p.mark[:0]
			return b[i+1:]
		case c <= ' ' || c > '~' || len(p.mark) == maxMark:
			p.unmark()
			return b[i:]
		}
		p.mark = append(p.mark, c)
	}
	return nil
}

// partialLine is a line that one of several printers has begun.
type partialLine struct {
	printer string
	text    []byte
}

// turn gives the word to a request, or to whatever prints without marks. If
// several are printing, the line that was begun waits until its printer goes on.
func (p *logPipe) turn(to string) {
	from := p.printer
	p.printer = to
	if p.printers <= 1 || from == to {
		return
	}
	if len(p.partial) > 0 {
		p.others = append(p.others, partialLine{from, slices.Clone(p.partial)})
		p.partial = p.partial[:0]
	}
	at := slices.IndexFunc(p.others, func(l partialLine) bool { return l.printer == to })
	switch {
	case at >= 0:
		p.partial, p.request = append(p.partial, p.others[at].text...), to
		p.others = slices.Delete(p.others, at, at+1)
	case len(p.others) > p.printers:
		p.flush() // its request has ended, or is at rest
	}
}

// flush hands on the oldest line that waits for its printer.
func (p *logPipe) flush() {
	oldest := p.others[0]
	p.others = slices.Delete(p.others, 0, 1)
	text, request, printer := p.partial, p.request, p.printer
	p.partial, p.request, p.printer = oldest.text, oldest.printer, oldest.printer
	p.line()
	p.partial, p.request, p.printer = text, request, printer
}

// unmark makes text of what began like a mark.
func (p *logPipe) unmark() {
	p.text(p.mark)
	p.mark = p.mark[:0]
}

func (p *logPipe) text(b []byte) {
	if len(b) == 0 {
		return
	}
	p.partial = append(p.partial, b...)
	if p.printer != "" {
		p.request = p.printer
	}
	if len(p.partial) >= maxLine {
		p.line()
	}
}

func (p *logPipe) line() {
	line, request := string(bytes.TrimRight(p.partial, "\r")), p.request
	if request == "" {
		request = p.printer
	}
	p.partial, p.request = p.partial[:0], ""
	if len(p.last) == lastLines {
		p.last = append(p.last[:0], p.last[1:]...)
	}
	p.last = append(p.last, line)
	p.emit(line, request)
}

// finish hands on what a worker that has ended left behind, also a line without
// an end, and returns its last lines.
func (p *logPipe) finish() []string {
	p.drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unmark()
	if p.printers > 1 {
		p.turn("")
	}
	for len(p.others) > 0 {
		p.flush()
	}
	if len(p.partial) > 0 {
		p.line()
	}
	last := p.last
	p.last, p.printer = nil, ""
	return last
}

func (p *logPipe) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.file.Close()
	_ = p.end.Close()
}
