package watch

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestFileThatIsWrittenInPlaceIsReported(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "workers = 1")
	s.watchFile("thrall.toml")
	s.write("thrall.toml", "workers = 2")
	s.reports("thrall.toml")
	s.write("thrall.toml", "workers = 3")
	s.reports("thrall.toml")
}

func TestFileThatAnEditorRenamesIntoPlaceIsReported(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "workers = 1")
	s.watchFile("thrall.toml")
	for _, text := range []string{"workers = 2", "workers = 3"} {
		s.write("thrall.toml.new", text)
		s.rename("thrall.toml", "thrall.toml~")
		s.rename("thrall.toml.new", "thrall.toml")
		s.reports("thrall.toml")
	}
}

func TestSameBytesAreNoChange(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "workers = 1")
	s.watchFile("thrall.toml")

	s.write("thrall.toml", "workers = 1")
	s.staysQuiet()
	s.write("new", "workers = 1")
	s.rename("new", "thrall.toml")
	s.staysQuiet()
	s.write("thrall.toml", "workers = 2")
	s.reports("thrall.toml")
	s.write("thrall.toml", "workers = 2")
	s.staysQuiet()

	// There and back again: if somebody looked meanwhile, the machine being busy, both are changes.
	s.write("thrall.toml", "workers = 3")
	s.write("thrall.toml", "workers = 2")
	if s.settles() {
		<-s.watcher.Changes()
		if !s.settles() {
			t.Error("it is told of one half of a change")
		}
	}
}

func TestTouchAndOtherFilesAreNotEvenLookedAt(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "workers = 1")
	s.watchFile("thrall.toml")
	s.must(os.Chtimes(s.path("thrall.toml"), time.Now(), time.Now()))
	s.must(os.Chmod(s.path("thrall.toml"), 0o640))
	s.write("other.toml", "workers = 9")
	s.write("thrall.toml", "workers = 2")
	s.reports("thrall.toml")
	if len(s.settled) > 0 {
		t.Error("more than the one change was looked at")
	}
}

func TestFileThatWasDeletedComesBack(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "workers = 1")
	s.watchFile("thrall.toml")
	s.remove("thrall.toml")
	s.staysQuiet()
	s.write("thrall.toml", "workers = 1")
	s.staysQuiet()
	s.remove("thrall.toml")
	s.staysQuiet()
	s.write("thrall.toml", "workers = 2")
	s.reports("thrall.toml")
}

func TestFileThatIsNotThereYetIsReportedWhenItComes(t *testing.T) {
	s := newScene(t)
	s.watchFile("etc/thrall/thrall.toml")
	s.write("etc/thrall/thrall.toml", "workers = 1")
	s.reports("etc/thrall/thrall.toml")
	s.write("etc/thrall/thrall.toml", "workers = 2")
	s.reports("etc/thrall/thrall.toml")
}

// What the kubelet does when a ConfigMap changes.
func TestConfigMapThatIsSwappedIsReported(t *testing.T) {
	s := newScene(t)
	s.write("..2026_01/thrall.toml", "workers = 1")
	s.link("..2026_01", "..data")
	s.link("..data/thrall.toml", "thrall.toml")
	s.watchFile("thrall.toml")
	for _, next := range []string{"2", "3"} {
		s.write("..2026_0"+next+"/thrall.toml", "workers = "+next)
		s.link("..2026_0"+next, "..data_tmp")
		s.rename("..data_tmp", "..data")
		s.remove("..2026_01")
		s.reports("thrall.toml")
	}
	s.write("..same/thrall.toml", "workers = 3")
	s.link("..same", "..data_tmp")
	s.rename("..data_tmp", "..data")
	s.staysQuiet()
}

func TestLinkToAnotherFolderIsFollowed(t *testing.T) {
	s := newScene(t)
	s.write("shared/deep/real.toml", "workers = 1")
	s.link("../shared/deep/real.toml", "etc/second")
	s.link(s.path("etc/second"), "app/thrall.toml")
	s.watchFile("app/thrall.toml")

	s.write("shared/deep/real.toml", "workers = 2")
	s.reports("app/thrall.toml")

	s.write("elsewhere/other.toml", "workers = 3")
	s.link("../elsewhere/other.toml", "etc/new")
	s.rename("etc/new", "etc/second")
	s.reports("app/thrall.toml")
	s.write("elsewhere/other.toml", "workers = 4")
	s.reports("app/thrall.toml")
}

func TestReleaseThatIsSwitchedIsFollowed(t *testing.T) {
	s := newScene(t)
	s.write("releases/1/etc/thrall.toml", "workers = 1")
	s.write("releases/2/etc/thrall.toml", "workers = 2")
	s.link("releases/1", "current")
	s.watchFile("current/etc/thrall.toml")
	s.link("releases/2", "next")
	s.rename("next", "current")
	s.reports("current/etc/thrall.toml")
	s.write("releases/2/etc/thrall.toml", "workers = 3")
	s.reports("current/etc/thrall.toml")
}

func TestFolderThatIsExchangedIsFollowed(t *testing.T) {
	s := newScene(t)
	s.write("app/etc/thrall.toml", "workers = 1")
	s.watchFile("app/etc/thrall.toml")
	for _, n := range []string{"2", "3"} {
		s.write("new/etc/thrall.toml", "workers = "+n)
		s.rename("app", "old"+n)
		s.rename("new", "app")
		s.reports("app/etc/thrall.toml")
		s.write("app/etc/thrall.toml", "workers = 1"+n)
		s.reports("app/etc/thrall.toml")
	}
	s.remove("app")
	s.staysQuiet()
	s.write("app/etc/thrall.toml", "workers = 4")
	s.reports("app/etc/thrall.toml")
}

func TestFileThatIsWrittenWithoutEndIsReportedAtLast(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "")
	w, err := File(s.path("thrall.toml"), Options{Quiet: time.Minute, Longest: 50 * time.Millisecond})
	s.must(err)
	t.Cleanup(w.Close)
	s.write("thrall.toml", "workers = 1")
	select {
	case <-w.Changes():
	case <-time.After(10 * time.Second):
		t.Error("it waits for quiet")
	}
}

func TestFileThatIsEmptyIsWaitedForAsItIsBeingWritten(t *testing.T) {
	s := newScene(t)
	path := s.path("thrall.toml")
	s.write("thrall.toml", "")
	for _, c := range []struct {
		situation string
		ago       time.Duration // the first change
		path      string
		waits     bool
	}{
		{"it was emptied just now", 0, path, true},
		{"it stays empty", time.Minute, path, false},
		{"it is gone", 0, path + ".gone", false},
		{"it is a folder", 0, s.folder, false},
	} {
		w := Watcher{
			options: Options{Longest: time.Minute},
			changed: map[string]bool{c.path: true}, first: time.Now().Add(-c.ago),
		}
		if wait := w.emptied(); (wait > 0) != c.waits || wait > time.Minute {
			t.Errorf("%s: it is waited for %v", c.situation, wait)
		}
	}
	s.write("thrall.toml", "workers = 1")
	w := Watcher{options: Options{Longest: time.Minute}, changed: map[string]bool{path: true}, first: time.Now()}
	if wait := w.emptied(); wait != 0 {
		t.Errorf("written: it is waited for %v", wait)
	}
}

func TestFileThatIsLeftEmptyIsReportedAtLast(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "workers = 1")
	s.watchFile("thrall.toml")
	s.write("thrall.toml", "")
	s.reports("thrall.toml")
	s.write("thrall.toml", "workers = 2")
	s.reports("thrall.toml")
}

func TestLinksInACircleAreAMissingFile(t *testing.T) {
	s := newScene(t)
	s.link("b", "a")
	s.link("a", "b")
	s.watchFile("a/thrall.toml")
	s.remove("a")
	s.write("a/thrall.toml", "workers = 1")
	s.reports("a/thrall.toml")
}

func TestCloseEndsTheChanges(t *testing.T) {
	s := newScene(t)
	s.write("thrall.toml", "")
	s.watchFile("thrall.toml")
	s.watcher.Close()
	s.watcher.Close()
	if change, open := <-s.watcher.Changes(); open {
		t.Errorf("reported is %v", change)
	}
}

func TestPathThroughAFileIsAMissingFile(t *testing.T) {
	s := newScene(t)
	s.write("etc", "a file")
	s.watchFile("etc/thrall.toml")
	s.remove("etc")
	s.write("etc/thrall.toml", strings.Repeat("# long\n", 1000))
	s.reports("etc/thrall.toml")
}
