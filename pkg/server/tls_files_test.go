package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCertificatesThatCannotBeUsedAreNamedAllAtOnce(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "CA", nil)
	one, two := putPair(t, dir, "one", ca.issue("one.test")), putPair(t, dir, "two", ca.issue("two.test"))
	encrypted := put(t, dir, "encrypted.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	old := put(t, dir, "old.key", pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x"),
	}))
	text := put(t, dir, "text", []byte("hello\n"))
	damaged := put(t, dir, "damaged", certPEM([]byte("not ASN.1")))
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, echo)
	for want, opts := range map[string]TLS{
		"certificate " + dir + "/none: cannot be read: no such file or directory":                                 {Pairs: []KeyPair{{dir + "/none", one.KeyFile}}},
		"key " + dir + ": is not a file":                                                                          {Pairs: []KeyPair{{one.CertFile, dir}}},
		"certificate " + fifo + ": is not a file":                                                                 {Pairs: []KeyPair{{fifo, one.KeyFile}}},
		"certificate " + text + ": holds no certificate in PEM form":                                              {Pairs: []KeyPair{{text, one.KeyFile}}},
		"certificate " + damaged + ": certificate 1 in it is damaged":                                             {Pairs: []KeyPair{{damaged, one.KeyFile}}},
		"key " + text + ": holds no key in PEM form":                                                              {Pairs: []KeyPair{{one.CertFile, text}}},
		"key " + encrypted + ": is encrypted, and there is nobody to ask":                                         {Pairs: []KeyPair{{one.CertFile, encrypted}}},
		"key " + old + ": is encrypted":                                                                           {Pairs: []KeyPair{{one.CertFile, old}}},
		"key " + two.KeyFile + ": does not belong to the certificate " + one.CertFile:                             {Pairs: []KeyPair{{one.CertFile, two.KeyFile}}},
		"certificate " + one.KeyFile + ": holds no certificate, but PRIVATE KEY; are the files":                   {Pairs: []KeyPair{{one.KeyFile, one.CertFile}}},
		"key " + one.CertFile + ": holds no key, but CERTIFICATE; are the files":                                  {Pairs: []KeyPair{{one.KeyFile, one.CertFile}}},
		"chain " + text + ": holds no certificate":                                                                {Pairs: []KeyPair{one}, ChainFile: text},
		"authorities of clients " + dir + "/none: cannot be read":                                                 {Pairs: []KeyPair{one}, ClientCAFile: dir + "/none"},
		"certificate " + dir + "/a: cannot be read|key " + dir + "/b: cannot be read|chain " + dir + "/c: cannot": {Pairs: []KeyPair{{dir + "/a", dir + "/b"}}, ChainFile: dir + "/c"},
	} {
		o := s.opts
		o.TLS = &opts
		change, err := s.server.Prepare(o, with(ListenOptions{TLS: true}, "127.0.0.1:0"))
		if err == nil {
			change.Discard()
			t.Errorf("nothing is said of: %s", want)
			continue
		}
		for part := range strings.SplitSeq(want, "|") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	}
	s.dial().get("/").wantStatus(t, 200)
}

func TestExpiredCertificateIsNoMistake(t *testing.T) {
	ca, dir := newAuthority(t, "CA", nil), t.TempDir()
	end := time.Now().Add(-time.Minute).Truncate(time.Second)
	pair := putPair(t, dir, "old", ca.issue("old.test", func(c *x509.Certificate) { c.NotAfter = end }))
	s := serveTLS(t, echo, func(o *Options) { o.TLS.Pairs = append(o.TLS.Pairs, pair) })
	list := s.server.Certificates()
	if len(list) != 2 || !list[1].NotAfter.Equal(end) || !slices.Equal(list[1].Names, []string{"old.test"}) || list[1].File != pair.CertFile {
		t.Errorf("%+v", list)
	}
}

func TestNameChoosesTheCertificate(t *testing.T) {
	ca, dir := newAuthority(t, "Test CA", nil), t.TempDir()
	var pairs []KeyPair
	for i, names := range [][]string{{"first.test"}, {"*.example.test", "example.test"}, {"WWW.example.test"}, {"*.deep.example.test"}} {
		pairs = append(pairs, putPair(t, dir, names[0][2:]+string(rune('0'+i)), ca.issue(names[0], func(c *x509.Certificate) { c.DNSNames = names })))
	}
	s := serveTLS(t, echo, func(o *Options) { o.TLS.Pairs = pairs })
	for name, want := range map[string]string{
		"first.test": "first.test", "": "first.test", "unknown.test": "first.test", "a.b.example.test": "first.test", "test": "first.test",
		"example.test": "*.example.test", "any.example.test": "*.example.test", "ANY.Example.Test": "*.example.test",
		"www.example.test": "WWW.example.test", "x.deep.example.test": "*.deep.example.test", "deep.example.test": "*.example.test",
	} {
		c, err := s.shake(&tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q gets the certificate of %s, want %s", name, got, want)
		}
		_ = c.Close()
	}
}

func TestChainIsCompletedFromTheAuthorities(t *testing.T) {
	root, dir := newAuthority(t, "Root", nil), t.TempDir()
	upper := newAuthority(t, "Upper", root)
	lower := newAuthority(t, "Lower", upper)
	stranger := newAuthority(t, "Lower", newAuthority(t, "Root", nil)) // of the same name
	chain := put(t, dir, "chain", certPEM(root.cert.Raw, stranger.cert.Raw, upper.cert.Raw, lower.cert.Raw))
	bare := lower.issue("a.test")
	half := lower.issue("a.test")
	half.Certificate = append(half.Certificate, lower.cert.Raw)
	for name, pair := range map[string]tls.Certificate{"bare": bare, "half": half} {
		files := putPair(t, dir, name, pair)
		s := serveTLS(t, echo, func(o *Options) { o.TLS.Pairs, o.TLS.ChainFile = []KeyPair{files}, chain })
		s.ca = root
		c, err := s.shake(s.trusting())
		if err != nil {
			t.Fatal(err)
		}
		if sent := c.ConnectionState().PeerCertificates; len(sent) != 3 {
			t.Errorf("%s: %d certificates are sent", name, len(sent))
		}
		_ = c.Close()
	}
}

// looking makes a site look at its files at each handshake, however young they are.
func (s *tlsSite) looking() {
	set := *s.server.settings.Load()
	c := &certificates{opts: set.certificates.opts, log: set.Log}
	c.inForce.Store(set.certificates.inForce.Load())
	set.certificates = c
	s.server.settings.Store(&set)
}

// shown returns the certificate that a client is shown.
func (s *tlsSite) shown() *x509.Certificate {
	s.t.Helper()
	c, err := s.shake(&tls.Config{ServerName: "a.test", InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestRenewedCertificateIsShownWithoutAReload(t *testing.T) {
	s := serveTLS(t, echo)
	s.looking()
	c := s.dial()
	before, next := s.shown(), s.ca.issue("a.test")
	put(t, s.dir, "a.test.crt", certPEM(next.Certificate...))
	if !s.shown().Equal(before) {
		t.Error("a certificate is shown whose key is not there yet")
	}
	s.logged("changed certificates refused; those before stay")
	put(t, s.dir, "a.test.key", keyPEM(t, next))
	if !s.shown().Equal(next.Leaf) {
		t.Error("the one before is still shown")
	}
	s.logged("certificate renewed")
	c.get("/").wantStatus(t, 200) // what is open stays as it was
	if n := s.logs.FilterMessage("changed certificates refused; those before stay").Len(); n != 1 {
		t.Errorf("the refusal is logged %d times", n)
	}
	if list := s.server.Certificates(); !list[0].NotAfter.Equal(next.Leaf.NotAfter) {
		t.Errorf("status tells of another one: %+v", list)
	}
}

func TestBrokenPairKeepsNoOtherFromBeingRenewed(t *testing.T) {
	s := serveTLS(t, echo)
	other := s.ca.issue("b.test")
	pair := putPair(t, s.dir, "b.test", other)
	s.change(func(o *Options) { o.TLS = &TLS{Pairs: append([]KeyPair{pair}, o.TLS.Pairs...)} })
	s.looking()
	next := s.ca.issue("a.test")
	if err := os.Remove(pair.KeyFile); err != nil {
		t.Fatal(err)
	}
	putPair(t, s.dir, "a.test", next)
	if !s.shown().Equal(next.Leaf) {
		t.Error("it is not renewed")
	}
	if name := s.server.Certificates()[0].Names[0]; name != "b.test" {
		t.Errorf("the broken one is %s now", name)
	}
}

func TestFilesThatAreBeingWrittenAreLeftAlone(t *testing.T) {
	s := serveTLS(t, echo)
	c := s.server.settings.Load().certificates
	before := c.inForce.Load()
	put(t, s.dir, "a.test.crt", []byte("half"))
	c.renew(time.Now())
	if c.inForce.Load() != before || s.logs.FilterMessage("changed certificates refused; those before stay").Len() > 0 {
		t.Error("it is read at once")
	}
	c.renew(time.Now().Add(2 * quietAfter))
	s.logged("changed certificates refused; those before stay")
}

func TestReloadWithABrokenPairKeepsTheOldOne(t *testing.T) {
	s := serveTLS(t, echo)
	before := s.shown()
	put(t, s.dir, "a.test.key", []byte("broken"))
	if _, err := s.server.Prepare(s.opts, with(ListenOptions{TLS: true}, "127.0.0.1:0")); err == nil {
		t.Fatal("it can be prepared")
	}
	if !s.shown().Equal(before) {
		t.Error("another certificate is shown")
	}
	next := s.ca.issue("a.test")
	putPair(t, s.dir, "a.test", next)
	s.change(unchanged)
	if !s.shown().Equal(next.Leaf) {
		t.Error("the one before is still shown")
	}
}

func TestKeyThatTheUserMayNotReadAgainStaysLoaded(t *testing.T) {
	s := serveTLS(t, echo)
	before := s.shown()
	key := s.opts.TLS.Pairs[0].KeyFile
	if err := os.Chmod(key, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who may read everything: this thread gives that up for a while
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.Setfsuid(65534)
		defer func() { _ = unix.Setfsuid(0) }()
	}
	opts := s.opts
	opts.SpoolDir = "" // the user may not write to the other one
	s.prepare(opts).Commit()
	s.logged("certificates cannot be read again; what was read before stays")
	if !s.shown().Equal(before) {
		t.Error("another certificate is shown")
	}
	opts.TLS = &TLS{Pairs: []KeyPair{{opts.TLS.Pairs[0].CertFile, key}, {key, key}}}
	if _, err := s.server.Prepare(opts, nil); err == nil || !strings.Contains(err.Error(), "let the user that thralld runs as read it") {
		t.Errorf("files that were not read before: %v", err)
	}
}
