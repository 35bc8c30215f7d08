package server

import (
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// unchunk undoes the chunks of an app that frames its body itself, as Mojolicious
// does in write_chunk and Plack::Middleware::Chunked for everything. The server
// then frames it as the client can take it, which may be HTTP/1.0.
func unchunk(resp *psgi.Response) {
	coding, _ := resp.Header.Get("Transfer-Encoding")
	if !equalFold(strings.Trim(coding, " \t"), "chunked") || resp.Status == 204 || resp.Status == 304 {
		return
	}
	source := &bodyReader{body: resp.Body}
	resp.Body = &chunkedBody{Closer: resp.Body, source: source, decoded: httputil.NewChunkedReader(source)}
	resp.Whole = false
}

// chunkedBody is what is inside of a body's chunks.
type chunkedBody struct {
	io.Closer
	source  *bodyReader
	decoded io.Reader
	piece   [32 << 10]byte
}

// Next returns what the last piece of the app's body has completed.
func (b *chunkedBody) Next() ([]byte, error) {
	n, err := b.decoded.Read(b.piece[:])
	switch {
	case n > 0:
		return b.piece[:n], nil
	case errors.Is(err, io.EOF):
		_, err = io.Copy(io.Discard, b.source) // trailers, and the app's own end
		if err == nil {
			err = io.EOF
		}
	case b.source.err != nil && !errors.Is(b.source.err, io.EOF):
		err = b.source.err
	case err != nil:
		err = fmt.Errorf("%w: the chunks of its body are malformed: %v", errContract, err)
	}
	return nil, err
}

// bodyReader reads a body as a stream of bytes.
type bodyReader struct {
	body psgi.Body
	rest []byte
	err  error
}

func (r *bodyReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.body.Next()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
