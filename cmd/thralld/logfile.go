package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// A logFile is a file that lines are appended to, each with one Write, and that can
// be opened anew under its path, after somebody has renamed it. It may be written to
// from any goroutine, also while it is opened anew.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

// logMode is that of a log file that did not exist: what an app prints may be
// nobody else's business.
const logMode = 0o640

// openLogFile opens the file, or makes it. Who will write and reopen it is told,
// since root opens it for them. /dev/stderr and /dev/stdout are this process's own
// streams, as the kernel would not let another user open them.
func openLogFile(path string, writer *identity) (*logFile, error) {
	l := &logFile{path: path}
	if l.file = stream(path); l.file != nil {
		return l, nil
	}
	var err error
	if l.file, err = openFor(writer, path); err != nil {
		return nil, fmt.Errorf("open log file %s: %w", path, cause(err))
	}
	return l, nil
}

// stream is the stream of this process that a path stands for, or nil. That stderr alone
// is one, and not a file's name, only the access log says; other paths are absolute.
func stream(path string) *os.File {
	switch path {
	case "/dev/stderr", "stderr":
		return os.Stderr
	case "/dev/stdout", "stdout":
		return os.Stdout
	}
	return nil
}

// Write appends to the file that is open now.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(p)
}

// Sync does nothing: the kernel has each line when Write returns.
func (l *logFile) Sync() error { return nil }

// reopen opens the path anew. If that fails, the file that was open stays in use.
// Lines that are written meanwhile go into one of the two. A FIFO that nobody reads is
// a failure: to wait for its reader would hold up the end of the daemon.
func (l *logFile) reopen() error {
	if stream(l.path) != nil {
		return nil
	}
	f, err := os.OpenFile(l.path, appending|syscall.O_NONBLOCK, logMode)
	if err != nil {
		return fmt.Errorf("reopen log file %s: %w", l.path, cause(err))
	}
	l.mu.Lock()
	old := l.file
	l.file = f
	l.mu.Unlock()
	_ = old.Close()
	return nil
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stream(l.path) == nil {
		_ = l.file.Close()
	}
}
