package server

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// spool is the folder for request bodies that are too large to travel in a frame.
// It is private to one server, and goes with it.
type spool struct {
	base string // where the folder is made; "" is the system's place for temporary files

	mu     sync.Mutex
	dir    string // "" while there is none
	closed bool
}

// ready makes the folder, unless it is there, and returns its absolute path.
func (s *spool) ready() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", fmt.Errorf("open spool folder: %w", os.ErrClosed)
	}
	if s.dir != "" {
		if _, err := os.Lstat(s.dir); err == nil {
			return s.dir, nil
		}
		// It was tidied away, as systems do with what lies unused for days.
	}
	base := s.base
	if base == "" {
		base = os.TempDir()
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", fmt.Errorf("find spool folder: %w", err)
	}
	if s.dir, err = os.MkdirTemp(base, "thralld-"); err != nil {
		return "", fmt.Errorf("make spool folder: %w", err)
	}
	return s.dir, nil
}

// create makes a file for one body, which only this user can read.
func (s *spool) create() (*os.File, error) {
	dir, err := s.ready()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "body-")
	if err != nil {
		return nil, fmt.Errorf("make spool file: %w", err)
	}
	return f, nil
}

// close removes the folder and all that is left in it.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove spool folder: %w", err)
	}
	return nil
}
