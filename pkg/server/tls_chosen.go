package server

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
)

// chosen is what one reading of the files has brought. It does not change.
type chosen struct {
	opts        TLS
	config      *tls.Config
	pairs       []*tls.Certificate // of TLS.Pairs, with their chains
	authorities []*x509.Certificate
	clientCAs   []*x509.Certificate
	files       []stamp // as they were right before

	// The pairs for each name that a certificate has; those with wildcards by what follows
	// the asterisk. Names are in lower case.
	byName, byDomain map[string][]*tls.Certificate
}

// loadChosen reads all files. Where one of them cannot be used, and old has what it was
// before, and mayStay finds nothing amiss in that, that stands in for it; stayed then says
// what it stands in for. Every other failure is in err.
func loadChosen(opts TLS, old *chosen, mayStay func(error) bool) (c *chosen, stayed, err error) {
	c = &chosen{opts: opts, files: stamps(opts)}
	stays := func(failure error, has bool) bool {
		switch {
		case failure == nil:
			return false
		case has && mayStay(failure):
			stayed = errors.Join(stayed, failure)
			return true
		}
		err = errors.Join(err, failure)
		return false
	}
	if old == nil {
		old = new(chosen)
	}
	for _, p := range opts.Pairs {
		pair, failure := loadPair(p)
		was := old.pairOf(p)
		if stays(failure, was != nil) {
			pair = *was
		}
		c.pairs = append(c.pairs, &pair)
	}
	var failure error
	c.authorities, failure = loadAuthorities("chain", opts.ChainFile)
	if stays(failure, opts.ChainFile == old.opts.ChainFile) {
		c.authorities = old.authorities
	}
	c.clientCAs, failure = loadAuthorities("authorities of clients", opts.ClientCAFile)
	if stays(failure, opts.ClientCAFile == old.opts.ClientCAFile) {
		c.clientCAs = old.clientCAs
	}
	if err != nil {
		return nil, nil, err
	}
	c.finish()
	return c, stayed, nil
}

// pairOf returns the pair that was read from those files, or nil.
func (c *chosen) pairOf(p KeyPair) *tls.Certificate {
	for i, known := range c.opts.Pairs {
		if known == p {
			return c.pairs[i]
		}
	}
	return nil
}

// finish derives what handshakes need.
func (c *chosen) finish() {
	c.byName, c.byDomain = make(map[string][]*tls.Certificate), make(map[string][]*tls.Certificate)
	for _, pair := range c.pairs {
		complete(pair, c.authorities)
		for _, name := range namesOf(pair.Leaf) {
			name = strings.ToLower(name)
			if domain, ok := strings.CutPrefix(name, "*."); ok {
				c.byDomain[domain] = append(c.byDomain[domain], pair)
			} else {
				c.byName[name] = append(c.byName[name], pair)
			}
		}
	}
	c.config = &tls.Config{
		MinVersion:     max(c.opts.MinVersion, tls.VersionTLS12),
		CipherSuites:   suites,
		GetCertificate: c.certificateFor,
		ClientAuth:     c.opts.Verify.clientAuth(),
		NextProtos:     []string{"http/1.1"},
	}
	if c.opts.HTTP2 {
		c.config.NextProtos = []string{"h2", "http/1.1"}
	}
	if c.opts.Verify != VerifyNone {
		c.config.ClientCAs = x509.NewCertPool()
		for _, ca := range c.clientCAs {
			c.config.ClientCAs.AddCert(ca)
		}
	}
}

// certificateFor chooses the certificate for a client: one of several with the same name
// by what signatures the client knows.
func (c *chosen) certificateFor(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	fitting := c.byName[name]
	if fitting == nil {
		_, domain, _ := strings.Cut(name, ".")
		fitting = c.byDomain[domain]
	}
	for _, pair := range fitting {
		if hello.SupportsCertificate(pair) == nil {
			return pair, nil
		}
	}
	if len(fitting) > 0 {
		return fitting[0], nil
	}
	return c.pairs[0], nil
}

// list tells of the certificates, in the order of the configuration.
func (c *chosen) list() []Certificate {
	list := make([]Certificate, len(c.pairs))
	for i, pair := range c.pairs {
		list[i] = Certificate{
			File: c.opts.Pairs[i].CertFile, Names: namesOf(pair.Leaf),
			NotBefore: pair.Leaf.NotBefore, NotAfter: pair.Leaf.NotAfter,
		}
	}
	return list
}

// namesOf lists the names and addresses that a certificate is for; if it has none, what
// its subject is called.
func namesOf(cert *x509.Certificate) []string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{cmp.Or(cert.Subject.CommonName, "(no name)")}
	}
	return names
}
