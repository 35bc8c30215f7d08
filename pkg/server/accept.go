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

	secure     bool       // it begins with the handshake of TLS, which is still to be made
	introduces bool       // a proxy has yet to say whom it speaks for
	told       *endpoints // what it said; nil: the connection is the client's own
}

// link is what the connection has in common with others.
func (in *incoming) link(s *Server) link {
	return link{
		Conn: in.conn, secured: in.secured, settings: s.settings.Load, accepted: in.since,
		introduces: in.introduces, told: in.told,
	}
}

// acceptAll accepts connections from l until it fails or is closed, and closes it. take
// must not block.
func (r *roster) acceptAll(l net.Listener, s *Server, take func(in incoming, set *settings)) error {
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
			if set := s.settings.Load(); r.admits(set.most) {
				take(incoming{conn: inner, since: time.Now(), secure: isSecure(l, set), introduces: introduces(l)}, set)
			} else {
				r.turnAway(inner, set)
			}
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
