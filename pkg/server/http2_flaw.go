package server

import (
	"fmt"
	"net/http"
	"strings"
)

// http2Flaw returns what is wrong with a request of HTTP/2 although net/http has found
// nothing, or nil: what the guard refuses in HTTP/1, as others could read it differently,
// and what RFC 9113, 8.1.1 and 8.3.1, call malformed.
func http2Flaw(r *request, header http.Header, limit int) error {
	hosts, lengths := header["Host"], header["Content-Length"]
	line, size := len(r.method)+len(r.target)+len(" ")+len(" HTTP/2.0\r\n"), 0
	for _, f := range r.header {
		size += len(f.Name) + len(": ") + len(f.Value) + len("\r\n")
	}
	switch {
	case line > limit:
		return fmt.Errorf("%w: more than %d bytes", errTargetTooLong, limit)
	case line+size > limit:
		return fmt.Errorf("%w: more than %d bytes", errHeadTooLarge, limit)
	case !within(r.method, tokenClass):
		return fmt.Errorf("%w: method %.40q", errMalformed, r.method)
	case !within(r.target, targetClass):
		return fmt.Errorf("%w: target %.80q", errMalformed, r.target)
	case r.target != "*" && r.method != "CONNECT" && !strings.HasPrefix(r.target, "/"):
		return fmt.Errorf("%w: target %.80q is no path", errMalformed, r.target)
	case r.host == "":
		return fmt.Errorf("%w: no authority", errMalformed)
	case len(hosts) > 1 || len(hosts) == 1 && !strings.EqualFold(hosts[0], r.host):
		return fmt.Errorf("%w: Host is not the authority", errMalformed)
	case !lengthsAgree(lengths, r.length):
		return fmt.Errorf("%w: Content-Length %.40q", errMalformed, lengths)
	case len(header["Expect"]) > 0: // net/http takes 100-continue out
		return fmt.Errorf("%w: %.40q", errExpectation, header["Expect"])
	}
	return nil
}

// lengthsAgree reports whether the Content-Length lines of a request, if there are any,
// are one, and of the length that was found.
func lengthsAgree(lines []string, found int64) bool {
	if len(lines) == 0 {
		return true
	}
	length, ok := parseLength([]byte(lines[0]))
	return ok && len(lines) == 1 && int64(length) == found
}
