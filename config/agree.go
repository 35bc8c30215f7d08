package config

import (
	"fmt"
	"strings"
)

// agree notes what is wrong between keys that are each right.
func (l *loader) agree() {
	c := l.cfg
	for _, rule := range []struct {
		broken      bool
		key, beside string
	}{
		{c.MinWorkers > c.Workers, "min_workers", "workers"},
		{c.MaxReqsPerChild > 0 && c.MinReqsPerChild > c.MaxReqsPerChild, "min_reqs_per_child", "max_reqs_per_child"},
	} {
		if rule.broken {
			l.disagree(rule.key, fmt.Sprintf("got %v, want at most %v, which is %s (%s)",
				c.Value(rule.key), c.Value(rule.beside), rule.beside, c.Origin(rule.beside)))
		}
	}
	l.agreeOnTLS()
}

// agreeOnTLS holds that what is said of TLS is whole, and is asked for: certificates
// that nobody is shown, or authorities that nobody is checked against, are a surprise
// that had better come now.
func (l *loader) agreeOnTLS() {
	c := l.cfg
	keys, certs := len(c.SSLKeyFile), len(c.SSLCertFile)
	switch {
	case c.SSL && certs == 0:
		l.disagree("ssl", "needs ssl_cert_file and ssl_key_file")
	case keys != certs && certs > 0:
		l.disagree("ssl_cert_file", fmt.Sprintf("%d of them, and of ssl_key_file %d; each certificate needs its key, in the same order", certs, keys))
	case keys != certs:
		l.disagree("ssl_key_file", "needs ssl_cert_file")
	}
	unsaid := func(key string) bool { return c.Origin(key) == "default" }
	for _, key := range []string{"ssl_cert_file", "ssl_client_ca_file", "ssl_verify_mode"} {
		if !c.SSL && unsaid("ssl") && !unsaid(key) {
			l.disagree(key, "has no effect without ssl = true")
			break
		}
	}
	switch {
	case c.SSLVerifyMode != VerifyNone && c.SSLClientCAFile == "":
		l.disagree("ssl_verify_mode", fmt.Sprintf("got %d, which needs ssl_client_ca_file: the authorities that clients' certificates are checked against", c.SSLVerifyMode))
	case c.SSLClientCAFile != "" && unsaid("ssl_verify_mode"):
		l.disagree("ssl_client_ca_file", "has no effect without ssl_verify_mode: 1 checks the certificates that clients send, 3 requires one")
	}
}

// disagree notes what is wrong with a key, where it was set.
func (l *loader) disagree(key, problem string) {
	m := Mistake{Origin: l.cfg.Origin(key), Key: key, Problem: problem}
	switch {
	case strings.HasPrefix(m.Origin, "--"): // which names the key
		m.Key = ""
	case m.Origin == "default":
		m.Origin, m.Key = key, ""
	}
	l.mistakes = append(l.mistakes, m)
}
