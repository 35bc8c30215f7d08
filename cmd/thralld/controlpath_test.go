package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFoldersOfControlSockets(t *testing.T) {
	t.Setenv("TMPDIR", "/scratch")
	for _, c := range []struct {
		uid  int
		env  string
		want string
	}{
		{0, "", "/run/thralld"},
		{0, "XDG_RUNTIME_DIR=/run/user/0", "/run/thralld"},
		{0, "RUNTIME_DIRECTORY=/run/shop:/run/more", "/run/shop /run/thralld"},
		{33, "", "/scratch/thralld-33 /run/thralld"},
		{33, "XDG_RUNTIME_DIR=/run/user/33", "/run/user/33/thralld /scratch/thralld-33 /run/thralld"},
		{33, "RUNTIME_DIRECTORY=/run/shop", "/run/shop /scratch/thralld-33 /run/thralld"},
	} {
		getenv := func(name string) string {
			value, _ := strings.CutPrefix(c.env, name+"=")
			if value == c.env {
				return ""
			}
			return value
		}
		if got := strings.Join(controlFolders(c.uid, getenv), " "); got != c.want {
			t.Errorf("%d, %s: got %s, want %s", c.uid, c.env, got, c.want)
		}
	}
}

func TestDaemonsOfOneMachineHaveTheirOwnSockets(t *testing.T) {
	inSite(t, "")
	seen := map[string]string{}
	for _, args := range []string{"", "other.psgi", "-p 81", "-p 82", "-o localhost", "-l :81 -l :82", "-S web", "-S web other.psgi"} {
		path := pathFor(t, strings.Fields(args)...)
		if other, ok := seen[path]; ok {
			t.Errorf("%q and %q: %s", args, other, path)
		}
		seen[path] = args
		name := filepath.Base(path)
		if ok, err := filepath.Match("thralld-"+strings.Repeat("[0-9a-f]", 8)+".sock", name); !ok || err != nil {
			t.Errorf("%q: got %s", args, name)
		}
	}
}

func TestWhatAReloadChangesDoesNotMoveTheSocket(t *testing.T) {
	var paths []string
	inSite(t, "workers = 2")
	for _, settings := range []string{"", "workers = 3", "port = 81", "app = \"other.psgi\"\nlisten = [\":82\", \":83\"]"} {
		writeFile(t, defaultFile, settings)
		paths = append(paths, pathFor(t), pathFor(t, "-c", defaultFile), pathFor(t, "--workers=9", "-q"))
	}
	t.Chdir("/") // with a file, it does not matter from where
	paths = append(paths, pathFor(t, "-c", filepath.Join(filepath.Dir(paths[0]), defaultFile)))
	if diff := cmp.Diff(slices.Repeat(paths[:1], len(paths)), paths); diff != "" {
		t.Error(diff)
	}
}
