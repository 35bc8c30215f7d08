package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/server"
)

// An accessFile is where lines of the access log go: a file, a stream of this process,
// or nowhere, if path is "".
type accessFile struct {
	path string
	file *os.File
	most int // bytes of a write; 0: any number
}

// pipeBuf is how many bytes a pipe takes as one, also while others write into it
// (pipe(7)).
const pipeBuf = 4096

func newAccessFile(path string, file *os.File) *accessFile {
	f := &accessFile{path: path, file: file}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		f.most = pipeBuf
	}
	return f
}

// firstAccessFile opens the access log of a start, for who will write it.
func firstAccessFile(path string, writer *identity) (*accessFile, error) {
	if path == "" {
		return &accessFile{}, nil
	}
	l, err := openLogFile(path, writer)
	if err != nil {
		return nil, err
	}
	return newAccessFile(path, l.file), nil
}

// openAccessFile opens the access log of a daemon that serves. A FIFO that nobody reads
// is a failure: to wait for its reader would hold up everything else.
func openAccessFile(path string) (*accessFile, error) {
	if path == "" {
		return &accessFile{}, nil
	}
	if file := stream(path); file != nil {
		return newAccessFile(path, file), nil
	}
	file, err := os.OpenFile(path, appending|syscall.O_NONBLOCK, logMode)
	if err != nil {
		return nil, fmt.Errorf("open log file %s: %w", path, cause(err))
	}
	return newAccessFile(path, file), nil
}

// write writes lines, and returns how many bytes of them it has written. A pipe gets
// whole lines at a time, as many as it takes as one.
func (f *accessFile) write(lines []byte) (written int, err error) {
	if f.file == nil {
		return len(lines), nil
	}
	for err == nil && written < len(lines) {
		piece := lines[written:]
		if f.most > 0 && len(piece) > f.most {
			end := bytes.LastIndexByte(piece[:f.most], '\n') + 1
			if end == 0 { // a line that is longer
				end = bytes.IndexByte(piece, '\n') + 1
			}
			piece = piece[:end]
		}
		var n int
		n, err = f.file.Write(piece)
		written += n
	}
	return written, err
}

func (f *accessFile) close() {
	if f.file != nil && stream(f.path) == nil {
		_ = f.file.Close()
	}
}

// checkAccessFormat adds to what is wrong with a configuration what is wrong with the
// format of its access log, whose language the server knows.
func checkAccessFormat(cfg *config.Config, mistakes error) (*config.Config, error) {
	if cfg == nil {
		return cfg, mistakes
	}
	_, err := server.ParseAccessFormat(cfg.AccessLogFormat)
	var wrong server.FormatMistakes
	if !errors.As(err, &wrong) {
		return cfg, mistakes
	}
	for _, problem := range wrong {
		mistakes = errors.Join(mistakes, mistaken(cfg, "access_log_format", "%s", problem))
	}
	return cfg, mistakes
}
