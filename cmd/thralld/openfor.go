package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// appending is how log files are opened.
const appending = os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NOCTTY

// openFor opens a log file while the daemon still is root, for the user that it
// becomes. It does so with that user's rights, so that a link that the user has put
// there leads to nothing that is not the user's own. Only where these do not
// suffice, and nobody but root can have had a hand in the path, as in /var/log, is
// the file opened as root, and given to the user.
func openFor(writer *identity, path string) (*os.File, error) {
	if !writer.switches {
		return openToAppend(path)
	}
	f, err := openAs(writer, path)
	switch {
	case !errors.Is(err, fs.ErrPermission):
		return f, err
	case !onlyRoots(filepath.Dir(path), writer):
		return nil, fmt.Errorf("user %s may not write it, and root opens no file for another user in a folder that others can change",
			writer.name)
	}
	f, err = openToAppend(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Chown(writer.uid, writer.gid); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, nil
}

func openToAppend(path string) (*os.File, error) { return os.OpenFile(path, appending, logMode) }

// openAs opens a file with the rights of another user. Only one thread takes them,
// and it ends with them.
func openAs(who *identity, path string) (file *os.File, err error) {
	done := make(chan struct{})
	go func() { // ends at once, and its thread, which stays locked, with it
		defer close(done)
		runtime.LockOSThread()
		if err = takeFileRights(who); err == nil {
			file, err = openToAppend(path)
		}
	}()
	<-done
	return file, err
}

// takeFileRights changes what this thread may do with files. The wrappers of Go for
// groups would change all threads.
func takeFileRights(who *identity) error {
	groups := make([]uint32, len(who.groups)) // never empty: the user's own is in it
	for i, gid := range who.groups {
		groups[i] = uint32(gid)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
	if errno != 0 {
		return errno
	}
	_ = unix.Setfsgid(who.gid)
	_ = unix.Setfsuid(who.uid) // and the rights of root on files go
	if uid, _ := unix.SetfsuidRetUid(-1); uid != who.uid {
		return unix.EPERM // the kernel itself says nothing
	}
	return nil
}

// onlyRoots reports whether nobody but root could have changed where the path of a
// folder leads, or what is in it: root owns each folder and each link on the way, and
// no other user, and no group of the writer's, may write there. In a folder like /tmp,
// where they may, but not touch what is root's, a folder of root's is as good.
func onlyRoots(path string, writer *identity) bool {
	const mostLinks = 40 // as the kernel has it
	at, rest, shared := "/", strings.Split(path, "/"), false
	for links := 0; ; {
		info, err := os.Lstat(at)
		if err != nil || !ownedByRoot(info) {
			return false
		}
		if info.Mode().Type() == fs.ModeSymlink {
			target, err := os.Readlink(at)
			if links++; err != nil || shared || links > mostLinks {
				return false
			}
			at = filepath.Dir(at)
			if filepath.IsAbs(target) {
				at = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		} else if shared = writable(info, writer); shared && info.Mode()&fs.ModeSticky == 0 {
			return false
		}
		if len(rest) == 0 {
			return !shared
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

func ownedByRoot(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0
}

// writable reports whether all users, or the writer by one of its groups, may change
// what is in a folder of root's.
func writable(info fs.FileInfo, writer *identity) bool {
	const group, others = 0o020, 0o002
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || info.Mode().Perm()&others != 0 ||
		info.Mode().Perm()&group != 0 && slices.Contains(writer.groups, int(stat.Gid))
}
