package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// hole makes a file of zeros that takes no room.
func hole(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hole")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestClientThatDoesNotReadAFileIsCutOff(t *testing.T) {
	const size = 64 << 20 // more than sockets take in
	path := hole(t, size)
	for name, start := range map[string]func(*testing.T, psgi.App, ...func(*Options)) *site{"tcp": serve, "unix": serveUnix} {
		t.Run(name, func(t *testing.T) {
			answer := fileAnswer(t, path, 0, size)
			s := start(t, always(func() *psgi.Response { return answer }), func(o *Options) { o.Timeout = 200 * time.Millisecond })
			s.dial().send(getOne)
			waitFor(t, "the file's end", answer.Body.(*scripted).ended)
			s.logged("client left")
		})
	}
}

func TestFileIsSentWhereThereIsNoSocket(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", window/8) // two windows
	path := writeFile(t, filepath.Join(t.TempDir(), "f"), text)
	pipe := newPipe()
	s := serveAt(t, pipe, always(func() *psgi.Response { return fileAnswer(t, path, 5, int64(len(text)-5)) }))
	c := s.over(pipe.dial())
	c.get("/").wantText(t, text[5:])
	if err := os.Truncate(path, window+10); err != nil {
		t.Fatal(err)
	}
	if r := c.get("/"); r.err == nil {
		t.Error("a file that has shrunk looks complete")
	}
	s.logged("response cut")
}
