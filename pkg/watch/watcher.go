package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// Options say when a change is reported. Their zero values work.
type Options struct {
	// Quiet is how long nothing may have happened before a change is reported. 0
	// is 100 ms for a File, which somebody may be writing in pieces, and 30 ms for a
	// Tree, whose reader waits for it.
	Quiet time.Duration

	// Longest is how long a change waits for quiet at most, and that of a file that
	// is left empty in any case. 0 is one second.
	Longest time.Duration

	// Log is told what goes wrong while watching. Nil is no log.
	Log *zap.Logger

	settled func(reported bool) // of tests: called after each quiet time
}

// A Change says that something is not as it was.
type Change struct {
	// Paths are the files that have changed, sorted: for a File the path that was
	// given; for a Tree absolute paths without links in their folders, at most 100
	// of them.
	Paths []string
}

// mostPaths bounds what a Change names.
const mostPaths = 100

// A Watcher watches until it is closed.
type Watcher struct {
	options  Options
	roots    []string // absolute
	tree     bool     // whole folders are watched
	contents *contents
	kernel   kernel
	events   <-chan fsnotify.Event
	errors   <-chan error

	changes chan Change
	close   func()
	closing chan struct{}
	done    chan struct{}

	// From here on all belongs to run.

	names   map[string]bool // of the ways
	folders map[string]bool // watched; true: with everything in it
	changed map[string]bool // since the last report
	first   time.Time       // of the changes since the last report
	quiet   *time.Timer
}

// kernel puts watches on folders and takes them away.
type kernel interface {
	Add(folder string) error
	Remove(folder string) error
	Close() error
}

// File watches one file. It reports when the file's bytes are others than those
// of the last report, or of the call of File: so call it before reading the file.
// While the file is missing or cannot be read nothing is reported. The error says
// why there can be no watch.
func File(path string, options Options) (*Watcher, error) {
	options.Quiet = or(options.Quiet, 100*time.Millisecond)
	w, err := newWatcher([]string{path}, options)
	if err != nil {
		return nil, err
	}
	w.contents = &contents{path: w.roots[0]}
	return w.start()
}

// Tree watches files, and folders with all that is in them; what is missing is
// reported when it appears. Droppings of editors, names that begin with a dot,
// node_modules, and changes of permissions are not reported. Links to folders
// are followed when they are named, not when they are found in a folder. The
// error says why there can be no watch, as when there are too many folders.
func Tree(paths []string, options Options) (*Watcher, error) {
	options.Quiet = or(options.Quiet, 30*time.Millisecond)
	w, err := newWatcher(paths, options)
	if err != nil {
		return nil, err
	}
	w.tree = true
	return w.start()
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func newWatcher(paths []string, options Options) (*Watcher, error) {
	options.Longest = or(options.Longest, time.Second)
	if options.Log == nil {
		options.Log = zap.NewNop()
	}
	w := &Watcher{
		options: options,
		changes: make(chan Change, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		folders: map[string]bool{},
		changed: map[string]bool{},
	}
	w.close = sync.OnceFunc(func() { close(w.closing) })
	for _, path := range paths {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", path, err)
		}
		w.roots = append(w.roots, absolute)
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", strings.Join(paths, ", "), explain(err))
	}
	w.kernel, w.events, w.errors = notify, notify.Events, notify.Errors
	return w, nil
}

// start makes the first survey, and then leaves the watcher to run.
func (w *Watcher) start() (*Watcher, error) {
	if err := w.survey(); err != nil {
		_ = w.kernel.Close()
		return nil, err
	}
	if w.contents != nil {
		w.contents.differ()
	}
	w.quiet = time.NewTimer(0)
	w.quiet.Stop()
	go w.run() // ends with Close
	return w, nil
}

// Changes is where changes are reported. It holds one; those that happen before
// it is taken are added to it. Close closes it.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Close ends the watch, and returns when all of it has ended. It may be called
// more than once.
func (w *Watcher) Close() {
	w.close()
	<-w.done
}

func (w *Watcher) run() {
	defer close(w.done)
	defer close(w.changes)
	defer w.kernel.Close()
	for {
		select {
		case <-w.closing:
			return
		case e, ok := <-w.events:
			if !ok {
				return // never before Close
			}
			w.event(filepath.Clean(e.Name), e.Op)
		case err, ok := <-w.errors:
			if !ok {
				return
			}
			w.lost(err)
		case <-w.quiet.C:
			w.report()
		}
	}
}

// event takes in what has happened to a name in a watched folder.
func (w *Watcher) event(name string, op fsnotify.Op) {
	if op == fsnotify.Chmod {
		return
	}
	inside := w.folders[filepath.Dir(name)] && !dropping(filepath.Base(name))
	moved := op.Has(fsnotify.Create) || op.Has(fsnotify.Remove) || op.Has(fsnotify.Rename)
	if moved {
		if err := w.exchanged(name, inside); err != nil {
			w.options.Log.Warn("changes may be missed", zap.Error(err))
		}
	}
	if inside || w.names[name] {
		w.note(name)
	}
}

// exchanged looks at a name anew, which may be something else than before, or
// nothing.
func (w *Watcher) exchanged(name string, inside bool) error {
	if _, folder := w.folders[name]; folder || w.names[name] {
		w.forget(name)
	}
	if w.names[name] {
		if err := w.survey(); err != nil {
			return err
		}
	}
	if inside {
		return w.enter(name)
	}
	return nil
}

// note has a name reported when it is quiet again.
func (w *Watcher) note(name string) {
	now := time.Now()
	if len(w.changed) == 0 {
		w.first = now
	}
	if len(w.changed) < mostPaths {
		w.changed[name] = true
	}
	w.quiet.Reset(min(w.options.Quiet, w.first.Add(w.options.Longest).Sub(now)))
}

// lost looks at everything anew, after the kernel had more to tell than it could
// keep.
func (w *Watcher) lost(err error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.options.Log.Warn("changes may be missed", zap.Error(err))
	}
	w.forget("/")
	for _, root := range w.roots {
		w.note(root)
	}
	if err := w.survey(); err != nil {
		w.options.Log.Warn("changes may be missed", zap.Error(err))
	}
}

// emptied returns how long to wait for what a changed file will hold that is empty
// now: as a rule it is just being written, and on a busy machine that takes longer
// than Quiet.
func (w *Watcher) emptied() time.Duration {
	for path := range w.changed {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			return time.Until(w.first.Add(w.options.Longest))
		}
	}
	return 0
}

// report tells what has changed since the last time.
func (w *Watcher) report() {
	if wait := w.emptied(); wait > 0 {
		w.quiet.Reset(wait)
		return
	}
	paths := w.roots
	if w.tree {
		paths = nil
		for path := range w.changed {
			paths = append(paths, path)
		}
	}
	clear(w.changed)
	really := w.contents == nil || w.contents.differ()
	if really {
		select {
		case earlier := <-w.changes:
			paths = append(earlier.Paths, paths...)
		default:
		}
		paths = slices.Clone(paths)
		slices.Sort(paths)
		paths = slices.Compact(paths)
		w.changes <- Change{Paths: paths[:min(len(paths), mostPaths)]} // there is room: nobody else sends
	}
	if w.options.settled != nil {
		w.options.settled(really)
	}
}
