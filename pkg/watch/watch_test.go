package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A scene is a folder that somebody works in while it is watched. All its paths
// are relative to the folder. What a test does in one go counts as one change if
// the machine lets it be done within the scene's quiet time, which is long.
type scene struct {
	t       *testing.T
	folder  string
	watcher *Watcher
	settled chan bool // after each quiet time: whether a change was reported
}

func newScene(t *testing.T) *scene {
	t.Parallel()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &scene{t: t, folder: folder, settled: make(chan bool, 100)}
}

func (s *scene) path(name string) string { return filepath.Join(s.folder, name) }

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) write(name, text string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.path(name)), 0o700))
	s.must(os.WriteFile(s.path(name), []byte(text), 0o600))
}

func (s *scene) link(target, name string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.path(name)), 0o700))
	s.must(os.Symlink(target, s.path(name)))
}

func (s *scene) rename(from, to string) { s.t.Helper(); s.must(os.Rename(s.path(from), s.path(to))) }
func (s *scene) remove(name string)     { s.t.Helper(); s.must(os.RemoveAll(s.path(name))) }

func (s *scene) options() Options {
	return Options{Quiet: 150 * time.Millisecond, settled: func(reported bool) { s.settled <- reported }}
}

func (s *scene) watchFile(name string) {
	s.t.Helper()
	w, err := File(s.path(name), s.options())
	s.must(err)
	s.watcher = w
	s.t.Cleanup(w.Close)
}

func (s *scene) watchTree(names ...string) {
	s.t.Helper()
	var paths []string
	for _, name := range names {
		paths = append(paths, s.path(name))
	}
	w, err := Tree(paths, s.options())
	s.must(err)
	s.watcher = w
	s.t.Cleanup(w.Close)
}

// reports wants the next change to be one of these files.
func (s *scene) reports(names ...string) {
	s.t.Helper()
	var want []string
	for _, name := range names {
		want = append(want, s.path(name))
	}
	select {
	case change := <-s.watcher.Changes():
		if diff := cmp.Diff(want, change.Paths); diff != "" {
			s.t.Errorf("reported is:\n%s", diff)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("nothing is reported of %v", names)
	}
	for !s.settles() { // an earlier look, half-way through what was done
	}
}

// staysQuiet wants what happened to be looked at, and not to be reported.
func (s *scene) staysQuiet() {
	s.t.Helper()
	if s.settles() {
		s.t.Errorf("reported is %v", <-s.watcher.Changes())
	}
}

func (s *scene) settles() (reported bool) {
	s.t.Helper()
	select {
	case reported := <-s.settled:
		return reported
	case <-time.After(10 * time.Second):
		s.t.Fatal("nothing was noticed")
		return false
	}
}
