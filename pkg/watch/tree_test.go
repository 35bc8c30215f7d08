package watch

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// What editors do when a file is saved. Each is one report, which names the file.
var saves = map[string]func(s *scene, file string){
	"in place": func(s *scene, file string) { s.write(file, "new") },
	"vim": func(s *scene, file string) {
		folder := file[:strings.LastIndex(file, "/")+1]
		s.write(folder+"4913", "")
		s.remove(folder + "4913")
		s.write(folder+".Model.pm.swp", "")
		s.rename(file, file+"~")
		s.write(file, "new")
		s.must(os.Chmod(s.path(file), 0o644))
		s.remove(file + "~")
	},
	"emacs": func(s *scene, file string) {
		folder := file[:strings.LastIndex(file, "/")+1]
		s.link("me@here.1:2", folder+".#Model.pm")
		s.write(folder+"#Model.pm#", "new")
		s.must(os.Link(s.path(file), s.path(file+"~")))
		s.write(file, "new")
		s.remove(folder + "#Model.pm#")
		s.remove(folder + ".#Model.pm")
	},
	"by a rename": func(s *scene, file string) {
		s.write(file+"___jb_tmp___", "new")
		s.rename(file, file+"___jb_old___")
		s.rename(file+"___jb_tmp___", file)
		s.remove(file + "___jb_old___")
	},
}

func TestSaveIsOneReportOfOneFile(t *testing.T) {
	for editor, save := range saves {
		t.Run(editor, func(t *testing.T) {
			s := newScene(t)
			s.write("app.psgi", "old")
			s.write("lib/App/Model.pm", "old")
			s.watchTree("app.psgi", "lib")
			save(s, "lib/App/Model.pm")
			s.reports("lib/App/Model.pm")
			s.write("app.psgi", "newer")
			s.reports("app.psgi") // and nothing of the save before
		})
	}
}

func TestNeighboursOfAFileAreNotWatched(t *testing.T) {
	s := newScene(t)
	s.write("app.psgi", "old")
	s.watchTree("app.psgi")
	s.write("log/app.log", "line")
	s.write("app.db", "data")
	s.write("app.psgi", "new")
	s.reports("app.psgi")
}

func TestRepositoriesAndModesAreNotReported(t *testing.T) {
	s := newScene(t)
	s.write("lib/.git/HEAD", "ref")
	s.write("lib/node_modules/a/index.js", "code")
	s.write("lib/App.pm", "old")
	s.watchTree("lib")
	s.write("lib/.git/HEAD", "other")
	s.write("lib/.git/objects/aa/bb", "blob")
	s.write("lib/node_modules/a/index.js", "other")
	s.must(os.Chmod(s.path("lib/App.pm"), 0o755))
	s.write("lib/App.pm", "new")
	s.reports("lib/App.pm")
}

func TestFoldersThatAppearAreWatched(t *testing.T) {
	s := newScene(t)
	s.write("lib/App.pm", "old")
	s.watchTree("lib")
	s.must(os.MkdirAll(s.path("lib/App/Model/Deep"), 0o700))
	<-s.watcher.Changes() // with as many of its folders as were made after it was watched
	s.settles()
	s.write("lib/App/Model/Deep/Row.pm", "new")
	s.reports("lib/App/Model/Deep/Row.pm")

	s.write("made/ready/Before.pm", "new")
	s.rename("made", "lib/Moved")
	s.reports("lib/Moved")
	s.write("lib/Moved/ready/Before.pm", "newer")
	s.reports("lib/Moved/ready/Before.pm")

	s.rename("lib/Moved", "lib/Again")
	s.reports("lib/Again", "lib/Moved")
	s.write("lib/Again/ready/Before.pm", "newest")
	s.reports("lib/Again/ready/Before.pm")
}

func TestFolderThatLeavesIsNotWatchedAnyMore(t *testing.T) {
	s := newScene(t)
	s.write("lib/App/Model.pm", "old")
	s.write("lib/App.pm", "old")
	s.watchTree("lib")
	s.rename("lib/App", "elsewhere")
	s.reports("lib/App")
	s.write("elsewhere/Model.pm", "new")
	s.write("lib/App.pm", "new")
	s.reports("lib/App.pm")
}

func TestWholeTreeMayGoAndComeBack(t *testing.T) {
	s := newScene(t)
	s.write("lib/App/Model.pm", "old")
	s.watchTree("lib")
	s.rename("lib", "gone")
	s.reports("lib")
	s.write("gone/App/Model.pm", "unseen")
	s.must(os.Mkdir(s.path("lib"), 0o700))
	s.reports("lib")
	s.must(os.Mkdir(s.path("lib/App"), 0o700))
	s.reports("lib/App")
	s.write("lib/App/Model.pm", "new")
	s.reports("lib/App/Model.pm")
}

func TestLinkToAFolderIsFollowedWhenItIsNamed(t *testing.T) {
	s := newScene(t)
	s.write("shared/lib/App.pm", "old")
	s.link("shared/lib", "lib")
	s.link("../..", "shared/lib/circle")
	s.watchTree("lib")
	s.write("shared/lib/App.pm", "new")
	s.reports("shared/lib/App.pm")
}

func TestOtherRootsAreStillWatchedWhenOneIsExchanged(t *testing.T) {
	s := newScene(t)
	s.write("app.psgi", "old")
	s.write("lib/App/Model.pm", "old")
	s.write("releases/1/share/a.tt", "old")
	s.write("releases/2/share/a.tt", "new")
	s.link("releases/1", "current")
	s.watchTree("app.psgi", "lib", "current/share")
	s.write("app.new", "new")
	s.rename("app.new", "app.psgi")
	s.reports("app.psgi")
	s.link("releases/2", "next")
	s.rename("next", "current")
	s.reports("current")
	s.write("releases/1/share/a.tt", "unseen")
	s.write("releases/2/share/a.tt", "newer")
	s.reports("releases/2/share/a.tt")
	s.write("lib/App/Model.pm", "new")
	s.reports("lib/App/Model.pm")
}

func TestRootsMayBeInEachOther(t *testing.T) {
	s := newScene(t)
	s.write("lib/App/Model/Row.pm", "old")
	s.write("lib/App/Main.pm", "old")
	s.write("new/Model/Row.pm", "new")
	s.write("new/Main.pm", "new")
	s.watchTree("lib", "lib/App/Main.pm", "lib/App")
	s.remove("lib/App")
	<-s.watcher.Changes()
	s.settles()
	s.rename("new", "lib/App")
	s.reports("lib/App")
	s.write("lib/App/Model/Row.pm", "newer")
	s.reports("lib/App/Model/Row.pm")
	s.write("lib/App/Other.pm", "new")
	s.reports("lib/App/Other.pm")
}

func TestChangesThatNobodyTakesAreSummedUp(t *testing.T) {
	s := newScene(t)
	s.write("lib/A.pm", "old")
	s.write("lib/B.pm", "old")
	s.watchTree("lib")
	s.write("lib/B.pm", "new")
	s.settles()
	s.write("lib/A.pm", "new")
	s.write("lib/B.pm", "newer")
	s.settles()
	if got, want := strings.Join((<-s.watcher.Changes()).Paths, " "), s.path("lib/A.pm")+" "+s.path("lib/B.pm"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSaveIsReportedInABlink(t *testing.T) {
	s := newScene(t)
	s.write("lib/App.pm", "old")
	w, err := Tree([]string{s.path("lib")}, Options{})
	s.must(err)
	t.Cleanup(w.Close)
	began := time.Now()
	for fastest := time.Hour; fastest > 80*time.Millisecond; { // the machine may be busy, but not all the time
		saved := time.Now()
		s.write("lib/App.pm", "new")
		<-w.Changes()
		fastest = min(fastest, time.Since(saved))
		if time.Since(began) > 20*time.Second {
			t.Fatalf("it took %v, and never less", fastest)
		}
	}
}

// fullKernel has watches for a few folders only.
type fullKernel struct{ left int }

func (k *fullKernel) Add(string) error {
	if k.left--; k.left < 0 {
		return os.NewSyscallError("inotify_add_watch", syscall.ENOSPC)
	}
	return nil
}
func (*fullKernel) Remove(string) error { return fsnotify.ErrNonExistentWatch }
func (*fullKernel) Close() error        { return nil }

func TestLimitOfTheKernelIsNamed(t *testing.T) {
	s := newScene(t)
	s.must(os.MkdirAll(s.path("lib/"+strings.Repeat("a/", 50)), 0o700))
	w, err := newWatcher([]string{s.path("lib")}, Options{})
	s.must(err)
	s.must(w.kernel.Close())
	w.tree, w.kernel = true, &fullKernel{left: 20}
	_, err = w.start()
	if err == nil || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") || !strings.Contains(err.Error(), s.path("lib/a")) {
		t.Errorf("got %v", err)
	}
	if err := explain(syscall.EMFILE); !strings.Contains(err.Error(), "fs.inotify.max_user_instances") {
		t.Errorf("got %v", err)
	}
}

func TestEverythingIsLookedAtAnewAfterAnOverflow(t *testing.T) {
	s := newScene(t)
	s.write("lib/App/Model.pm", "old")
	w, err := newWatcher([]string{s.path("lib")}, s.options())
	s.must(err)
	errs := make(chan error)
	w.tree, w.errors = true, errs
	s.watcher, err = w.start()
	s.must(err)
	t.Cleanup(w.Close)
	errs <- errors.Join(fsnotify.ErrEventOverflow)
	s.reports("lib")
	s.write("lib/App/Model.pm", "new")
	s.reports("lib/App/Model.pm")
}
