package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/config"
)

func TestWhatPerlHasToRead(t *testing.T) {
	for _, c := range []struct {
		situation string
		settings  []config.Setting
		perl5lib  string
		want      []string
	}{
		{
			situation: "a file brings its lib",
			settings:  []config.Setting{{Key: "app", Value: "/srv/app.psgi", Origin: "argument"}},
			want:      []string{"/srv/app.psgi", "/srv/lib"},
		},
		{
			situation: "a class is found in the folders",
			settings:  []config.Setting{{Key: "app", Value: "My::App", Origin: "argument"}, {Key: "include", Value: "/srv/one", Origin: "-I"}},
			perl5lib:  "/srv/two:relative:/srv/three",
			want:      []string{"/srv/one", "/srv/two", "/srv/three"},
		},
		{
			situation: "code is not read",
			settings:  []config.Setting{{Key: "eval", Value: "sub { }", Origin: "-e"}},
		},
	} {
		cfg, err := config.Load("", c.settings)
		if err != nil {
			t.Fatal(err)
		}
		if got := toRead(cfg, c.perl5lib); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v", c.situation, got)
		}
	}
}

func TestFileThatIsMissingIsForPerlToTell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "app.psgi")
	if got := obstacleTo(path, unix.R_OK); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestFoldersOnTheWay(t *testing.T) {
	want := []string{"/", "/srv", "/srv/app"}
	if got := foldersTo("/srv/app/app.psgi"); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestParentIsTakenFromTheEnvironmentOnce(t *testing.T) {
	for text, want := range map[string]bool{"": false, "x": false, "2": false, "99": true} {
		t.Setenv(backgroundVariable, text)
		if got := waitingParent(); (got != nil) != want {
			t.Errorf("%q: got %v", text, got)
		}
		if left, ok := os.LookupEnv(backgroundVariable); ok {
			t.Errorf("%q: %q is left for the app", text, left)
		}
	}
}
