package control

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketAndItsFolderAreTheOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "thralld.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: os.ModeSocket | 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		if info, err := os.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestSecondDaemonIsRefusedAndTheFirstStays(t *testing.T) {
	s := newSite(t)
	s.status.Version = "of the first"
	_, err := Listen(s.path)
	if err == nil || !strings.Contains(err.Error(), s.path+" is in use by this process") {
		t.Errorf("got %v", err)
	}
	if status, err := s.dial().Status(t.Context()); err != nil || status.Version != "of the first" {
		t.Errorf("got %v, %v", status.Version, err)
	}
}

func TestSocketOfASuccessorStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestPlacesForASocketThatWillNotDo(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(folder+"/precious", []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		folder + "/precious":                    "a file that is not a socket is in the way",
		folder + "/precious/socket":             "not a directory",
		folder + "/one/two/socket":              "there is no folder " + folder + "/one",
		folder + "/" + strings.Repeat("x", 200): "the kernel takes 107",
		"@name":                                 "want an absolute path",
	} {
		l, err := Listen(path)
		if err == nil {
			l.Close()
			t.Errorf("%s was opened", path)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Somebody else has made the folder before us, to own what is in it.
func TestFolderOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		// Only root can give a folder away; what root owns is somebody else's to nobody.
		if err := trusted("/"); err != nil {
			t.Error(err)
		}
		return
	}
	theirs := filepath.Join(t.TempDir(), "thralld-1000")
	if err := os.Mkdir(theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(theirs + "/socket"); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("got %v, %v", l, err)
	}
	if err := os.Chmod(theirs, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(theirs + "/socket")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
