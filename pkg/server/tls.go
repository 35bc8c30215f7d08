package server

import (
	"crypto/tls"
	"time"
)

// TLS says how the listeners that speak TLS do so. See [ListenOptions.TLS].
//
// Its files are read by Prepare, and again when they have changed on disk; see
// [Server.Certificates].
type TLS struct {
	// Pairs are the server's certificates with their keys. The name that a client asks
	// for (SNI) chooses one: a certificate with just that name first, then one with a
	// wildcard for it, then the first of the list. There is at least one.
	Pairs []KeyPair
	// ChainFile holds certificates of authorities in PEM form. Those that lead from a
	// certificate of Pairs towards its root are sent with it, if its own file lacks
	// them. Empty: none.
	ChainFile string
	// ClientCAFile holds the authorities, in PEM form, that vouch for clients. Verify
	// needs it, unless it is VerifyNone.
	ClientCAFile string
	// Verify says what becomes of clients' certificates.
	Verify Verify
	// MinVersion is the oldest version spoken, as package crypto/tls numbers them. Zero
	// is TLS 1.2, which is also the least.
	MinVersion uint16
	// HTTP2 lets clients choose HTTP/2 in the handshake (ALPN).
	HTTP2 bool
}

// KeyPair names the files of a certificate and of its key, both in PEM form. Behind
// the certificate stand the intermediate ones.
type KeyPair struct{ CertFile, KeyFile string }

// Verify says what becomes of clients' certificates.
type Verify int

// What may become of them. A certificate that is sent and not good, as it has expired
// or is of another authority, fails the handshake: no request of that client is read.
const (
	VerifyNone     Verify = iota // clients are not asked for one
	VerifyGiven                  // one that is sent has to be good
	VerifyRequired               // one has to be sent, and be good
)

func (v Verify) clientAuth() tls.ClientAuthType {
	switch v {
	case VerifyGiven:
		return tls.VerifyClientCertIfGiven
	case VerifyRequired:
		return tls.RequireAndVerifyClientCert
	case VerifyNone:
	}
	return tls.NoClientCert
}

// suites are those of TLS 1.2; of 1.3 there are none to choose. They are the ones with
// forward secrecy and authenticated encryption, which HTTP/2 wants, too (RFC 9113, A).
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Certificate tells of a certificate in force.
type Certificate struct {
	File      string
	Names     []string // that it is for; never empty
	NotBefore time.Time
	NotAfter  time.Time
}

// Certificates lists those in force, as connections that begin now get them: none
// without TLS.
func (s *Server) Certificates() []Certificate {
	set := s.settings.Load()
	if set == nil || set.certificates == nil {
		return nil
	}
	return set.certificates.current().list()
}

// Certificates lists those that the change brings: none without TLS.
func (c *Change) Certificates() []Certificate {
	if c.next.certificates == nil {
		return nil
	}
	return c.next.certificates.inForce.Load().list()
}
