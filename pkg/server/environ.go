package server

import (
	"strconv"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// call is what the environment says besides the request's own words.
type call struct {
	id       string
	software string
	// sendfile says that the server does as X-Sendfile and X-Accel-Redirect of the app say.
	sendfile bool
	// received is the length of the body, once it is there.
	received int64
	// told is what trusted proxies say; nil where there are none.
	told *forwarded
}

// environ adds the PSGI environment of a request to env (PSGI, "The Environment";
// RFC 3875 for the CGI keys).
func environ(env *psgi.Env, r *request, at place, c call) {
	env.Set("REQUEST_METHOD", r.method)
	env.Set("SCRIPT_NAME", at.script)
	env.Set("PATH_INFO", at.path)
	env.Set("REQUEST_URI", at.uri)
	env.Set("QUERY_STRING", at.query)
	env.Set("SERVER_PROTOCOL", r.proto)
	env.Set("SERVER_SOFTWARE", c.software)
	env.Set("thralld.request_id", c.id)
	scheme, host := r.scheme, at.host
	if c.told != nil {
		scheme, host = c.told.over(scheme, host)
	}
	env.Set("psgi.url_scheme", scheme)
	if scheme == "https" {
		env.Set("HTTPS", "on")
	}
	if r.encryption != nil {
		r.encryption.set(env)
	}
	setAddresses(env, r.endpoints, host, scheme)
	if c.told != nil {
		c.told.overrule(env, r, scheme, host)
	}
	if c.told != nil || r.introduced {
		env.Set("thralld.remote_addr", r.peerAddr)
	}
	if host != "" {
		env.Set("HTTP_HOST", host)
	}
	setFields(env, r.header, c.sendfile)
	if r.length < 0 {
		// The body came in chunks. The app sees it whole, with its length.
		env.Set("CONTENT_LENGTH", strconv.FormatInt(c.received, 10))
	}
}

// setAddresses says between whom the connection is.
func setAddresses(env *psgi.Env, e *endpoints, host, scheme string) {
	if e.serverName != "" {
		env.Set("SERVER_ADDR", e.serverAddr)
		env.Set("SERVER_NAME", e.serverName)
		env.Set("SERVER_PORT", e.serverPort)
	} else {
		name, port := splitHost(host, scheme)
		env.Set("SERVER_NAME", name)
		env.Set("SERVER_PORT", port)
	}
	env.Set("REMOTE_ADDR", e.remoteAddr)
	env.Set("REMOTE_PORT", e.remotePort)
}

// splitHost splits a Host into name and port, neither of which is ever empty: a port that
// is not told is that of the scheme.
func splitHost(host, scheme string) (name, port string) {
	name, port = cutPort(host)
	if name == "" {
		name = "localhost"
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return name, port
}

// cutPort splits a host into name and port, which is "" if there is none.
func cutPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i], host[i+1:]
	}
	return host, ""
}

// defaultPort is the port that goes without saying.
func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// setFields adds the header fields. Fields of one name, which stand together, are
// joined.
func setFields(env *psgi.Env, header psgi.Header, sendfile bool) {
	var room [64]byte
	for len(header) > 0 {
		name := header[0].Name
		value, n := joined(header)
		header = header[n:]
		if sendfile && isOfFront(name) {
			continue
		}
		if key := appendKey(room[:0], name); len(key) > 0 {
			env.SetBytes(key, value)
		}
	}
}

// isOfFront reports whether a field is by which a front server tells Plack::Middleware::XSendfile
// what to answer with. If the server itself is the one to obey the answer, no client may
// send it: a mapping of its own would lead the app to name other files.
func isOfFront(name string) bool {
	return equalFold(name, "x-sendfile-type") || equalFold(name, "x-accel-mapping")
}

// joined returns the value of the fields that have the first one's name, and how
// many they are.
func joined(header psgi.Header) (value string, n int) {
	name := header[0].Name
	for n = 1; n < len(header) && strings.EqualFold(header[n].Name, name); n++ {
	}
	if n == 1 {
		return header[0].Value, 1
	}
	values := make([]string, n)
	for i := range values {
		values[i] = header[i].Value
	}
	return strings.Join(values, separator(name)), n
}

// separator is what stands between the values of fields of one name. Cookies are joined
// as RFC 6265, 5.4 has them.
func separator(name string) string {
	if equalFold(name, "cookie") {
		return "; "
	}
	return ", "
}

// appendKey appends the key for a header field, or nothing for one that the app must
// not see: a name with an underscore could pass for one with a hyphen and slip by a
// proxy's filter; Proxy would become HTTP_PROXY, which HTTP clients in the app
// obey (httpoxy); Host is set from the target; and Transfer-Encoding has been
// undone.
func appendKey(dst []byte, name string) []byte {
	switch {
	case equalFold(name, "content-length"):
		return append(dst, "CONTENT_LENGTH"...)
	case equalFold(name, "content-type"):
		return append(dst, "CONTENT_TYPE"...)
	case equalFold(name, "proxy"), equalFold(name, "host"), equalFold(name, "transfer-encoding"):
		return dst
	}
	key := append(dst, "HTTP_"...)
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_':
			return dst
		case c == '-':
			key = append(key, '_')
		case 'a' <= c && c <= 'z':
			key = append(key, c-'a'+'A')
		default:
			key = append(key, c)
		}
	}
	return key
}
