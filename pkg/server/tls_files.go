package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// longestPEM is how long a file of certificates may be, in bytes: enough for all
// authorities of the world, and no trap if it is a device.
const longestPEM = 4 << 20

// readPEM reads a file of certificates or a key.
func readPEM(what, file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s %s: is not a file", what, file)
	case info.Size() > longestPEM:
		return nil, fmt.Errorf("%s %s: has %d bytes, more than %d", what, file, info.Size(), longestPEM)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s %s: cannot be read: %w; let the user that thralld runs as read it", what, file, fs.ErrPermission)
	case err != nil:
		return nil, fmt.Errorf("%s %s: cannot be read: %v", what, file, unixsocket.Reason(err))
	}
	return text, nil
}

// loadPair reads a certificate with its chain, and its key.
func loadPair(p KeyPair) (tls.Certificate, error) {
	cert, certErr := readPEM("certificate", p.CertFile)
	if certErr == nil {
		_, certErr = parseCertificates("certificate", p.CertFile, cert)
	}
	key, keyErr := readPEM("key", p.KeyFile)
	if keyErr == nil {
		keyErr = checkKey(p.KeyFile, key)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return pair, nil
	case strings.Contains(err.Error(), "does not match"):
		return pair, fmt.Errorf("key %s: does not belong to the certificate %s; each certificate needs the key that it was made for",
			p.KeyFile, p.CertFile)
	}
	return pair, fmt.Errorf("key %s: cannot be used with the certificate %s: %s", p.KeyFile, p.CertFile, strings.TrimPrefix(err.Error(), "tls: "))
}

// parseCertificates reads all certificates of a file, at least one.
func parseCertificates(what, file string, text []byte) (list []*x509.Certificate, err error) {
	var found []string
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		found = append(found, block.Type)
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s %s: certificate %d in it is damaged: %s", what, file, len(list)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		list = append(list, cert)
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(found) > 0:
		return nil, fmt.Errorf("%s %s: holds no certificate, but %s; are the files in each other's place?", what, file, found[0])
	}
	return nil, fmt.Errorf("%s %s: holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----", what, file)
}

// checkKey tells what is commonly wrong with a key.
func checkKey(file string, text []byte) error {
	var found string
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return fmt.Errorf("key %s: is encrypted, and there is nobody to ask for its passphrase; "+
				"write it without one: openssl pkey -in %s -out NEW", file, file)
		case block.Type == "PRIVATE KEY", strings.HasSuffix(block.Type, " PRIVATE KEY"):
			return nil
		}
		found = block.Type
	}
	if found != "" {
		return fmt.Errorf("key %s: holds no key, but %s; are the files in each other's place?", file, found)
	}
	return fmt.Errorf("key %s: holds no key in PEM form, which begins with -----BEGIN PRIVATE KEY-----", file)
}

// loadAuthorities reads the certificates of a file that may be "".
func loadAuthorities(what, file string) ([]*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readPEM(what, file)
	if err != nil {
		return nil, err
	}
	return parseCertificates(what, file, text)
}

// complete adds to a pair's chain those authorities that lead on from its end. A root
// is left out: who does not know it has no reason to trust it.
func complete(pair *tls.Certificate, authorities []*x509.Certificate) {
	last := pair.Leaf
	if n := len(pair.Certificate); n > 1 {
		end, err := x509.ParseCertificate(pair.Certificate[n-1])
		if err != nil {
			return
		}
		last = end
	}
	for range authorities {
		next := issuer(last, authorities)
		if next == nil {
			return
		}
		pair.Certificate = append(slices.Clip(pair.Certificate), next.Raw)
		last = next
	}
}

// issuer returns who has signed a certificate, unless it is a root that has signed
// itself, or nil.
func issuer(of *x509.Certificate, authorities []*x509.Certificate) *x509.Certificate {
	for _, a := range authorities {
		if !bytes.Equal(a.RawSubject, a.RawIssuer) && bytes.Equal(a.RawSubject, of.RawIssuer) && of.CheckSignatureFrom(a) == nil {
			return a
		}
	}
	return nil
}
