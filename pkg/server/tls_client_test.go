package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// asClient makes a certificate that is for clients.
func asClient(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// goodAndBad are the certificates of clients, by what is the matter with them. Only the
// good one may pass; without any is nil.
func goodAndBad(t *testing.T, clients *authority) map[string]*tls.Certificate {
	between := newAuthority(t, "Clients, Branch", clients)
	issue := func(by *authority, change ...func(*x509.Certificate)) *tls.Certificate {
		cert := by.issue("client", append([]func(*x509.Certificate){asClient}, change...)...)
		return &cert
	}
	chained := issue(between)
	chained.Certificate = append(chained.Certificate, between.cert.Raw)
	return map[string]*tls.Certificate{
		"good":                 issue(clients),
		"good, by its chain":   chained,
		"missing":              nil,
		"without its chain":    issue(between),
		"expired":              issue(clients, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }),
		"not yet valid":        issue(clients, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"of another authority": issue(newAuthority(t, "Clients", nil)), // of the same name
		"for servers only": issue(clients, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
	}
}

func TestOnlyGoodClientsAreServed(t *testing.T) {
	clients := newAuthority(t, "Clients", nil)
	certificates := goodAndBad(t, clients)
	served := func(mode Verify, what string) bool {
		switch what {
		case "good", "good, by its chain":
			return true
		case "missing":
			return mode != VerifyRequired
		}
		return mode == VerifyNone
	}
	s := serveTLS(t, showEnv("SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN"), func(o *Options) {
		o.TLS.ClientCAFile = put(t, t.TempDir(), "clients.pem", certPEM(clients.cert.Raw))
	})
	for mode, name := range map[Verify]string{VerifyNone: "none", VerifyGiven: "given", VerifyRequired: "required"} {
		s.change(func(o *Options) { tls := *o.TLS; tls.Verify = mode; o.TLS = &tls })
		for what, certificate := range certificates {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config := s.trusting()
				config.MaxVersion = version
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if certificate == nil {
						return new(tls.Certificate), nil
					}
					return certificate, nil
				}
				answer, err := s.try(config)
				want := "SSL_CLIENT_VERIFY=NONE\nSSL_CLIENT_S_DN=(none)"
				if mode != VerifyNone && certificate != nil {
					want = "SSL_CLIENT_VERIFY=SUCCESS\nSSL_CLIENT_S_DN=CN=client"
				}
				switch {
				case !served(mode, what):
					if err == nil {
						t.Errorf("verify %s, certificate %s, %x: served %q", name, what, version, answer.text)
					}
				case err != nil || answer.text != want:
					t.Errorf("verify %s, certificate %s, %x: %v, %q", name, what, version, err, answer.text)
				}
			}
		}
	}
}

// try makes a handshake and a request. With TLS 1.3 a client learns by the answer to its
// request only that its certificate was refused.
func (s *tlsSite) try(config *tls.Config) (reply, error) {
	c, err := s.shake(config)
	if err != nil {
		return reply{}, err
	}
	client := s.over(c).send(getOne)
	r, err := client.tryReply("GET")
	_ = c.Close()
	return r, err
}

func TestRefusedClientCallsNoApp(t *testing.T) {
	clients := newAuthority(t, "Clients", nil)
	s := serveTLS(t, app(func(context.Context, *psgi.Request) (*psgi.Response, error) {
		t.Error("it is called")
		return whole(200, ""), nil
	}), func(o *Options) {
		o.TLS.Verify = VerifyRequired
		o.TLS.ClientCAFile = put(t, t.TempDir(), "clients.pem", certPEM(clients.cert.Raw))
	})
	if _, err := s.try(s.trusting()); err == nil {
		t.Error("served")
	}
	s.logged("TLS handshake failed")
}

func TestSubjectIsWrittenAsApacheDoes(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	email := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	for want, name := range map[string]pkix.RDNSequence{
		"CN=alice,OU=Dept,O=Example\\, Inc.,C=DE": {
			{{Type: []int{2, 5, 4, 6}, Value: "DE"}},
			{{Type: []int{2, 5, 4, 10}, Value: "Example, Inc."}},
			{{Type: []int{2, 5, 4, 11}, Value: "Dept"}},
			{{Type: []int{2, 5, 4, 3}, Value: "alice"}},
		},
		"emailAddress=a@b.test,CN=\\#a \\\"b\\\"\\+c\\ ": {
			{{Type: []int{2, 5, 4, 3}, Value: "#a \"b\"+c "}},
			{{Type: email, Value: "a@b.test"}},
		},
		"CN=a\\0Ab+UID=7":    {{{Type: []int{2, 5, 4, 3}, Value: "a\nb"}, {Type: []int{0, 9, 2342, 19200300, 100, 1, 1}, Value: "7"}}},
		"1.2.3.4=#130178":    {{{Type: []int{1, 2, 3, 4}, Value: "x"}}},
		"DC=test,DC=example": {{{Type: []int{0, 9, 2342, 19200300, 100, 1, 25}, Value: "example"}}, {{Type: []int{0, 9, 2342, 19200300, 100, 1, 25}, Value: "test"}}},
		"CN=Jürgen":          {{{Type: []int{2, 5, 4, 3}, Value: "Jürgen"}}},
	} {
		raw, err := asn1.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		cert := ca.issue("x", func(c *x509.Certificate) { c.RawSubject = raw })
		if got := distinguishedName(cert.Leaf); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
