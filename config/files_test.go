package config

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFoldersOfFilesStartFromTheFileThatNamesThem(t *testing.T) {
	file := write(t, `
[[static]]
path = "/static/"
dir = "public"
index = "index.html"
pass_through = true
[[static]]
path = "/"
dir = "/srv/root"
pass_through = true
cache_control = "no-cache"
precompressed = true
hidden = true
[[sendfile]]
dir = "files"
[[sendfile]]
dir = "/srv/files"
prefix = "/protected/"
`)
	cfg, folder := load(t, file), filepath.Dir(file)
	if diff := cmp.Diff([]Static{
		{Path: "/static/", Dir: folder + "/public", Index: "index.html", PassThrough: true},
		{Path: "/", Dir: "/srv/root", CacheControl: "no-cache", Precompressed: true, PassThrough: true, Hidden: true},
	}, cfg.Static); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Sendfile{{Dir: folder + "/files"}, {Dir: "/srv/files", Prefix: "/protected/"}}, cfg.Sendfile); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInFoldersOfFilesAreToldAtOnce(t *testing.T) {
	file := write(t, `[[static]]
path = "static"
dir = ""
[[static]]
path = "/a/../b"
dir = "d"
index = "sub/index.html"
cache_control = "a\nb"
[[static]]
path = "//x"
[[static]]
path = "/"
dir = "d"
[[sendfile]]
prefix = "protected"
`)
	refused(t, file+`:2: path: got "static", want a path that starts with /, as it is after decoding, without . and .. in it
`+file+`:3: dir: got "", which names nothing
`+file+`:5: path: got "/a/../b", want a path that starts with /, as it is after decoding, without . and .. in it
`+file+`:7: index: got "sub/index.html", want the name of a file, without a folder
`+file+`:8: cache_control: got "a\nb", want ASCII without control characters
`+file+`:9: [[static]]: needs the key dir
`+file+`:10: path: got "//x", want a path that starts with /, as it is after decoding, without . and .. in it
`+file+`:12: path: got "/", where the application would get no request; want another path, or pass_through = true
`+file+`:14: [[sendfile]]: needs the key dir
`+file+`:15: prefix: got "protected", want a path that starts with /, as it is after decoding, without . and .. in it`, file)
}
