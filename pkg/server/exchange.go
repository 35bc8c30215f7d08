package server

import (
	"github.com/thralld/thralld/pkg/psgi"
)

// exchange is one request and its answer, as an engine carries them. It is all
// that the rest of the package knows of an engine, so that engines can change.
//
// Its methods are called from one goroutine, but for inform. Reads and writes
// fail when the client has been silent for the server's Timeout.
type exchange interface {
	// request returns what the client asked for; it does not change.
	request() *request
	// read reads the body, after telling a client that waits for it to go on
	// (100 Continue). Apart from io.EOF, its errors are errMalformed, errSilence
	// and errClientLeft.
	read(p []byte) (int, error)
	// inform sends an informational response. It is called, from one goroutine at a
	// time, only before begin, and not for HTTP/1.0.
	inform(status int, h psgi.Header)
	// begin starts the response. Its head may wait for the first bytes of the
	// body, or for flush.
	begin(h head)
	// write, flush and sendFile send the body; the engine frames it. For a head
	// without a body they are not called.
	write(p []byte) error
	flush() error
	sendFile(f *psgi.File) (int64, error)
}

// request is the head of an HTTP request, in the client's words.
type request struct {
	line   string // method, a space and the target; "" where the engine has no such text
	method string
	target string // as sent: any of the four forms of RFC 9112, 3.2
	proto  string // HTTP/1.0, HTTP/1.1 or HTTP/2.0
	scheme string // http or https
	host   string // of the Host line; "" if there is none
	// header holds the other fields. Those of one name stand together, in the
	// order in which they came; their spelling may be the engine's.
	header psgi.Header
	// length is the body's, in bytes, and negative if only its end will tell.
	length int64
	// flaw is why the request cannot be served, where the engine does not refuse it by
	// itself: an error of the status table, or nil.
	flaw error
	// encryption is nil without TLS.
	encryption *encryption
	*endpoints
}

// head is the head of a response, ready to be sent: its fields are the app's own,
// without those that belong to the connection.
type head struct {
	status int
	header psgi.Header
	// length is the body's, and negative if only its end will tell.
	length int64
	// body says whether bytes follow; the length may be told without them (HEAD).
	body bool
	// last means that the connection ends after this response, if it is of HTTP/1.
	last bool
}
