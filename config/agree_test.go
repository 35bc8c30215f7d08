package config

import (
	"path/filepath"
	"reflect"
	"testing"
)

func TestWhatIsSaidOfTLSHasToBeWhole(t *testing.T) {
	for text, want := range map[string]string{
		"ssl = true": ":1: ssl: needs ssl_cert_file and ssl_key_file",
		"ssl = true\nssl_cert_file = ['a', 'b']\nssl_key_file = 'a'": ":2: ssl_cert_file: 2 of them, and of ssl_key_file 1; " +
			"each certificate needs its key, in the same order",
		"ssl = false\nssl_key_file = 'a'":                          ":2: ssl_key_file: needs ssl_cert_file",
		"ssl_cert_file = 'a'\nssl_key_file = 'a'":                  ":1: ssl_cert_file: has no effect without ssl = true",
		"ssl_verify_mode = 1\nssl_client_ca_file = 'a'":            ":2: ssl_client_ca_file: has no effect without ssl = true",
		"ssl = false\nssl_verify_mode = 3":                         ":2: ssl_verify_mode: got 3, which needs ssl_client_ca_file: the authorities that clients' certificates are checked against",
		"ssl = false\nssl_client_ca_file = 'a'":                    ":2: ssl_client_ca_file: has no effect without ssl_verify_mode: 1 checks the certificates that clients send, 3 requires one",
		"ssl_cert_file = 1":                                        ":1: ssl_cert_file: got 1, want text in quotes, or a list of such texts",
		"ssl_min_version = '1.1'":                                  `:1: ssl_min_version: got "1.1", want 1.2 or 1.3`,
		"ssl_verify_mode = 'SSL_VERIFY_PEER|SSL_VERIFY_NO_CLIENT'": `:1: ssl_verify_mode: got "SSL_VERIFY_PEER|SSL_VERIFY_NO_CLIENT", want ` + Key{typ: reflect.TypeFor[VerifyMode]()}.want(),
	} {
		t.Run(text, func(t *testing.T) {
			file := write(t, text+"\n")
			refused(t, file+want, file)
		})
	}
}

func TestModeOfVerificationMayBeWrittenAsIOSocketSSLDoes(t *testing.T) {
	for text, want := range map[string]VerifyMode{
		"0": VerifyNone, "1": VerifyPeer, "3": VerifyRequired, "1|2": VerifyRequired,
		"SSL_VERIFY_NONE": VerifyNone, "ssl_verify_peer": VerifyPeer,
		"SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT": VerifyRequired,
	} {
		if got, err := ParseVerifyMode(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2", "4", "7", "-1", "peer", "SSL_VERIFY_FAIL_IF_NO_PEER_CERT", "1|"} {
		if got, err := ParseVerifyMode(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	cfg := load(t, write(t, "ssl = false\nssl_client_ca_file = 'ca.pem'\nssl_verify_mode = 'SSL_VERIFY_PEER'\nssl_cert_file = 'c'\nssl_key_file = ['k']\n"))
	if cfg.SSLVerifyMode != VerifyPeer || len(cfg.SSLCertFile) != 1 || !filepath.IsAbs(cfg.SSLCertFile[0]) {
		t.Errorf("%+v", cfg)
	}
}
