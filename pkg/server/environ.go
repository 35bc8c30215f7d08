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
	// received is the length of the body, once it is there.
	received int64
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
	env.Set("psgi.url_scheme", r.scheme)
	env.Set("thralld.request_id", c.id)
	setAddresses(env, r.endpoints, at.host, r.scheme)
	if r.encryption != nil {
		r.encryption.set(env)
	}
	if at.host != "" {
		env.Set("HTTP_HOST", at.host)
	}
	setFields(env, r.header)
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
	name, port = host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
	}
	if name == "" {
		name = "localhost"
	}
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return name, port
}

// setFields adds the header fields. Fields of one name, which stand together, are
// joined.
func setFields(env *psgi.Env, header psgi.Header) {
	var room [64]byte
	for len(header) > 0 {
		name := header[0].Name
		value, n := joined(header)
		header = header[n:]
		if key := appendKey(room[:0], name); len(key) > 0 {
			env.SetBytes(key, value)
		}
	}
}

// joined returns the value of the fields that have the first one's name, and how
// many they are. Cookies are joined as RFC 6265, 5.4 has them.
func joined(header psgi.Header) (value string, n int) {
	name := header[0].Name
	for n = 1; n < len(header) && strings.EqualFold(header[n].Name, name); n++ {
	}
	if n == 1 {
		return header[0].Value, 1
	}
	separator := ", "
	if equalFold(name, "cookie") {
		separator = "; "
	}
	values := make([]string, n)
	for i := range values {
		values[i] = header[i].Value
	}
	return strings.Join(values, separator), n
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
