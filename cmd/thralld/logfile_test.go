package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestReopenedLogFileLosesNoLine(t *testing.T) {
	const writers, each = 4, 500
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLogFile(path, myself())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var done sync.WaitGroup
	for range writers {
		done.Go(func() {
			for i := range each {
				if _, err := l.Write([]byte("line " + strconv.Itoa(i) + "\n")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for turn := range 20 {
		if err := os.Rename(path, path+strconv.Itoa(turn)); err != nil {
			t.Fatal(err)
		}
		if err := l.reopen(); err != nil {
			t.Fatal(err)
		}
	}
	done.Wait()

	files, _ := filepath.Glob(path + "*")
	lines := 0
	for _, file := range files {
		lines += strings.Count(content(t, file), "\n")
	}
	if lines != writers*each || len(files) != 21 {
		t.Errorf("%d lines in %d files", lines, len(files))
	}
}

func TestLogFileThatCannotBeReopenedStaysInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLogFile(path, myself())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, err := range []error{os.Rename(path, path+".old"), os.Mkdir(path, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.reopen(); err == nil || err.Error() != "reopen log file "+path+": is a directory" {
		t.Errorf("got %v", err)
	}
	if _, err := l.Write([]byte("a line\n")); err != nil {
		t.Error(err)
	}
	if got := content(t, path+".old"); got != "a line\n" {
		t.Errorf("the old file has %q", got)
	}
}

func TestFolderThatOthersMayChangeIsNotRootsAlone(t *testing.T) {
	writer := &identity{uid: 1000, gid: 1000, groups: []int{1000}}
	for path, want := range map[string]bool{
		"/":                true,
		"/etc":             true,
		"/etc/../etc/":     true,
		"/etc/nowhere":     false,
		"/tmp":             false, // all may write there
		"/proc/self/cwd/.": false, // and this leads to where the test is run
	} {
		if strings.HasPrefix(path, "/proc") && os.Geteuid() == 0 {
			continue // root's own process
		}
		if got := onlyRoots(path, writer); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestWhoMayWriteInAFolder(t *testing.T) {
	for _, c := range []struct {
		mode   fs.FileMode
		groups []int
		want   bool
	}{
		{0o755, []int{7}, false},
		{0o775, []int{8}, false},
		{0o775, []int{8, 7}, true},
		{0o777, []int{8}, true},
		{0o702, []int{8}, true},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, c.mode)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		groups := c.groups
		for i := range groups { // 7 stands for the folder's
			if groups[i] == 7 {
				groups[i] = os.Getegid()
			} else {
				groups[i] = os.Getegid() + 1
			}
		}
		if got := writable(info, &identity{groups: groups}); got != c.want {
			t.Errorf("%v %v: got %v", c.mode, groups, got)
		}
	}
}

// myself is whom a daemon stays that becomes nobody else.
func myself() *identity { return &identity{uid: os.Geteuid(), gid: os.Getegid()} }
