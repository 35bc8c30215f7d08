package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// files makes a folder of files, of which each has its path as its text.
func files(t *testing.T, paths ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	for _, path := range paths {
		writeFile(t, filepath.Join(dir, path), path)
	}
	return dir
}

// fromApp is an app that nobody ought to reach, or that answers for what passes through.
var fromApp = app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
	return whole(200, "app "+req.Env.Map()["PATH_INFO"]), nil
})

// mounted serves one folder.
func mounted(t *testing.T, m StaticMount) *site {
	t.Helper()
	return serve(t, fromApp, func(o *Options) { o.Static = []StaticMount{m}; o.ServerSoftware = "thralld" })
}

func (r reply) wantHeader(t *testing.T, list ...string) reply {
	t.Helper()
	for i := 0; i < len(list); i += 2 {
		if got := strings.Join(r.Header.Values(list[i]), "|"); got != list[i+1] {
			t.Errorf("%s is %q, want %q", list[i], got, list[i+1])
		}
	}
	return r
}

func TestStaticFileIsServedWithoutTheApp(t *testing.T) {
	dir := files(t, "a.css", "sub/b.JPG", "sub/no-extension", "empty.txt", "with space.txt", "a%2fb.txt", "back\\slash.txt", "café.html")
	writeFile(t, filepath.Join(dir, "empty.txt"), "")
	s := mounted(t, StaticMount{Path: "/static/", Dir: dir, CacheControl: "public, max-age=60"})
	c := s.dial()
	c.ask("GET", "/static/a.css").wantText(t, "a.css").wantHeader(t,
		"Content-Type", "text/css; charset=utf-8", "Content-Length", "5", "Accept-Ranges", "bytes", "Cache-Control", "public, max-age=60",
		"Last-Modified", "Thu, 29 Feb 2024 12:00:00 GMT", "Server", "thralld", "Vary", "")
	c.ask("GET", "/static/sub/b.JPG").wantText(t, "sub/b.JPG").wantHeader(t, "Content-Type", "image/jpeg")
	c.ask("GET", "/static/sub/no-extension").wantText(t, "sub/no-extension").wantHeader(t, "Content-Type", "application/octet-stream")
	c.ask("GET", "/static/empty.txt").wantText(t, "").wantHeader(t, "Content-Length", "0")
	c.ask("GET", "/static/empty.txt", "Range: bytes=0-").wantText(t, "")
	c.ask("GET", "/static/with%20space.txt?query").wantText(t, "with space.txt")
	c.ask("GET", "/static/back%5Cslash.txt").wantText(t, "back\\slash.txt")
	c.ask("GET", "/static/a%252fb.txt").wantText(t, "a%2fb.txt") // it is decoded once
	c.ask("GET", "/static/caf%C3%A9.html").wantText(t, "café.html")
	c.ask("GET", "http://test/static/a.css").wantText(t, "a.css")

	r := c.ask("HEAD", "/static/a.css").wantStatus(t, 200).wantHeader(t, "Content-Length", "5")
	if r.text != "" {
		t.Errorf("HEAD brings %q", r.text)
	}
	c.ask("POST", "/static/a.css").wantStatus(t, 405).wantHeader(t, "Allow", "GET, HEAD")
	c.ask("GET", "/static/missing").wantStatus(t, 404)
	c.ask("GET", "/other").wantText(t, "app /other")
	c.ask("GET", "/statically/a.css").wantText(t, "app /statically/a.css")
	c.ask("GET", "/static").wantStatus(t, 404)
}

func TestStaticFileMeetsConditionsAndRanges(t *testing.T) {
	s := mounted(t, StaticMount{Path: "/", Dir: files(t, "a.txt"), CacheControl: "no-cache"})
	c := s.dial()
	etag := c.ask("GET", "/a.txt").wantText(t, "a.txt").Header.Get("ETag")
	r := c.ask("GET", "/a.txt", "If-None-Match: "+etag).wantStatus(t, 304).wantHeader(t,
		"ETag", etag, "Cache-Control", "no-cache", "Content-Type", "", "Content-Length", "", "Accept-Ranges", "")
	if r.text != "" {
		t.Errorf("304 brings %q", r.text)
	}
	c.ask("HEAD", "/a.txt", "If-Modified-Since: Thu, 29 Feb 2024 12:00:00 GMT").wantStatus(t, 304)
	c.ask("GET", "/a.txt", "If-None-Match: \"x\"").wantText(t, "a.txt")
	c.ask("GET", "/a.txt", "If-Match: \"x\"").wantStatus(t, 412).wantHeader(t, "Content-Length", "0")
	if got := c.ask("GET", "/a.txt", "Range: bytes=2-", "If-Range: "+etag).wantStatus(t, 206); got.text != "txt" {
		t.Errorf("got %q", got.text)
	}
	if got := c.ask("GET", "/a.txt", "Range: bytes=0-0,4-4").wantStatus(t, 206).pieces(t); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	c.ask("GET", "/a.txt", "Range: bytes=5-").wantStatus(t, 416).wantHeader(t, "Content-Range", "bytes */5")
	c.ask("GET", "/a.txt", "Range: bytes=5-", "If-None-Match: "+etag).wantStatus(t, 304)
}

// escapes are ways in which a client may try to get out of a folder, or at what is hidden in it.
var escapes = []string{
	"/../secret", "/..%2fsecret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/.%2e/secret", "/sub/../../secret", "/sub/../a.txt",
	"/sub/%2e%2e/%2e%2e/secret", "/..", "/.", "/./a.txt", "/sub/./b.txt", "//a.txt", "//secret", "/sub//b.txt", "/sub%2fb.txt", "/sub%2Fb.txt",
	"/%2fetc/passwd", "//etc/passwd", "/%2e%2e%5csecret", "/..%5csecret", "/..\\secret", "/..%c0%afsecret", "/%c0%ae%c0%ae/secret",
	"/..;/secret", "/..%00/secret", "/a.txt%00", "/a.txt%00.png", "/%00", "/a.txt/", "/a.txt/.", "/a.txt/..", "/a.txt/x",
	"/.hidden", "/%2ehidden", "/.git/config", "/sub/.hidden", "/%252e%252e/secret", "/..%252fsecret", "/sub/..", "/sub/../", "/.../secret",
	"/out", "/out/secret", "/up/secret", "/outfile", "/absolute", "/loop", "/proc/root/etc/passwd", "/self/environ",
	"/" + strings.Repeat("a", 300), "/" + strings.Repeat("sub/../", 60) + "a.txt", "/fifo", "/socket", "/null", "/sub", "/sub/",
}

func TestNothingOutsideOfAStaticFolderIsServed(t *testing.T) {
	dir := files(t, "a.txt", "sub/b.txt", ".hidden", ".git/config", "sub/.hidden", "../secret", "../outside/secret")
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("../outside", "out")
	link("..", "up")
	link("../secret", "outfile")
	link(filepath.Join(dir, "a.txt"), "absolute") // within, but no name says so
	link("loop", "loop")
	link("/proc/self", "self")
	link("/proc/self", "proc")
	link("sub/b.txt", "inside")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))); err != nil {
		t.Logf("no device to try: %v", err)
	}

	for _, passThrough := range []bool{false, true} {
		s := mounted(t, StaticMount{Path: "/files", Dir: dir, PassThrough: passThrough})
		c := s.dial()
		c.ask("GET", "/files/inside").wantText(t, "sub/b.txt") // a link within the folder
		for _, path := range escapes {
			r := c.ask("GET", "/files"+path)
			if !passThrough {
				r.wantStatus(t, 404)
			} else if r.wantStatus(t, 200); !strings.HasPrefix(r.text, "app /") {
				t.Errorf("%s: %q", path, r.text)
			}
		}
	}
}

func TestHiddenFilesAreServedOnlyWhenAskedFor(t *testing.T) {
	dir := files(t, ".well-known/security.txt", "../secret")
	c := mounted(t, StaticMount{Path: "/", Dir: dir, Hidden: true}).dial()
	c.ask("GET", "/.well-known/security.txt").wantText(t, ".well-known/security.txt")
	c.ask("GET", "/../secret").wantStatus(t, 404)
	c.ask("GET", "/.well-known/./security.txt").wantStatus(t, 404)
}

func TestFileThatMayNotBeReadIsForbidden(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := files(t, "a.txt")
	if err := os.Chmod(filepath.Join(dir, "a.txt"), 0); err != nil {
		t.Fatal(err)
	}
	mounted(t, StaticMount{Path: "/", Dir: dir}).dial().ask("GET", "/a.txt").wantStatus(t, 403)
}

func TestFolderIsAnsweredByItsIndex(t *testing.T) {
	dir := files(t, "index.html", "sub/index.html", "none/a.txt", "odd\\ name/index.html", "evil.example/index.html", "index/index.html/a.txt")
	c := mounted(t, StaticMount{Path: "/docs", Dir: dir, Index: "index.html"}).dial()
	c.ask("GET", "/docs/").wantText(t, "index.html").wantHeader(t, "Content-Type", "text/html; charset=utf-8")
	c.ask("GET", "/docs/sub/").wantText(t, "sub/index.html")
	c.ask("GET", "/docs").wantStatus(t, 301).wantHeader(t, "Location", "/docs/", "Content-Length", "0")
	c.ask("GET", "/docs/sub?a=b&c").wantStatus(t, 301).wantHeader(t, "Location", "/docs/sub/?a=b&c")
	c.ask("GET", "http://test/docs/sub").wantStatus(t, 301).wantHeader(t, "Location", "/docs/sub/")
	c.ask("HEAD", "/docs/sub").wantStatus(t, 301)
	c.ask("GET", "/docs/odd%5C%20name").wantStatus(t, 301).wantHeader(t, "Location", "/docs/odd%5C%20name/")
	for _, path := range []string{"/docs/none", "/docs/none/", "/docs/index", "/docs/index/", "/docs/missing/", "/docs//", "/docs//sub", "/docs/sub//"} {
		c.ask("GET", path).wantStatus(t, 404)
	}

	c = mounted(t, StaticMount{Path: "/", Dir: dir, Index: "index.html"}).dial()
	c.ask("GET", "/").wantText(t, "index.html")
	for _, path := range []string{"//evil.example", "//evil.example/", "/%2fevil.example", "/\\evil.example", "/%5cevil.example", "/%09/evil.example"} {
		c.ask("GET", path).wantStatus(t, 404).wantHeader(t, "Location", "")
	}
}

func TestWhatIsNotThereIsPassedThrough(t *testing.T) {
	one, two := files(t, "a.txt", "both.txt"), files(t, "b.txt", "sub/both.txt")
	s := serve(t, fromApp, func(o *Options) {
		o.Static = []StaticMount{
			{Path: "/", Dir: two, PassThrough: true},
			{Path: "/sub", Dir: one, PassThrough: true},
			{Path: "/last", Dir: one},
		}
		o.Mount = "/app"
	})
	c := s.dial()
	c.ask("GET", "/b.txt").wantText(t, "b.txt") // also outside of the app's mount point
	c.ask("GET", "/sub/a.txt").wantText(t, "a.txt")
	c.ask("GET", "/sub/both.txt").wantText(t, "both.txt") // the longer path counts
	c.ask("GET", "/sub/none.txt").wantStatus(t, 404)
	c.ask("GET", "/app/a.txt").wantText(t, "app /a.txt")
	c.ask("POST", "/app/b.txt").wantText(t, "app /b.txt")
	c.ask("POST", "/b.txt").wantStatus(t, 404) // no mount answers, and it is not the app's
	c.ask("GET", "/last/b.txt").wantStatus(t, 404)
	c.ask("OPTIONS", "*").wantText(t, "app ")
}

func TestPrecompressedFileIsSentToWhoAcceptsIt(t *testing.T) {
	dir := files(t, "a.css", "a.css.br", "a.css.gz", "b.css", "b.css.zst", "c.css", "only.css.gz")
	c := mounted(t, StaticMount{Path: "/", Dir: dir, Precompressed: true}).dial()
	etags := map[string]bool{}
	for _, test := range []struct{ path, accept, text, coding string }{
		{"/a.css", "gzip, deflate, br, zstd", "a.css.br", "br"},
		{"/a.css", "gzip", "a.css.gz", "gzip"},
		{"/a.css", "x-gzip", "a.css.gz", "gzip"},
		{"/a.css", "GZIP;q=0.5, br;q=0", "a.css.gz", "gzip"},
		{"/a.css", "zstd", "a.css", ""},
		{"/a.css", "", "a.css", ""},
		{"/a.css", "*", "a.css.br", "br"},
		{"/a.css", "*;q=0", "a.css", ""},
		{"/a.css", "*, br;q=0.000", "a.css.gz", "gzip"},
		{"/a.css", "br;q=x", "a.css", ""},
		{"/a.css", "identity", "a.css", ""},
		{"/b.css", "gzip, br, zstd", "b.css.zst", "zstd"},
		{"/c.css", "gzip, br, zstd", "c.css", ""},
	} {
		r := c.ask("GET", test.path, "Accept-Encoding: "+test.accept).wantText(t, test.text).wantHeader(t,
			"Content-Encoding", test.coding, "Vary", "Accept-Encoding", "Content-Type", "text/css; charset=utf-8")
		etags[test.path+r.Header.Get("ETag")] = true
		c.ask("GET", test.path, "Accept-Encoding: "+test.accept, "If-None-Match: "+r.Header.Get("ETag")).wantStatus(t, 304).wantHeader(t,
			"Vary", "Accept-Encoding", "Content-Encoding", "")
	}
	if len(etags) != 5 {
		t.Errorf("%d ETags of five files", len(etags))
	}
	c.ask("GET", "/only.css", "Accept-Encoding: gzip").wantStatus(t, 404)
	c.ask("GET", "/only.css.gz", "Accept-Encoding: gzip").wantText(t, "only.css.gz").wantHeader(t,
		"Content-Type", "application/gzip", "Content-Encoding", "")
	c = mounted(t, StaticMount{Path: "/", Dir: dir}).dial()
	c.ask("GET", "/a.css", "Accept-Encoding: gzip").wantText(t, "a.css").wantHeader(t, "Vary", "")
}

func TestBodyOfARequestForAFileIsNotRead(t *testing.T) {
	s := mounted(t, StaticMount{Path: "/static", Dir: files(t, "a.txt")})
	for _, test := range []struct {
		method, target string
		status         int
	}{{"GET", "/static/a.txt", 200}, {"GET", "/static/none", 404}, {"POST", "/static/a.txt", 405}, {"GET", "/static", 404}} {
		if r := s.dial().ask(test.method, test.target, "Content-Length: 100").wantStatus(t, test.status); !r.Close {
			t.Errorf("%s %s: the connection is kept", test.method, test.target)
		}
	}
}

func TestFolderThatIsMissingFailsTheChange(t *testing.T) {
	s := serve(t, fromApp)
	opts := s.opts
	missing := filepath.Join(t.TempDir(), "missing")
	opts.Static = []StaticMount{{Path: "/static", Dir: missing}}
	opts.Sendfile = []SendfileDir{{Dir: missing + "2"}}
	_, err := s.server.Prepare(opts, nil)
	for _, want := range []string{"/static", missing + ":", missing + "2:", "no such file or directory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	s.dial().get("/").wantText(t, "app /")
	s.change(func(o *Options) { o.Static = []StaticMount{{Path: "/static", Dir: files(t, "a.txt")}} })
	s.dial().get("/static/a.txt").wantText(t, "a.txt")
}

func TestStaticFileIsInTheAccessLog(t *testing.T) {
	book := new(guestBook)
	s := serve(t, fromApp, func(o *Options) {
		o.Static = []StaticMount{{Path: "/static", Dir: files(t, "a.txt")}}
		o.AccessLog = book
	})
	c := s.dial()
	c.get("/static/a.txt").wantText(t, "a.txt")
	c.ask("GET", "/static/a.txt", "Range: bytes=1-2").wantStatus(t, 206)
	c.get("/static/b.txt").wantStatus(t, 404)
	book.want(t, `"GET /static/a.txt HTTP/1.1" 200 5 "-" "-"`, `"GET /static/a.txt HTTP/1.1" 206 2 "-" "-"`,
		`"GET /static/b.txt HTTP/1.1" 404 10 "-" "-"`)
}

func FuzzStaticPath(f *testing.F) {
	for _, path := range escapes {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		raw, _, _ := strings.Cut(uri, "?")
		rest, ok := unescape(raw)
		if !ok || !strings.HasPrefix(rest, "/") {
			return
		}
		hidden, shown := (&mount{StaticMount: StaticMount{Hidden: true}}).mayServe(uri, rest), new(mount).mayServe(uri, rest)
		name := strings.Trim(rest, "/")
		if hidden && name != "" && (!filepath.IsLocal(name) || filepath.Clean(name) != name || strings.ContainsRune(name, 0)) {
			t.Errorf("%q is served as %q", uri, name)
		}
		if shown && (!hidden || strings.HasPrefix(name, ".") || strings.Contains(name, "/.")) {
			t.Errorf("%q is served as %q, which is hidden", uri, name)
		}
	})
}
