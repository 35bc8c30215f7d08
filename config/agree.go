package config

import (
	"fmt"
	"slices"
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
	l.proxies()
	l.agreeOnListeners()
	l.agreeOnTLS()
}

// proxies notes what is wrong between the keys about proxies.
func (l *loader) proxies() {
	c := l.cfg
	if len(c.TrustedProxies) == 0 {
		const needs = "needs trusted_proxies, which say whose connections are not closed"
		if c.ProxyProtocol {
			l.disagree("proxy_protocol", needs)
		}
		for i, listener := range c.Listeners() {
			if listener.ProxyProtocol && !c.ProxyProtocol {
				l.disagreeAt(i, "proxy_protocol", needs)
			}
		}
	}
	if len(c.ForwardedHeaders) > 1 && slices.Contains(c.ForwardedHeaders, "forwarded") {
		l.disagree("forwarded_headers", `has "forwarded" beside others; name what your proxy sets, as clients could send it the other`)
	}
}

// agreeOnTLS holds that what is said of TLS is whole, and is asked for: certificates
// that nobody is shown, or authorities that nobody is checked against, are a surprise
// that had better come now.
func (l *loader) agreeOnTLS() {
	c := l.cfg
	keys, certs := len(c.SSLKeyFile), len(c.SSLCertFile)
	speaking := slices.IndexFunc(c.Listeners(), func(l Listener) bool { return l.SSL })
	const needs = "needs ssl_cert_file and ssl_key_file"
	switch {
	case c.SSL && certs == 0:
		l.disagree("ssl", needs)
	case speaking >= 0 && certs == 0:
		l.disagreeAt(speaking, "ssl", needs)
	case keys != certs && certs > 0:
		l.disagree("ssl_cert_file", fmt.Sprintf("%d of them, and of ssl_key_file %d; each certificate needs its key, in the same order", certs, keys))
	case keys != certs:
		l.disagree("ssl_key_file", "needs ssl_cert_file")
	}
	unsaid := func(key string) bool { return c.Origin(key) == "default" }
	for _, key := range []string{"ssl_cert_file", "ssl_client_ca_file", "ssl_verify_mode"} {
		if speaking < 0 && unsaid("ssl") && !unsaid(key) {
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

// disagree notes a mistake in a key that is right by itself.
func (l *loader) disagree(key, problem string) {
	l.mistakes = append(l.mistakes, l.cfg.mistaken(key, problem))
}

// disagreeAt is disagree for a key of one of [Config.Listeners].
func (l *loader) disagreeAt(i int, key, problem string) {
	origin, name := l.cfg.ListenerOrigin(i, key)
	l.mistakes = append(l.mistakes, Mistake{Origin: origin, Key: name, Problem: problem})
}

// mistaken is the mistake of a key whose value is right by itself, where it was set.
func (c *Config) mistaken(key, problem string) Mistake {
	m := Mistake{Origin: c.Origin(key), Key: key, Problem: problem}
	switch {
	case strings.HasPrefix(m.Origin, "--"): // which names the key
		m.Key = ""
	case m.Origin == "default":
		m.Origin, m.Key = key, ""
	}
	return m
}
