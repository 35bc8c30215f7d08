package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// spool is the folder for request bodies that are too large to travel in a frame, and
// for what slow clients are still to be sent. It is private to one server, and goes when the server has another one, or with it.
type spool struct {
	base string // where the folder is made; "" is the system's place for temporary files

	mu      sync.Mutex
	dir     string   // "" while there is none
	lock    *os.File // the folder, locked for as long as this process lives
	bodies  int      // files in it that are in use
	retired bool     // only requests that began before use it
}

const (
	spoolPrefix = "thralld-spool-"
	bodyPrefix  = "body-"
)

// ready makes the folder, unless it is there, and returns its absolute path.
func (s *spool) ready() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folder()
}

func (s *spool) folder() (string, error) {
	if s.dir != "" {
		if _, err := os.Lstat(s.dir); err == nil {
			return s.dir, nil
		}
		// It was tidied away, as systems do with what lies unused for days.
		_ = s.lock.Close()
		s.dir = ""
	}
	base := s.base
	if base == "" {
		base = os.TempDir()
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", fmt.Errorf("find spool folder: %w", err)
	}
	sweep(base)
	if s.dir, s.lock, err = makeFolder(base); err != nil {
		return "", fmt.Errorf("make spool folder: %w", err)
	}
	return s.dir, nil
}

// makeFolder makes a folder and locks it. Between the two another server may take
// it for one that was left, and sweep it; that is no reason not to start.
func makeFolder(base string) (dir string, lock *os.File, err error) {
	for range 5 {
		if dir, err = os.MkdirTemp(base, spoolPrefix); err != nil {
			return "", nil, err
		}
		if lock, err = lockFolder(dir); err == nil {
			return dir, lock, nil
		}
		_ = os.Remove(dir)
	}
	return "", nil, err
}

// lockFolder opens a folder and locks it, unless another process has.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes the folders that servers of this user left behind when they were
// killed: nobody holds their lock. It removes bodies and empty folders only, so
// that it cannot harm what merely has such a name.
func sweep(base string) {
	folders, _ := filepath.Glob(filepath.Join(base, spoolPrefix+"*")) // an error is of the pattern
	for _, dir := range folders {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !isOwn(info) {
			continue
		}
		if f, err := lockFolder(dir); err == nil {
			bodies, _ := filepath.Glob(filepath.Join(dir, bodyPrefix+"*"))
			for _, body := range bodies {
				_ = os.Remove(body)
			}
			_ = os.Remove(dir)
			_ = f.Close()
		}
	}
}

func isOwn(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// create makes a file for one body, which only this user can read; remove ends it.
// A request that began before the spool was retired still gets one.
func (s *spool) create() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.folder()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, bodyPrefix)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make spool file: %w", err), s.tidy())
	}
	s.bodies++
	return f, nil
}

// unnamed makes a file for one body that is gone when it is closed.
func (s *spool) unnamed() (*os.File, error) {
	f, err := s.create()
	if err == nil {
		s.remove(f.Name())
	}
	return f, err
}

// remove removes a body's file, and with the last one a folder that is retired.
func (s *spool) remove(file string) {
	_ = os.Remove(file)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies--
	_ = s.tidy() // a folder that cannot be removed is swept later
}

// retire removes the folder as soon as no body is in it.
func (s *spool) retire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	return s.tidy()
}

// tidy removes the folder if nobody needs it any more.
func (s *spool) tidy() error {
	if !s.retired || s.bodies > 0 || s.dir == "" {
		return nil
	}
	err := errors.Join(os.RemoveAll(s.dir), s.lock.Close())
	if s.dir = ""; err != nil {
		return fmt.Errorf("remove spool folder: %w", err)
	}
	return nil
}
