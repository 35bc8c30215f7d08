package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// defaultMaxHeader fits a frame beside the largest body that travels in one.
const defaultMaxHeader = 64 << 10

// Options say how a Server serves. Only App is needed.
type Options struct {
	// App answers the requests.
	App psgi.App
	// Log takes what the server has to say; nil is silence.
	Log *zap.Logger
	// Timeout is how long a client may be silent while it sends a body or is sent a
	// response, not how long the request may take as a whole. Zero is forever. Too
	// short, and clients on bad lines fail; too long, and dead ones keep their
	// connections.
	Timeout time.Duration
	// HeaderTimeout is how long a request's head may take, from its first byte to its
	// last, and the first byte of a connection. Zero, or more than Timeout, means Timeout.
	HeaderTimeout time.Duration
	// MinRate is how many bytes of a body a client has to send in a second, and how
	// many of a response it has to read. It is an average: who has been faster may
	// then be slower, and at the end silent, until Timeout has been used up; a
	// transfer begins with 30 seconds of that. Zero is any.
	MinRate int64
	// KeepaliveTimeout is how long a connection is kept without a request on it.
	// Zero is forever.
	KeepaliveTimeout time.Duration
	// MaxKeepaliveReqs is how many requests a connection may carry; its last
	// answer announces the end. Zero is no limit, one turns keep-alive off.
	MaxKeepaliveReqs int
	// MaxHeaderBytes bounds a request's head, request line included: 414 if the
	// line alone is longer, else 431. Zero is 64 KiB. The environment has to fit a
	// frame of psgi.MaxFrame bytes, with the body if that is a small one.
	MaxHeaderBytes int
	// MaxBodyBytes bounds a request's body; a longer one is answered with 413,
	// before it is read if its length is known. Zero is no limit: a client can
	// then fill the disk that SpoolDir is on.
	MaxBodyBytes int64
	// MaxConnections is how many connections there may be. For a further one one of
	// those is closed that have been idle for the longest; if none is, the new one is
	// answered 503. Zero is three quarters of the files that the process may have open.
	MaxConnections int
	// MaxSpool bounds what slow clients are still to be sent and lies in files of
	// SpoolDir, of all responses together, in bytes. Where it is reached workers wait
	// for their clients. Zero: there are no such files.
	MaxSpool int64
	// SpoolDir is where the folder for larger bodies is made; it must exist. Empty
	// is the system's place for temporary files.
	SpoolDir string
	// Static are folders whose files are served without the app. Their order does not
	// matter.
	Static []StaticMount
	// Sendfile are folders out of which the app may have files sent in place of a
	// body, by X-Sendfile and X-Accel-Redirect. If there is none these fields are
	// passed on to the client, or whatever front server obeys them.
	Sendfile []SendfileDir
	// ServerSoftware is the Server field of responses whose app sends none; empty
	// adds none.
	ServerSoftware string
	// Opened is called by Prepare when all addresses are open and nothing else has
	// been made: the place to give up the rights that opening needed. Its error is
	// Prepare's. Nil: nothing.
	Opened func() error
	// Mount is the path that the app is at; requests outside of it get 404. Empty
	// is the root.
	Mount string
	// TLS is how connections to listeners with ListenOptions.TLS are encrypted. Nil:
	// there is no such listener.
	TLS *TLS
	// H2C has connections without TLS that begin with HTTP/2, as a client does that
	// knows beforehand (RFC 9113, 3.3), speak it. Otherwise they are refused.
	H2C bool
	// TrustedProxies are those whose word is taken on whom they speak for: addresses,
	// networks such as 10.0.0.0/8, "loopback", "private", and "unix" for all who come by
	// a unix socket. Empty: none. Whoever is in it can pass for any client.
	TrustedProxies []string
	// ForwardedHeaders names the fields by which they say it: X-Forwarded-For,
	// X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Port, or Forwarded alone. A
	// field that the proxies do not set themselves must not be named: they pass on what
	// a client writes there. Empty: none is obeyed.
	ForwardedHeaders []string
	// RequestIDHeader is the field of a response that has the request's id; empty
	// adds none.
	RequestIDHeader string
	// Compression is that of responses.
	Compression Compression
	// AccessLog gets a line for each request: one Write each, from any goroutine,
	// before the connection goes on, so it must not block. Nil: none.
	AccessLog io.Writer
	// AccessFormat is the form of these lines; nil is Apache's combined one.
	AccessFormat *AccessFormat
}

// Server serves an app on any number of listeners, in a way that can be changed
// while it serves: see [Server.Prepare].
type Server struct {
	ids      *requestIDs
	engine   engine
	settings atomic.Pointer[settings] // nil before the first Commit
	failed   chan error
	handed   []HandedOver

	mu        sync.Mutex
	listeners []*bound
	changing  bool // there is a Change
	closed    bool
}

// Engine is the code that speaks HTTP/1 with clients. HTTP/2 is always net/http's.
type Engine int

// The engines. All answer alike; one may stand in for another that is at fault.
const (
	OwnEngine Engine = iota // the server's own
	NetHTTP                 // Go's net/http, behind the same guard: slower
)

// New returns a server that does nothing yet. What it serves, how and where, is
// the first Change that is committed. The sockets that were handed over are its own
// from now on.
func New(e Engine, handed ...HandedOver) *Server {
	s := &Server{ids: newRequestIDs(), failed: make(chan error, 1), handed: handed}
	if s.engine = newHTTP1(s); e == NetHTTP {
		s.engine = newNetHTTP(s)
	}
	return s
}

// Addresses lists what the server listens on, as the kernel says it.
func (s *Server) Addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, len(s.listeners))
	for i, b := range s.listeners {
		list[i] = b.Addr().String()
	}
	return list
}

// Shutdown stops accepting, closes the connections that carry no request at once,
// the others with the end of their response, which announces it where it has not
// begun, and returns nil when all have ended. A request that arrives before its
// connection is closed is answered; one that was accepted less than a second ago has
// a second for its first one. If ctx ends first, it cuts the rest, and returns
// ctx's error. A server that was shut down cannot serve again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, b := range s.listeners {
		_ = b.Close()
	}
	s.mu.Unlock()

	err := s.engine.shutdown(ctx)
	if now := s.settings.Load(); now != nil {
		err = errors.Join(err, now.spool.retire())
	}
	return err
}
