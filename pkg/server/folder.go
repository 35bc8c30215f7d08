package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Why nothing in a folder can be sent for a name, besides failures of the machine.
var (
	errNoFile     = errors.New("there is no such file")
	errNoAccess   = errors.New("the file may not be read")
	errIsFolder   = errors.New("it is a folder")
	errUnsendable = errors.New("it is no regular file within the folder")
)

// folder is a directory that files are sent from. What is not in it cannot be reached by
// it, neither by .. nor by a symbolic link: links may lead to other places within it, and
// have to be relative. It is held open, so it is the same one also after a rename, until a
// change opens it anew. Its descriptor is closed with the last request that may use it, by
// the garbage collector.
type folder struct {
	root *os.Root
	// names are the paths that lead to it: as configured, and without links.
	names []string
}

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder %s: %w", dir, bare(err))
	}
	f := &folder{root: root, names: []string{filepath.Clean(dir)}}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil && resolved != f.names[0] {
		f.names = append(f.names, resolved)
	}
	return f, nil
}

// open opens a regular file in the folder by its relative path. It never waits for what the
// name leads to, as for the other end of a FIFO. The error is errNoFile, errIsFolder,
// errUnsendable, errNoAccess, or the kernel's. None of them holds the name.
func (f *folder) open(name string) (*os.File, os.FileInfo, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fileError(err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = bare(err)
	case info.Mode().IsRegular():
		return file, info, nil
	case info.IsDir():
		err = errIsFolder
	default:
		err = errUnsendable
	}
	_ = file.Close()
	return nil, nil, err
}

// fileError says why a file could not be opened. An error that is not the kernel's is that of
// os.Root: the name leads out of the folder.
func fileError(err error) error {
	err = bare(err)
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return errUnsendable
	}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG, unix.EINVAL:
		return errNoFile
	case unix.ELOOP, unix.ENXIO, unix.ENODEV:
		return errUnsendable
	case unix.EACCES, unix.EPERM:
		return errNoAccess
	}
	return fmt.Errorf("open a file to send: %w", err)
}

// bare is an error of the file system without the path that it is about.
func bare(err error) error {
	var about *fs.PathError
	if errors.As(err, &about) {
		return about.Err
	}
	return err
}
