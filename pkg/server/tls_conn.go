package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"go.uber.org/zap"
)

// handshakePatience is how long a client may take for the handshake of TLS, if the
// server's Timeout is not less.
const handshakePatience = 10 * time.Second

// secured is a connection under TLS.
type secured struct {
	*tls.Conn
	wire *wire
}

// tell returns the scheme of requests on the connection, and what the environment says of
// it. A nil connection is one without TLS.
func (s *secured) tell() (scheme string, e *encryption) {
	if s == nil {
		return "http", nil
	}
	return "https", encryptionOf(s.ConnectionState())
}

// choseHTTP2 reports whether the client has chosen HTTP/2 in the handshake.
func (s *secured) choseHTTP2() bool { return s.ConnectionState().NegotiatedProtocol == "h2" }

// wire is what is under TLS: the bare connection. It follows the borders of the records
// that come in, as what TLS has of one that is not whole yet can be seen nowhere else.
type wire struct {
	net.Conn
	owner  *http2Conn // whose it is, if it carries HTTP/2
	header [5]byte    // of the record: its kind, version and length
	have   int        // bytes of the header that have come
	left   int        // bytes of the record behind its header that are to come
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.follow(p[:n])
	return n, err
}

func (w *wire) follow(p []byte) {
	for len(p) > 0 {
		if w.have < len(w.header) {
			n := copy(w.header[w.have:], p)
			p = p[n:]
			if w.have += n; w.have == len(w.header) {
				w.left = int(w.header[3])<<8 | int(w.header[4])
			}
		}
		n := min(w.left, len(p))
		p = p[n:]
		if w.left -= n; w.left == 0 && w.have == len(w.header) {
			w.have = 0
		}
	}
}

// midRecord reports whether a record has begun to arrive and is not whole. It must not
// be called while somebody reads.
func (w *wire) midRecord() bool { return w.have > 0 }

// arrival is a connection whose client has yet to finish the handshake of TLS.
type arrival struct {
	link
	roster *roster
}

// isSecure reports whether connections that l accepts now speak TLS.
func isSecure(l net.Listener, set *settings) bool {
	b, ok := l.(*bound)
	return ok && b.tls.Load() && set.certificates != nil
}

// arrive notes a connection that speaks TLS, whose handshake is still to be made.
func arrive(r *roster, s *Server, in incoming, set *settings) *arrival {
	w := &wire{Conn: in.conn}
	in.secured = &secured{tls.Server(w, set.certificates.current().config), w}
	in.conn = in.secured.Conn
	a := &arrival{roster: r, link: in.link(s)}
	a.leave = func() { r.leave(a) }
	r.enter(a)
	return a
}

// closeWaiting lets the client go on if it has only just connected.
func (a *arrival) closeWaiting() {
	if !a.isFresh() {
		a.cut()
	}
}

// introduced has a proxy say whom it speaks for, ahead of the handshake. If it does not the
// connection is closed.
func (a *arrival) introduced() bool {
	if !a.introduce() {
		a.cut()
		return false
	}
	return true
}

// shakeHands makes the handshake. If it fails the connection is closed.
func (a *arrival) shakeHands() error {
	set := a.settings()
	patience := handshakePatience
	if set.Timeout > 0 {
		patience = min(patience, set.Timeout)
	}
	_ = a.SetDeadline(time.Now().Add(patience))
	if err := a.secured.HandshakeContext(context.Background()); err != nil {
		a.fail(set, err)
		return err
	}
	_ = a.SetDeadline(time.Time{})
	return nil
}

// done returns the connection with its handshake made.
func (a *arrival) done() incoming {
	return incoming{conn: a.Conn, secured: a.secured, since: a.accepted, told: a.told}
}

// handOver makes way for what serves the connection from now on, which is in the roster
// already.
func (a *arrival) handOver() { a.roster.leave(a) }

// fail ends a connection without a handshake. TLS has told the client why; who has sent
// HTTP instead is told so.
func (a *arrival) fail(set *settings, err error) {
	set.Log.Debug("TLS handshake failed", zap.Stringer("remote", a.client()), zap.Error(err))
	bare := a.bare()
	var foreign tls.RecordHeaderError
	if errors.As(err, &foreign) && foreign.Conn != nil && looksLikeHTTP(foreign.RecordHeader) {
		set.access.refused(a.client(), statusOf(errNotTLS), len(outcomeOf(errNotTLS).text()))
		_, _ = bare.Write(refusal(errNotTLS, set.ServerSoftware))
	}
	if half, ok := bare.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = bare.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, bare)
	}
	a.cut()
}

// looksLikeHTTP reports whether what came in place of a record is the beginning of a
// request.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}
