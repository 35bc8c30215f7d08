package server

import (
	"context"
	"errors"
	"io"
	"net"
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
	// Timeout is how long a client may be silent: from the first byte of a
	// request's head to its last, and for each read of a body and each write of a
	// response, not for the request as a whole. Zero is forever. Too short, and
	// clients on bad lines fail; too long, and dead ones keep their connections.
	Timeout time.Duration
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
	// SpoolDir is where the folder for larger bodies is made; it must exist. Empty
	// is the system's place for temporary files.
	SpoolDir string
	// ServerSoftware is the Server field of responses whose app sends none; empty
	// adds none.
	ServerSoftware string
	// Mount is the path that the app is at; requests outside of it get 404. Empty
	// is the root.
	Mount string
	// AccessLog gets a line for each request, in the combined format of Apache: one
	// Write each, from any goroutine, before the connection goes on. Nil: none.
	AccessLog io.Writer
}

// Server serves an app on any number of listeners.
type Server struct {
	opts     Options
	log      *zap.Logger
	mount    string
	software string     // for the environment; never empty
	access   *accessLog // nil: none
	ids      *requestIDs
	spool    spool
	receiver receiver
	engine   *netHTTP
}

// New returns a server. Nothing is opened or started before Serve.
func New(opts Options) *Server {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.MaxHeaderBytes <= 0 {
		opts.MaxHeaderBytes = defaultMaxHeader
	}
	s := &Server{
		opts:     opts,
		log:      opts.Log,
		mount:    mountPoint(opts.Mount),
		software: opts.ServerSoftware,
		access:   newAccessLog(opts.AccessLog),
		ids:      newRequestIDs(),
		spool:    spool{base: opts.SpoolDir},
	}
	if s.software == "" {
		s.software = "thralld"
	}
	s.receiver = receiver{create: s.spool.create, limit: opts.MaxBodyBytes}
	s.engine = newNetHTTP(s)
	return s
}

// Prepare does what can fail in Serve although the listeners are sound: it makes
// the spool folder, which Shutdown removes. Serve does it, too.
func (s *Server) Prepare() error {
	_, err := s.spool.ready()
	return err
}

// Serve accepts connections until ctx is done or Shutdown is called, and then
// returns nil; or until one of the listeners fails, and then returns its error,
// or nil if it was closed by somebody else. In any case all of them are closed
// then. The connections that it has accepted live on: Shutdown ends them. Serve
// may be called again, also at the same time, with other listeners.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	closeAll := func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}
	if err := s.Prepare(); err != nil {
		closeAll()
		return err
	}

	defer context.AfterFunc(ctx, closeAll)()
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go s.accept(l, ended) // ends when l is closed
	}
	var first error
	for range listeners {
		if err := <-ended; first == nil {
			first = err
		}
		closeAll()
	}
	return first
}

func (s *Server) accept(l net.Listener, ended chan<- error) {
	err := s.engine.serve(l)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	ended <- err
}

// Shutdown stops accepting, closes the connections that carry no request at once,
// the others with the end of their response, and returns nil when all have ended.
// If ctx ends first, it cuts the rest, and returns ctx's error. A server that was
// shut down cannot serve again.
func (s *Server) Shutdown(ctx context.Context) error {
	return errors.Join(s.engine.shutdown(ctx), s.spool.close())
}
