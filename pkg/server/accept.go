package server

import (
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
)

// incoming is a connection on its way to what serves it.
type incoming struct {
	conn    net.Conn // secured.Conn, if that is not nil
	secured *secured // nil: without TLS
	since   time.Time
	early   []byte // what has been read from it already
}

// acceptAll accepts connections from l until it fails or is closed, and closes it. take
// must not block; secure says whether the connection begins with the handshake of TLS.
func (r *roster) acceptAll(l net.Listener, s *Server, take func(inner net.Conn, set *settings, secure bool)) error {
	if !r.open(l) {
		return nil
	}
	defer r.close(l)
	var pause time.Duration
	for {
		inner, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			set := s.settings.Load()
			take(inner, set, isSecure(l, set))
		case !passes(err):
			_ = l.Close()
			return err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.settings.Load().Log.Warn("connection not accepted: trying again",
				zap.Stringer("address", l.Addr()), zap.Error(err), zap.Duration("after", pause))
			select { // nothing announces that descriptors are there again
			case <-time.After(pause):
			case <-r.stopping:
			}
		}
	}
}

// passes reports whether a failure to accept is one of a moment: a client that left at
// once, or no descriptors or memory.
func passes(err error) bool {
	var failure net.Error
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &failure) && failure.Temporary() //nolint:staticcheck // what it says of other errors does not matter for these
}
