package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// lending serves an app whose answer names a file, from one folder.
func lending(t *testing.T, dir SendfileDir, answer *psgi.Response) *site {
	t.Helper()
	return serve(t, always(func() *psgi.Response { return answer }), func(o *Options) { o.Sendfile = []SendfileDir{dir} })
}

func TestFileThatTheAppNamesIsSentInPlaceOfItsBody(t *testing.T) {
	dir := files(t, "sub/a b.pdf", "100%.txt")
	link := filepath.Join(filepath.Dir(dir), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ configured, field, value string }{
		{dir, "X-Sendfile", dir + "/sub/a b.pdf"},
		{dir + "/", "x-sendfile", dir + "/sub/a b.pdf"},
		{link, "X-SENDFILE", link + "/sub/a b.pdf"},
		{link, "X-Sendfile", dir + "/sub/a b.pdf"}, // as an app knows it whose own link has been followed
		{dir, "X-Sendfile", dir + "/../files//sub/./a b.pdf"},
		{dir, "X-Accel-Redirect", "/protected/sub/a%20b.pdf"},
		{dir, "X-Accel-Redirect", "/protected/sub/a b.pdf?download=1"},
	} {
		t.Run(test.field+" "+test.value, func(t *testing.T) {
			body := script("never", "sent")
			answer := pieces(body, test.field, test.value, "Content-Length", "9", "Content-Disposition", "attachment", "Set-Cookie", "a=b")
			s := lending(t, SendfileDir{Dir: test.configured, Prefix: "/protected/"}, answer)
			s.dial().ask("GET", "/").wantText(t, "sub/a b.pdf").wantHeader(t,
				"Content-Type", "text/plain", "Content-Length", "11", "Content-Disposition", "attachment", "Set-Cookie", "a=b",
				"Last-Modified", "Thu, 29 Feb 2024 12:00:00 GMT", "Accept-Ranges", "bytes", "X-Sendfile", "", "X-Accel-Redirect", "")
			waitFor(t, "the body's end", body.ended)
			if body.given > 0 {
				t.Error("the app's body was read")
			}
		})
	}
	s := lending(t, SendfileDir{Dir: dir}, whole(200, "", "X-Sendfile", dir+"/100%.txt"))
	s.dial().ask("GET", "/").wantText(t, "100%.txt") // a path is not escaped
}

func TestFileOfTheAppHasItsFieldsConditionsAndRanges(t *testing.T) {
	dir := files(t, "a.pdf")
	answer := func(fields ...string) func() *psgi.Response {
		return func() *psgi.Response {
			r := whole(200, "", append(fields, "X-Sendfile", dir+"/a.pdf")...)
			return r
		}
	}
	with := func(fields ...string) *client {
		return serve(t, always(answer(fields...)), func(o *Options) { o.Sendfile = []SendfileDir{{Dir: dir}} }).dial()
	}
	c := with()
	etag := c.ask("GET", "/").wantText(t, "a.pdf").Header.Get("ETag")
	c.ask("GET", "/", "If-None-Match: "+etag).wantStatus(t, 304).wantHeader(t, "ETag", etag, "Content-Type", "", "X-Sendfile", "")
	if r := c.ask("GET", "/", "Range: bytes=2-3").wantStatus(t, 206).wantHeader(t, "Content-Range", "bytes 2-3/5"); r.text != "pd" {
		t.Errorf("got %q", r.text)
	}
	c.ask("GET", "/", "Range: bytes=9-").wantStatus(t, 416)
	c.ask("HEAD", "/").wantStatus(t, 200).wantHeader(t, "Content-Length", "5")
	c.ask("POST", "/", "Content-Length: 0", "If-None-Match: "+etag).wantText(t, "a.pdf") // conditions of a POST are the app's

	c = with("ETag", `"mine"`, "Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT", "Accept-Ranges", "none")
	c.ask("GET", "/", "Range: bytes=2-3").wantText(t, "a.pdf").wantHeader(t, "ETag", `"mine"`, "Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT")
	c.ask("GET", "/", `If-None-Match: "mine"`).wantStatus(t, 304)

	untyped := whole(200, "", "X-Sendfile", dir+"/a.pdf")
	untyped.Header = untyped.Header[1:]
	lending(t, SendfileDir{Dir: dir}, untyped).dial().ask("GET", "/").wantText(t, "a.pdf").wantHeader(t, "Content-Type", "application/pdf")

	lending(t, SendfileDir{Dir: dir}, whole(404, "", "X-Sendfile", dir+"/a.pdf")).dial().
		ask("GET", "/", "Range: bytes=2-3", "If-None-Match: *").wantStatus(t, 404).wantHeader(t, "Content-Length", "5")
}

func TestFileThatTheAppMayNotNameIsABreach(t *testing.T) {
	dir := files(t, "a.txt", "sub/b.txt", "../secret", "../filesystem/c.txt")
	for name, to := range map[string]string{"out": "../secret", "absolute": filepath.Join(dir, "a.txt"), "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ field, value string }{
		{"X-Sendfile", "/etc/passwd"},
		{"X-Sendfile", dir},
		{"X-Sendfile", dir + "/"},
		{"X-Sendfile", dir + "/sub"},
		{"X-Sendfile", dir + "/../secret"},
		{"X-Sendfile", dir + "/sub/../../secret"},
		{"X-Sendfile", dir + "system/c.txt"},
		{"X-Sendfile", "a.txt"},
		{"X-Sendfile", ""},
		{"X-Sendfile", dir + "/out"},
		{"X-Sendfile", dir + "/absolute"},
		{"X-Sendfile", dir + "/loop"},
		{"X-Sendfile", dir + "/fifo"},
		{"X-Sendfile", "/dev/null"},
		{"X-Accel-Redirect", dir + "/a.txt"},
		{"X-Accel-Redirect", "/other/a.txt"},
		{"X-Accel-Redirect", "/protected"},
		{"X-Accel-Redirect", "/protected/"},
		{"X-Accel-Redirect", "/protected/../secret"},
		{"X-Accel-Redirect", "/protected/%2e%2e/secret"},
		{"X-Accel-Redirect", "/protected/sub/../a.txt"},
		{"X-Accel-Redirect", "/protected//a.txt"},
		{"X-Accel-Redirect", "/protected/%zz"},
		{"X-Accel-Redirect", "http://test/protected/a.txt"},
		{"X-Accel-Redirect", "/protected/out"},
	} {
		t.Run(test.field+" "+test.value, func(t *testing.T) {
			body := script("body")
			s := lending(t, SendfileDir{Dir: dir, Prefix: "/protected"}, pieces(body, test.field, test.value))
			r := s.dial().ask("GET", "/").wantStatus(t, 500).wantHeader(t, "X-Sendfile", "", "X-Accel-Redirect", "")
			if r.text != "Internal Server Error\n" {
				t.Errorf("body %q", r.text)
			}
			waitFor(t, "the body's end", body.ended)
			line := s.logged("app broke the contract").ContextMap()
			if text := fmt.Sprint(line["error"]); !strings.Contains(text, test.field) || test.value != "" && strings.Contains(text, test.value) || strings.Contains(text, dir) {
				t.Errorf("logged %q", text)
			}
		})
	}
}

func TestFileThatIsMissingIsNotFound(t *testing.T) {
	dir := files(t, "a.txt")
	for _, name := range []string{"/missing", "/a.txt/x", "/" + strings.Repeat("x", 300)} {
		s := lending(t, SendfileDir{Dir: dir}, whole(200, "", "X-Sendfile", dir+name))
		s.dial().ask("GET", "/").wantStatus(t, 404)
		s.logged("file that the app has named is missing")
	}
}

func TestFieldsOfFilesAreTheAppsOwnWithoutFolders(t *testing.T) {
	answer := whole(200, "body", "X-Sendfile", "/etc/passwd", "X-Accel-Redirect", "/protected/a")
	serve(t, always(func() *psgi.Response { return answer })).dial().ask("GET", "/").wantText(t, "body").
		wantHeader(t, "X-Sendfile", "/etc/passwd", "X-Accel-Redirect", "/protected/a")

	// Without a prefix X-Accel-Redirect is for a server in front.
	lending(t, SendfileDir{Dir: t.TempDir()}, whole(200, "body", "X-Accel-Redirect", "/protected/a")).dial().
		ask("GET", "/").wantText(t, "body").wantHeader(t, "X-Accel-Redirect", "/protected/a")
}

func TestClientCannotTellTheAppHowToNameFiles(t *testing.T) {
	keys := []string{"HTTP_X_SENDFILE_TYPE", "HTTP_X_ACCEL_MAPPING", "HTTP_X_OTHER"}
	fields := []string{"X-Sendfile-Type: X-Accel-Redirect", "X-Accel-Mapping: /srv/=/protected/", "X-Other: x"}
	ours := serve(t, showEnv(keys...), func(o *Options) { o.Sendfile = []SendfileDir{{Dir: t.TempDir()}} })
	ours.dial().ask("GET", "/", fields...).wantText(t, "HTTP_X_SENDFILE_TYPE=(none)\nHTTP_X_ACCEL_MAPPING=(none)\nHTTP_X_OTHER=x")
	theirs := serve(t, showEnv(keys...))
	theirs.dial().ask("GET", "/", fields...).
		wantText(t, "HTTP_X_SENDFILE_TYPE=X-Accel-Redirect\nHTTP_X_ACCEL_MAPPING=/srv/=/protected/\nHTTP_X_OTHER=x")
}

func TestStreamThatNamesAFileIsEndedAtOnce(t *testing.T) {
	dir := files(t, "a.txt")
	gate := make(chan struct{}) // nobody opens it
	body := script("one", "two")
	s := serve(t, app(func(ctx context.Context, _ *psgi.Request) (*psgi.Response, error) {
		r := stream(body.gated(ctx, gate))
		r.Header = append(r.Header, psgi.Field{Name: "X-Sendfile", Value: dir + "/a.txt"})
		return r, nil
	}), func(o *Options) { o.Sendfile = []SendfileDir{{Dir: dir}} })
	s.dial().ask("GET", "/").wantText(t, "a.txt")
	waitFor(t, "the body's end", body.ended)
}
