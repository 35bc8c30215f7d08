package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes one that parent vouches for, or a root for none.
func newAuthority(t *testing.T, name string, parent *authority) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	if parent == nil {
		parent = a
	}
	a.cert = parent.sign(&a.key.PublicKey, name, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(key *ecdsa.PublicKey, name string, change ...func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	cert := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, c := range change {
		c(cert)
	}
	by := a.cert
	if by == nil { // it signs itself
		by = cert
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, by, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue makes a certificate and its key.
func (a *authority) issue(name string, change ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	cert := a.sign(&key.PublicKey, name, append([]func(*x509.Certificate){func(c *x509.Certificate) {
		c.DNSNames = []string{name}
	}}, change...)...)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// certPEM and keyPEM are what stands in files.
func certPEM(chain ...[]byte) (text []byte) {
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

func keyPEM(t *testing.T, pair tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// put writes a file in a folder and returns its path.
func put(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// putPair writes a certificate with its chain, and its key.
func putPair(t *testing.T, dir, name string, pair tls.Certificate) KeyPair {
	t.Helper()
	return KeyPair{put(t, dir, name+".crt", certPEM(pair.Certificate...)), put(t, dir, name+".key", keyPEM(t, pair))}
}

// tlsSite is a site that speaks TLS, for clients that trust its authority.
type tlsSite struct {
	*site
	ca  *authority
	dir string // of its files
}

// serveTLS runs an app at the name a.test.
func serveTLS(t *testing.T, a psgi.App, change ...func(*Options)) *tlsSite {
	t.Helper()
	return serveTLSAt(t, listenWant(t, "127.0.0.1:0", ListenOptions{}), a, change...)
}

func serveTLSAt(t *testing.T, l net.Listener, a psgi.App, change ...func(*Options)) *tlsSite {
	t.Helper()
	s := &tlsSite{ca: newAuthority(t, "Test CA", nil), dir: t.TempDir()}
	pair := putPair(t, s.dir, "a.test", s.ca.issue("a.test"))
	b := &bound{Listener: l}
	b.tls.Store(true)
	s.site = serveAt(t, b, a, append([]func(*Options){func(o *Options) {
		o.TLS = &TLS{Pairs: []KeyPair{pair}, HTTP2: true}
	}}, change...)...)
	return s
}

// trusting is the configuration of a client that asks for its name.
func (s *tlsSite) trusting() *tls.Config {
	return &tls.Config{RootCAs: s.ca.pool(), ServerName: "a.test"}
}

// shake returns a connection and what has become of its handshake.
func (s *tlsSite) shake(config *tls.Config) (*tls.Conn, error) {
	s.t.Helper()
	inner, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	c := tls.Client(inner, config)
	_ = c.SetDeadline(time.Now().Add(patience))
	s.t.Cleanup(func() { inner.Close() })
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	return c, nil
}

// dial returns a client that speaks HTTP/1.1.
func (s *tlsSite) dial() *client {
	s.t.Helper()
	c, err := s.shake(s.trusting())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.over(c)
}
