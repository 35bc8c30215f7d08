package server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOfAKilledServerIsSwept(t *testing.T) {
	base := t.TempDir()
	killed, foreign := filepath.Join(base, "thralld-1"), filepath.Join(base, "other-1")
	for _, dir := range []string{killed, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(killed, "body-1"), []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	living := &spool{base: base}
	first, err := living.ready()
	if err != nil {
		t.Fatal(err)
	}
	next := &spool{base: base}
	if _, err := next.ready(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(killed); !os.IsNotExist(err) {
		t.Errorf("the folder of a killed server is still there (%v)", err)
	}
	for _, dir := range []string{first, foreign} {
		if _, err := os.Lstat(dir); err != nil {
			t.Errorf("a folder that is not a killed server's is gone: %v", err)
		}
	}
	for _, s := range []*spool{living, next} {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(base, "thralld-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFolderThatWasTidiedAwayIsMadeAgain(t *testing.T) {
	s := &spool{base: t.TempDir()}
	dir, err := s.ready()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	f, err := s.create()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
