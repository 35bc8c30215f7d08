package supervisor

import (
	"bytes"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	maxLine   = 16 << 10 // longer lines of a worker are cut in pieces
	lastLines = 20       // how many lines are kept to explain a worker's death
)

// logPipe is where a worker's STDOUT and STDERR end. Each line is handed on as
// soon as it is complete. It can be drained from elsewhere, so that the lines of
// a request are known to be out when its answer is.
type logPipe struct {
	file *os.File // ours, non-blocking
	end  *os.File // the worker's
	emit func(line string)

	mu      sync.Mutex
	closed  bool
	partial []byte
	last    []string
	buf     [4096]byte
}

func newLogPipe(emit func(string)) (*logPipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &logPipe{
		file: os.NewFile(uintptr(fds[0]), "log"),
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
	_ = raw.Read(func(fd uintptr) bool { return !p.drainFrom(int(fd)) })
}

// drain hands on the lines that are there already, without waiting.
func (p *logPipe) drain() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { p.drainFrom(int(fd)) })
}

// drainFrom reports whether more may come.
func (p *logPipe) drainFrom(fd int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		n, err := unix.Read(fd, p.buf[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return true
		case err != nil || n == 0:
			return false
		default:
			p.split(p.buf[:n])
		}
	}
	return false
}

func (p *logPipe) split(b []byte) {
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		p.partial = append(p.partial, line...)
		if !whole && len(p.partial) < maxLine {
			return
		}
		p.line()
		b = rest
	}
}

func (p *logPipe) line() {
	line := string(bytes.TrimRight(p.partial, "\r"))
	p.partial = p.partial[:0]
	if len(p.last) == lastLines {
		p.last = append(p.last[:0], p.last[1:]...)
	}
	p.last = append(p.last, line)
	p.emit(line)
}

// finish hands on what a worker that has ended left behind, also a line without
// an end, and returns its last lines.
func (p *logPipe) finish() []string {
	p.drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.partial) > 0 {
		p.line()
	}
	last := p.last
	p.last = nil
	return last
}

func (p *logPipe) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.file.Close()
	_ = p.end.Close()
}
