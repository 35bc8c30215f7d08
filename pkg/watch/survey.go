package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.uber.org/zap"
)

// mostFolders bounds what one Tree watches: each folder takes about a kilobyte of
// the kernel's memory.
const mostFolders = 20_000

// mostLinks is how many links a way may have, as for the kernel.
const mostLinks = 40

// A way is what a path leads over.
type way struct {
	names []string // each name on the way, in a folder that has no links
	end   string   // where the path leads to; "" when something on the way is missing
}

// follow walks the way of an absolute path.
func follow(path string) way {
	var w way
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		w.names = append(w.names, next)
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return w
		case info.Mode().Type() != fs.ModeSymlink:
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > mostLinks {
			return w
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	w.end = at
	return w
}

// survey puts the watches where the roots lead now. It walks the ways until they
// are those on which the watches have been put: what changes later is an event.
func (w *Watcher) survey() error {
	var walked []way
	for range 10 { // a way that changes faster has events to come
		var ways []way
		for _, root := range w.roots {
			ways = append(ways, follow(root))
		}
		if slices.EqualFunc(ways, walked, func(a, b way) bool { return a.end == b.end && slices.Equal(a.names, b.names) }) {
			return nil
		}
		walked = ways
		if err := w.place(ways); err != nil {
			return err
		}
	}
	return nil
}

// place watches what the ways lead over, and where they end, and nothing else.
// When that cannot be done the watches that were there stay.
func (w *Watcher) place(ways []way) error {
	before := w.folders
	w.names, w.folders = map[string]bool{}, map[string]bool{}
	err := w.addAll(ways, before)
	for folder, inside := range before {
		if _, ok := w.folders[folder]; ok {
			continue
		}
		if err != nil {
			w.folders[folder] = inside
			continue
		}
		_ = w.kernel.Remove(folder) // it may be gone already
	}
	return err
}

func (w *Watcher) addAll(ways []way, before map[string]bool) error {
	for _, way := range ways {
		for i, name := range way.names {
			w.names[name] = true
			// Folders on the way that may be passed but not read are not ours; the
			// last one has the file.
			err := w.add(filepath.Dir(name), false)
			if err != nil && (i == len(way.names)-1 || !errors.Is(err, fs.ErrPermission)) {
				return err
			}
		}
	}
	for _, way := range ways {
		switch {
		case !w.tree || way.end == "":
		case before[way.end]:
			w.keep(way.end, before) // to walk a large tree for each save of the app takes too long
		default:
			if err := w.enter(way.end); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep takes over the watches of a folder and everything below it. They are good:
// those that something happened to have been forgotten.
func (w *Watcher) keep(top string, before map[string]bool) {
	for folder, inside := range before {
		if inside && isBelow(folder, top) {
			w.folders[folder] = true
		}
	}
}

// enter watches a folder and everything below it. What is no folder, or none any
// more, is passed by.
func (w *Watcher) enter(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil || !info.IsDir() {
		return nil
	}
	if err := w.add(folder, true); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			w.options.Log.Warn("folder not watched, as it may not be read", zap.String("path", folder))
			return nil
		}
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil //nolint:nilerr // it went away: its parent tells
	}
	for _, entry := range entries {
		if entry.IsDir() && !dropping(entry.Name()) {
			if err := w.enter(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// add watches one folder. That it went away meanwhile is no error.
func (w *Watcher) add(folder string, inside bool) error {
	if was, ok := w.folders[folder]; ok {
		w.folders[folder] = was || inside
		return nil
	}
	if len(w.folders) >= mostFolders {
		return fmt.Errorf("watch %s: there are more than %d folders; name fewer or smaller ones", folder, mostFolders)
	}
	switch err := w.kernel.Add(folder); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("watch %s: %w", folder, explain(err))
	}
	w.folders[folder] = inside
	return nil
}

// forget drops the watches on a name and everything below it.
func (w *Watcher) forget(name string) {
	for folder := range w.folders {
		if isBelow(folder, name) {
			_ = w.kernel.Remove(folder) // it may be gone already
			delete(w.folders, folder)
		}
	}
}

// isBelow reports whether a path is top or below it.
func isBelow(path, top string) bool {
	return path == top || strings.HasPrefix(path, strings.TrimSuffix(top, "/")+"/")
}

// explain says what to do about a limit of the kernel, which it reports as "no
// space left on device" or "too many open files".
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return errors.New("the user has no inotify watch left, of which each folder takes one; " +
			"watch fewer folders, or raise the limit fs.inotify.max_user_watches with sysctl")
	case errors.Is(err, syscall.EMFILE):
		return errors.New("no inotify instance left, or too many open files; " +
			"raise the limit fs.inotify.max_user_instances with sysctl, or that of open files")
	}
	return err
}

// dropping reports whether a name is one that editors and tools use for what is
// theirs: backups, swap files, locks, the trial file of vim, and repositories.
func dropping(name string) bool {
	switch {
	case name[0] == '.', name[0] == '#', name == "4913", name == "node_modules":
		return true
	}
	for _, end := range []string{"~", ".swp", ".swx", "___jb_tmp___", "___jb_old___"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
