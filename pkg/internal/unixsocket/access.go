package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Access says who may connect to a socket: it is what chmod and chown say of its file,
// as Linux wants the right to write of whoever connects.
type Access struct {
	Mode         fs.FileMode // 0: what the umask leaves of 0777 or, with an owner or a group, 0660
	Owner, Group ID
}

// An ID is the number of a user or a group. The zero ID is none.
type ID struct {
	Number int
	Given  bool // otherwise the number means nothing
}

// String is the number, or nothing.
func (id ID) String() string {
	if !id.Given {
		return ""
	}
	return fmt.Sprint(id.Number)
}

// chown is the number as chown(2) has it.
func (id ID) chown() int {
	if !id.Given {
		return -1
	}
	return id.Number
}

const (
	forUser   fs.FileMode = 0o600
	forOwners fs.FileMode = 0o660
)

// mode is the mode in the end, or 0 for that of the umask.
func (a Access) mode() fs.FileMode {
	if a.Mode == 0 && (a.Owner.Given || a.Group.Given) {
		return forOwners
	}
	return a.Mode.Perm()
}

// atFirst is the mode to bind with. The file belongs to this process's user and group
// then: if it shall be others', only the user may connect until it is, and no member
// of a group that happens to be this process's.
func (a Access) atFirst() fs.FileMode {
	if a.Owner.Given || a.Group.Given {
		return forUser
	}
	return a.mode()
}

// Keeps reports whether a socket that was opened with a can be given next while it is
// open. What next leaves to the umask and to the kernel is only known when a socket is
// made.
func (a Access) Keeps(next Access) bool {
	return (next.mode() != 0 || a.mode() == 0) && (next.Owner.Given || !a.Owner.Given) && (next.Group.Given || !a.Group.Given)
}

// SetAccess changes who may connect from now on; who is connected stays. On the way no
// more is allowed than before or after. It returns what takes the change back.
//
// The file is changed by a descriptor of its own: root would otherwise give away what
// somebody puts in its place at the right moment.
func (l *Listener) SetAccess(access Access) (undo func(), err error) {
	undo = func() {}
	if access == (Access{}) {
		return undo, nil
	}
	fd, err := unix.Open(l.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return undo, err
	}
	f := os.NewFile(uintptr(fd), l.path)
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return undo, err
	case info.Mode().Type() != fs.ModeSocket || !os.SameFile(info, l.file):
		return undo, errors.New("another file is in place of the socket")
	}
	was := Access{Mode: info.Mode().Perm()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		was.Owner, was.Group = ID{int(stat.Uid), true}, ID{int(stat.Gid), true}
	}
	undo = func() { _, _ = l.SetAccess(was) } // what was allowed a moment ago, unless the file is gone
	if err = change(f, was, access); err != nil {
		_ = change(f, Access{}, was)
		return func() {}, err
	}
	return undo, nil
}

// change gives a file, open by O_PATH, another mode and other owners.
func change(f *os.File, was, next Access) error {
	mode := next.mode()
	if mode == 0 {
		mode = was.Mode
	}
	byDescriptor := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	owned := (!next.Owner.Given || next.Owner == was.Owner) && (!next.Group.Given || next.Group == was.Group)
	now := was.Mode
	if !owned {
		if now &= mode; now != was.Mode {
			if err := os.Chmod(byDescriptor, now); err != nil {
				return modeNotChanged(err)
			}
		}
		if err := unix.Fchownat(int(f.Fd()), "", next.Owner.chown(), next.Group.chown(), unix.AT_EMPTY_PATH); err != nil {
			return notGiven(next, err)
		}
	}
	if now == mode {
		return nil
	}
	if err := os.Chmod(byDescriptor, mode); err != nil {
		return modeNotChanged(err)
	}
	return nil
}

func modeNotChanged(err error) error {
	if errors.Is(err, unix.EPERM) {
		return errors.New("only root and the owner of the socket can change its mode; this needs a restart")
	}
	return fmt.Errorf("change its mode: %w", Reason(err))
}

// notGiven says that, and why, a socket was not given to somebody.
func notGiven(to Access, err error) error {
	whom := ""
	if to.Owner.Given {
		whom = " to user " + to.Owner.String()
	}
	if to.Group.Given {
		whom += " to group " + to.Group.String()
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("only root can give the socket%s; if this process was root when it started, a restart can", whom)
	}
	return fmt.Errorf("give the socket%s: %w", whom, err)
}
