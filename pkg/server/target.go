package server

import (
	"fmt"
	"net/url"
	"strings"
)

// place is what a request's target means to the app.
type place struct {
	uri    string // REQUEST_URI: raw path and query
	query  string // QUERY_STRING
	script string // SCRIPT_NAME: the mount point, "" for the root
	path   string // PATH_INFO: the rest of the path, percent-decoded
	host   string // the name the client used, with its port; may be ""
}

// locate resolves a request's target against the mount point, which is "" or a
// path without a slash at its end. With errNotMounted the place is what it would be
// without a mount point.
//
// The path is decoded once, as bytes, and nothing of it is cleaned: repeated
// slashes and dot segments are the app's business. A %00 is passed on too, as all
// PSGI servers do; what serves files (Plack::App::File) refuses it itself.
func locate(r *request, mount string) (place, error) {
	if !validHost(r.host) {
		return place{}, fmt.Errorf("%w: host %.80q", errMalformed, r.host)
	}
	at := place{host: r.host}
	uri, _, marked := strings.Cut(r.target, "#")
	at.uri = uri
	scheme, rest, absolute := strings.Cut(at.uri, "://")
	absolute = absolute && at.uri[0] != '/'
	if (marked || absolute || r.method == "CONNECT") && !isURI(r) {
		return place{}, fmt.Errorf("%w: target %.80q", errMalformed, r.target)
	}
	if r.method == "CONNECT" {
		return place{}, fmt.Errorf("%w: CONNECT", errMethod)
	}
	if absolute {
		at.host, at.uri = splitAuthority(rest)
		switch {
		case at.host == "" || !validHost(at.host):
			return place{}, fmt.Errorf("%w: host %.80q of the target", errMalformed, at.host)
		case !strings.EqualFold(scheme, r.scheme):
			return place{}, fmt.Errorf("%w: scheme %.20q", errMisdirected, scheme)
		}
	}
	if at.uri == "*" && r.method == "OPTIONS" {
		at.script = mount
		return at, nil
	}
	raw, query, _ := strings.Cut(at.uri, "?")
	at.query = query
	path, ok := unescape(raw)
	if !ok || !strings.HasPrefix(raw, "/") {
		return place{}, fmt.Errorf("%w: path %.80q", errMalformed, raw)
	}
	if !isMethod(r.method) {
		return place{}, fmt.Errorf("%w: %.40q", errMethod, r.method)
	}
	at.path = path
	script, rest, ok := cutMount(path, mount)
	if !ok {
		return at, fmt.Errorf("%w: %.80q", errNotMounted, path)
	}
	at.script, at.path = script, rest
	return at, nil
}

// isURI reports whether net/url can read a request's target, and its host is valid. That
// of most requests is a path, and needs no more than its escapes to be right.
func isURI(r *request) bool {
	target := r.target
	if r.method == "CONNECT" && target[0] != '/' {
		target = "http://" + target // it is an authority (RFC 9112, 3.2.3)
	}
	u, err := url.ParseRequestURI(target)
	return err == nil && validHost(u.Host)
}

// isMethod reports whether PSGI can name the method: capital letters only.
func isMethod(method string) bool {
	for i := range len(method) {
		if method[i] < 'A' || method[i] > 'Z' {
			return false
		}
	}
	return method != ""
}

// splitAuthority splits what follows the scheme of an absolute target. A target
// without a path means the root (RFC 9112, 3.2.1), also before a query.
func splitAuthority(rest string) (host, uri string) {
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return rest, "/"
	case rest[i] == '?':
		return rest[:i], "/" + rest[i:]
	}
	return rest[:i], rest[i:]
}

// validHost reports whether host could stand in a URI: apps build links from it,
// and choose what to serve by it. An "@" in it would make a name look like another.
func validHost(host string) bool { return within(host, hostClass) }

// cutMount takes the mount point from the front of a path.
func cutMount(path, mount string) (script, rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, mount)
	if !ok || rest != "" && rest[0] != '/' {
		return "", "", false
	}
	return mount, rest, true
}

// unescape decodes %XX, once.
func unescape(s string) (string, bool) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, true
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, ok1 := unhex(s[i+1])
		low, ok2 := unhex(s[i+2])
		if !ok1 || !ok2 {
			return "", false
		}
		b = append(b, high<<4|low)
		i += 2
	}
	return string(b), true
}

// requestLine is the method and the path of a request, for people: without the query,
// where secrets are, and no longer than a line of a table. What is not plain ASCII in
// it is a question mark.
func requestLine(r *request, uri string) string {
	const longest = 200
	path, _, _ := strings.Cut(uri, "?")
	if n := len(r.method) + 1 + len(path); n <= longest && n <= len(r.line) && r.line[len(r.method)+1:n] == path && within(path, plainClass) {
		return r.line[:n] // as the client wrote it: no copy
	}
	method := r.method[:min(len(r.method), longest-1)]
	path = path[:min(len(path), longest-1-len(method))]
	return method + " " + strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, path)
}

// mountPoint brings a configured path into the form that locate wants.
func mountPoint(path string) string {
	path = strings.Trim(path, "/")
	if path == "" {
		return ""
	}
	return "/" + path
}
