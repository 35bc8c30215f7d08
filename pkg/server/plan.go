package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// plan is how an answer of the app will be sent.
type plan struct {
	head head
	// dropped names what the app sent although the status does not allow it:
	// against the contract, but no client is worse off without it.
	dropped []string
	// body is what is sent, unless that is a file; box is it if a worker makes it meanwhile.
	body psgi.Body
	box  *outbox
	// ranges says that the app lets the server answer by ranges of the body, which is
	// a file or at hand as a whole.
	ranges bool
	// parts, if there are any, are all that is sent of the body, and tail comes after them.
	parts []part
	tail  string
}

// makePlan decides how to send resp to a request of the given method. first is
// what is known of the body: all of it if resp.Whole. An error names a breach of
// the PSGI contract, and then nothing of resp may be sent.
func makePlan(method string, resp *psgi.Response, first []byte) (p plan, err error) {
	if err := resp.Header.Check(resp.Status); err != nil {
		return plan{}, fmt.Errorf("%w: %w", errContract, err)
	}
	declared, err := contentLength(resp.Header)
	if err != nil {
		return plan{}, fmt.Errorf("%w: %w", errContract, err)
	}
	known := int64(-1)
	switch {
	case resp.File != nil:
		known = resp.File.Length
	case resp.Whole:
		known = int64(len(first))
	}

	p.head = head{status: resp.Status, length: declared, body: true}
	p.head.header = slices.DeleteFunc(resp.Header, func(f psgi.Field) bool {
		if equalFold(f.Name, "connection") && hasToken(f.Value, "close") {
			p.head.last = true
		}
		if equalFold(f.Name, "accept-ranges") && hasToken(f.Value, "bytes") {
			p.ranges = known > 0
		}
		return isConnectionField(f.Name)
	})
	switch {
	case resp.Status == 204 || resp.Status == 304:
		p.withoutBody(declared, known)
	case method == "HEAD":
		p.head.body = false
		if declared < 0 && known > 0 {
			p.head.length = known // none is told for a body that the app left out
		}
	case declared < 0:
		p.head.length = known
	case known >= 0 && known != declared:
		return plan{}, fmt.Errorf("%w: Content-Length is %d, but the body has %d bytes", errContract, declared, known)
	}
	return p, nil
}

// withoutBody plans an answer whose status allows no body, and no fields about
// one (PSGI, "The Response").
func (p *plan) withoutBody(declared, known int64) {
	p.head.body, p.head.length = false, -1
	if _, ok := p.head.header.Get("Content-Type"); ok {
		p.dropped = append(p.dropped, "Content-Type")
		p.head.header = slices.DeleteFunc(p.head.header, func(f psgi.Field) bool {
			return equalFold(f.Name, "content-type")
		})
	}
	if declared >= 0 {
		p.dropped = append(p.dropped, "Content-Length")
	}
	if known > 0 {
		p.dropped = append(p.dropped, "body")
	}
}

// contentLength returns the Content-Length that the app sent, or -1.
func contentLength(h psgi.Header) (int64, error) {
	length := int64(-1)
	for _, f := range h {
		if !equalFold(f.Name, "content-length") {
			continue
		}
		n, ok := parseLength([]byte(strings.Trim(f.Value, " \t")))
		switch {
		case !ok:
			return 0, fmt.Errorf("Content-Length %.40q is no number of bytes", f.Value)
		case length >= 0:
			return 0, fmt.Errorf("Content-Length stands there twice")
		}
		length = int64(n)
	}
	return length, nil
}

// isConnectionField reports whether a field is about a connection or the framing
// on it, which are not the app's (RFC 9110, 7.6.1).
func isConnectionField(name string) bool {
	for _, known := range [...]string{
		"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade",
	} {
		if equalFold(name, known) {
			return true
		}
	}
	return false
}

// hasToken reports whether a list of tokens, as in Connection, holds one.
func hasToken(list, token string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if equalFold(strings.Trim(item, " \t"), token) {
			return true
		}
	}
	return false
}
