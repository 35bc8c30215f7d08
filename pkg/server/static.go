package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// StaticMount is a folder whose files are served without the app.
type StaticMount struct {
	// Path is where the folder is on the site, whatever Mount is: with /static, the file a/b.css in
	// the folder is at /static/a/b.css. Of several the longest one is tried first.
	Path string
	// Dir is the absolute path of the folder.
	Dir string
	// Index is the file that answers for a folder, such as index.html. Empty: folders
	// have no answer, as nothing is ever listed.
	Index string
	// CacheControl is the Cache-Control field of the answers; empty adds none.
	CacheControl string
	// Precompressed sends, to clients that accept it, the file of that name with .br, .zst
	// or .gz after it, if there is one. It must be made anew with the file itself.
	Precompressed bool
	// PassThrough leaves requests that nothing in the folder answers to the app; else
	// they get 404, or 405 for a method other than GET and HEAD.
	PassThrough bool
	// Hidden serves files and folders whose names begin with a dot, too.
	Hidden bool
}

// mount is a StaticMount that is open.
type mount struct {
	StaticMount
	prefix string // without a slash at its end; "" is the root
	*folder
}

// openMounts opens all folders, and sorts the mounts in the order in which they are tried.
func openMounts(list []StaticMount) ([]*mount, error) {
	var mounts []*mount
	var wrong error
	for _, m := range list {
		f, err := openFolder(m.Dir)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("static files at %s: %w", m.Path, err))
			continue
		}
		mounts = append(mounts, &mount{m, mountPoint(m.Path), f})
	}
	slices.SortStableFunc(mounts, func(a, b *mount) int { return len(b.prefix) - len(a.prefix) })
	return mounts, wrong
}

// serveStatic answers a request by a file, if a mount is there for it. Its body, if it has
// one, is not read.
func (t *task) serveStatic(ctx context.Context, at place) (served bool, err error) {
	if len(t.set.mounts) == 0 || at.uri == "*" {
		return false, nil
	}
	path := at.script + at.path
	for _, m := range t.set.mounts {
		_, rest, ok := cutMount(path, m.prefix)
		if !ok {
			continue
		}
		method := t.x.request().method
		if method != "GET" && method != "HEAD" {
			if m.PassThrough {
				continue
			}
			t.begin(head{status: 405, header: psgi.Header{{Name: "Allow", Value: "GET, HEAD"}}, last: t.unread})
			return true, nil
		}
		err := t.serveFrom(ctx, m, at, rest)
		if !m.PassThrough || t.begun || !errors.Is(err, errNoFile) {
			return true, err
		}
	}
	return false, nil
}

// serveFrom answers by the file of a mount that the rest of a path names. All that is there
// but not to be served is errNoFile, too: nobody is to learn of it.
func (t *task) serveFrom(ctx context.Context, m *mount, at place, rest string) error {
	if !m.mayServe(at.uri, rest) {
		return errNoFile
	}
	isFolder := strings.HasSuffix(rest, "/")
	name := strings.Trim(rest, "/")
	if !isFolder && name != "" {
		f, info, err := m.open(name)
		if err == nil {
			return t.sendStatic(ctx, m, name, f, info)
		}
		if !errors.Is(err, errIsFolder) {
			return unserved(err)
		}
	}
	if m.Index == "" {
		return errNoFile
	}
	name = strings.TrimPrefix(name+"/"+m.Index, "/")
	f, info, err := m.open(name)
	if err != nil {
		return unserved(err)
	}
	if !isFolder {
		_ = f.Close()
		t.redirect(at)
		return nil
	}
	return t.sendStatic(ctx, m, name, f, info)
}

// unserved makes errNoFile of what a client is not to learn.
func unserved(err error) error {
	if errors.Is(err, errIsFolder) || errors.Is(err, errUnsendable) {
		return errNoFile
	}
	return err
}

// mayServe reports whether a path names something below a mount in the one way in which a
// file has its name: no part of it is empty, . or .., and no slash is escaped; and whether
// it may be named at all. The folder sees to it by itself that nothing leads out of it.
func (m *mount) mayServe(uri, rest string) bool {
	raw, _, _ := strings.Cut(uri, "?")
	if strings.IndexByte(rest, 0) >= 0 || strings.Contains(strings.ToLower(raw), "%2f") {
		return false
	}
	if rest == "" || rest == "/" {
		return true
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(rest, "/"), "/"), "/") {
		if name == "" || name == "." || name == ".." || name[0] == '.' && !m.Hidden {
			return false
		}
	}
	return true
}

// redirect sends a client from a folder's name to the folder. The path begins with one
// slash, as a part that is empty has been refused: so it leads to no other site.
func (t *task) redirect(at place) {
	to := (&url.URL{Path: at.script + at.path}).EscapedPath() + "/"
	if at.query != "" {
		to += "?" + at.query
	}
	t.begin(head{status: 301, header: psgi.Header{{Name: "Location", Value: to}}, last: t.unread})
}

// sendStatic answers by an open file of a mount, and closes it.
func (t *task) sendStatic(ctx context.Context, m *mount, name string, f *os.File, info os.FileInfo) error {
	r := t.x.request()
	h := make(psgi.Header, 0, 8)
	h = append(h, psgi.Field{Name: "Content-Type", Value: mediaType(name)}, psgi.Field{Name: "Accept-Ranges", Value: "bytes"})
	if m.CacheControl != "" {
		h = append(h, psgi.Field{Name: "Cache-Control", Value: m.CacheControl})
	}
	coding := ""
	if m.Precompressed {
		h = append(h, psgi.Field{Name: "Vary", Value: "Accept-Encoding"})
		if c, compressed, about := m.compressed(name, r.header); compressed != nil {
			_ = f.Close()
			f, info, coding = compressed, about, c
			h = append(h, psgi.Field{Name: "Content-Encoding", Value: coding})
		}
	}
	defer f.Close()
	h = appendValidators(h, info, coding, time.Now())
	p := plan{head: head{status: 200, header: h, length: info.Size(), body: r.method != "HEAD", last: t.unread}}
	p.meet(r)
	p.narrow(r, info.Size())
	return t.send(ctx, &p, &psgi.Response{File: &psgi.File{File: f, Length: info.Size()}}, nil, true)
}
