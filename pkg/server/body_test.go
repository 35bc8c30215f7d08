package server

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestBodyBeyondTheLimitIsRefused(t *testing.T) {
	const limit = 100_000 // more than travels in memory
	s := serve(t, echo, func(o *Options) { o.MaxBodyBytes = limit })
	long := strings.Repeat("x", limit+1)
	for name, raw := range map[string]string{
		"announced": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(long), long),
		"in chunks": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(long), long),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+raw)
			c.reply("POST").wantStatus(t, 413)
			c.wantClosed()
		})
	}
}

// sizeOf answers with how the body arrived, and reads it to its end.
var sizeOf = app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
	if req.SpoolFile == "" {
		return whole(200, fmt.Sprintf("inline %d %s", len(req.Body), req.Env.Map()["CONTENT_LENGTH"])), nil
	}
	file, err := os.Stat(req.SpoolFile)
	if err != nil {
		return nil, err
	}
	dir, err := os.Stat(filepath.Dir(req.SpoolFile))
	if err != nil {
		return nil, err
	}
	return whole(200, fmt.Sprintf("%s %s %d %s",
		dir.Mode().Perm(), file.Mode().Perm(), file.Size(), req.Env.Map()["CONTENT_LENGTH"])), nil
})

func TestLargeBodyIsSpooledAndItsFileRemoved(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, sizeOf, func(o *Options) { o.SpoolDir = dir })
	c := s.dial()
	for _, size := range []int{1, 4096, 4097, psgi.MaxInline - 1, psgi.MaxInline, psgi.MaxInline + 1, 1 << 20} {
		want := fmt.Sprintf("inline %d %d", size, size)
		if size > psgi.MaxInline {
			want = fmt.Sprintf("-rwx------ -rw------- %d %d", size, size)
		}
		text := strings.Repeat("x", size)
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)).send(text)
		c.reply("POST").wantText(t, want)
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, text))
		if r := c.reply("POST"); size != psgi.MaxInline {
			r.wantText(t, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLargeUploadTakesNoMoreMemoryThanASmallOne(t *testing.T) {
	const size = 64 << 20
	s := serve(t, sizeOf)
	c := s.dial().send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
	piece := make([]byte, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range size / len(piece) {
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	c.reply("POST").wantText(t, fmt.Sprintf("-rwx------ -rw------- %d %d", size, size))
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > size/4 {
		t.Errorf("took %d bytes of memory for %d", took, size)
	}
}

func TestSpoolFolderThatWasTidiedAwayIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, sizeOf, func(o *Options) { o.SpoolDir = dir })
	s.dial().get("/").wantStatus(t, 200)
	folders, _ := filepath.Glob(filepath.Join(dir, "thralld-*"))
	if len(folders) != 1 || os.Remove(folders[0]) != nil {
		t.Fatalf("folders: %v", folders)
	}
	const size = 100_000
	s.dial().send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))).
		reply("POST").wantText(t, fmt.Sprintf("-rwx------ -rw------- %d %d", size, size))
}

func TestFullDiskIsAnsweredWith503(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full") // a link, since spool files are removed
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	s := serve(t, sizeOf)
	s.server.settings.Load().receiver.create = func() (*os.File, error) { return os.OpenFile(full, os.O_WRONLY, 0) }
	c := s.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100000))
	r := c.reply("POST").wantStatus(t, 503)
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestClientThatLeavesDuringUploadCausesNoCall(t *testing.T) {
	s := serve(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		t.Error("the app was called")
		return whole(200, ""), nil
	}))
	for name, raw := range map[string]string{
		"with a length": "Content-Length: 10\r\n\r\n12345",
		"in chunks":     "Transfer-Encoding: chunked\r\n\r\na\r\n12345",
	} {
		t.Run(name, func(t *testing.T) {
			s.dial().send("POST / HTTP/1.1\r\nHost: a\r\n" + raw).Close()
		})
	}
	s.logged("client left")
}

func TestShutdownRemovesTheSpoolFolder(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, echo, func(o *Options) { o.SpoolDir = dir })
	s.dial().get("/").wantStatus(t, 200)
	if err := s.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
