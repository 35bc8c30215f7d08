package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestPIDFileHoldsTheProcessUntilItIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	p, err := writePID(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("it holds %q", got)
	}
	p.remove()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after remove: %v", err)
	}
}

func TestPIDFileOfALivingDaemonIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	p, err := writePID(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.remove()
	_, err = writePID(path)
	want := "thralld runs already, as process " + strconv.Itoa(os.Getpid()) + " (" + os.Args[0]
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := content(t, path); got != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("the one who was refused has written %q", got)
	}
}

func TestStalePIDFileIsTakenOver(t *testing.T) {
	for name, stale := range map[string]string{
		"of a daemon that was killed":     "1\n", // it lives, and has not locked the file
		"of one that could not remove it": "",
		"with a longer number":            "1234567890\n",
	} {
		path := filepath.Join(t.TempDir(), "pid")
		put(t, path, stale)
		p, err := writePID(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := content(t, path); got != strconv.Itoa(os.Getpid())+"\n" {
			t.Errorf("%s: it holds %q", name, got)
		}
		p.remove()
	}
}

func TestPIDFileLeavesOtherFilesAlone(t *testing.T) {
	dir := t.TempDir()
	app := filepath.Join(dir, "app.psgi")
	put(t, app, "sub { [200, [], ['a program that somebody has written']] }")
	number := filepath.Join(dir, "number")
	put(t, number, "42\n")
	link, second := filepath.Join(dir, "link"), filepath.Join(dir, "second")
	for _, err := range []error{os.Symlink(number, link), os.Link(number, second)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		app:                                  "no pid file",
		link:                                 "a symbolic link",
		second:                               "another name",
		dir:                                  "is a directory",
		filepath.Join(dir, "nowhere", "pid"): "no such file or directory",
	} {
		if _, err := writePID(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	if content(t, number) != "42\n" || !strings.HasPrefix(content(t, app), "sub {") {
		t.Error("a file has changed")
	}
}

func TestPIDFileOfAnotherIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	p, err := writePID(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put(t, path, "1\n")
	p.remove()
	if got := content(t, path); got != "1\n" {
		t.Errorf("got %q", got)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
