package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A pidFile tells others the process id of the daemon. It is locked for as long as
// the daemon lives, and it is the lock, not what the file says, that tells a daemon
// that runs from one that was killed: a number may be somebody else's by now.
type pidFile struct {
	path string
	file *os.File // open and locked
}

// longestPID is how much of a file that is in the way is looked at, in bytes.
const longestPID = 32

// writePID writes the id of this process into the file at path, which it makes or,
// if it is another daemon's that has ended, takes over. It leaves alone what is no
// pid file, and what others may have prepared: links, and files of other users. The
// caller calls remove in the end. With no path there is no file, and nil to remove.
func writePID(path string) (*pidFile, error) {
	if path == "" {
		return nil, nil
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o644)
		if errors.Is(err, syscall.ELOOP) {
			return nil, fmt.Errorf("pid file %s: a symbolic link is in its place; remove it", path)
		}
		if err != nil {
			return nil, fmt.Errorf("pid file %s: %w", path, cause(err))
		}
		p := &pidFile{path, f}
		if err := p.claim(); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("pid file %s: %w", path, err)
		}
		if !p.inPlace() {
			_ = f.Close() // the one who had it has just removed it
			continue
		}
		if err := p.write(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
			p.remove()
			return nil, fmt.Errorf("pid file %s: %w", path, cause(err))
		}
		return p, nil
	}
}

// claim locks the file, if it is one that may be written to.
func (p *pidFile) claim() error {
	info, err := p.file.Stat()
	if err != nil {
		return cause(err)
	}
	stat, _ := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("something that is not a file is in its place")
	case stat.Nlink > 1:
		return errors.New("the file has another name, too, and may be somebody else's; remove it")
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("the file belongs to another user (number %d); remove it", stat.Uid)
	}
	text, err := p.read()
	if err != nil {
		return err
	}
	err = unix.Flock(int(p.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return taken(text)
	case err != nil:
		return fmt.Errorf("lock it: %w", err)
	}
	return nil
}

// read returns the number in the file, or "" if there is none.
func (p *pidFile) read() (string, error) {
	text := make([]byte, longestPID)
	n, err := p.file.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", cause(err)
	}
	number := strings.TrimSpace(string(text[:n]))
	if number == "" {
		return "", nil
	}
	if pid, err := strconv.Atoi(number); err != nil || pid < 1 || n == longestPID {
		return "", errors.New("the file in its place is no pid file: it holds something else")
	}
	return number, nil
}

// taken says who has the file.
func taken(pid string) error {
	command, err := os.ReadFile("/proc/" + pid + "/cmdline")
	words := strings.Fields(strings.ReplaceAll(string(command), "\x00", " "))
	if pid == "" || err != nil || len(words) == 0 {
		return errors.New("another process, which it does not name, has locked it; remove the file if that is no thralld")
	}
	return fmt.Errorf("thralld runs already, as process %s (%s)", pid, strings.Join(words, " "))
}

// inPlace reports whether the file is still what its path leads to.
func (p *pidFile) inPlace() bool {
	ours, err := p.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(p.path)
	return err == nil && os.SameFile(ours, there)
}

func (p *pidFile) write(text string) error {
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.WriteAt([]byte(text), 0)
	return err
}

// remove removes the file if it is still this daemon's. Who has become another user
// may not be allowed to; an empty file that nobody has locked is as good as none. The
// lock goes with the process, so that nobody takes over before it has gone.
func (p *pidFile) remove() {
	if p == nil {
		return
	}
	if p.inPlace() && os.Remove(p.path) != nil {
		_ = p.file.Truncate(0)
	}
}

// cause is what the kernel said, without Go's name for the call and the path, which
// the message has already.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
