package server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOfAKilledServerIsSwept(t *testing.T) {
	base := t.TempDir()
	killed, foreign := filepath.Join(base, spoolPrefix+"1"), filepath.Join(base, spoolPrefix+"of-somebody")
	for _, file := range []string{filepath.Join(killed, "body-1"), filepath.Join(foreign, "precious")} {
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
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
	for _, file := range []string{first, filepath.Join(foreign, "precious")} {
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("what is not a killed server's is gone: %v", err)
		}
	}
	for _, s := range []*spool{living, next} {
		if err := s.retire(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(base, "*")); len(left) != 1 {
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
	if err := s.retire(); err != nil {
		t.Error(err)
	}
}
