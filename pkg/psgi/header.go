package psgi

import (
	"errors"
	"fmt"
	"strings"
)

// Field is one header line.
type Field struct{ Name, Value string }

// Header is a list of header lines in the app's own order; a name may stand in
// it more than once (Set-Cookie).
type Header []Field

// Get returns the value of the first field of that name, whatever its case, and
// whether there is one.
func (h Header) Get(name string) (string, bool) {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// Check names the first breach of the PSGI contract in a status and its header,
// or returns nil. What it refuses would either let an app's input split the
// response (CR, LF, NUL) or has no meaning in HTTP.
func (h Header) Check(status int) error {
	if status < 200 || status > 999 {
		return fmt.Errorf("status %d: want a number from 200 to 999", status)
	}
	for _, f := range h {
		if err := f.check(); err != nil {
			return err
		}
	}
	return nil
}

func (f Field) check() error {
	if f.Name == "" {
		return errors.New("a header name is empty")
	}
	for i := range len(f.Name) {
		if !tokenBytes[f.Name[i]] {
			return fmt.Errorf("header name %.80q: character %q is not allowed", f.Name, f.Name[i])
		}
	}
	for i := range len(f.Value) {
		if c := f.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("header %s: value %.80q holds the control character %q", f.Name, f.Value, c)
		}
	}
	switch {
	case strings.EqualFold(f.Name, "status"):
		return errors.New("header Status: the status is the first element of the response")
	case strings.EqualFold(f.Name, "transfer-encoding"):
		if !strings.EqualFold(strings.TrimSpace(f.Value), "chunked") {
			return fmt.Errorf("header Transfer-Encoding: %.40q: the server frames the body itself, and undoes chunks at most", f.Value)
		}
	}
	return nil
}

// tokenBytes are those that may stand in a header name (RFC 9110, 5.6.2).
var tokenBytes = func() (set [256]bool) {
	for c := range 256 {
		set[c] = 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		set[c] = true
	}
	return set
}()
