package config

import (
	"strings"
	"testing"
)

// form accepts and form refuses hold what the checks beyond types and ranges say.
func TestFormsThatAreRight(t *testing.T) {
	for key, texts := range map[string][]string{
		"listen":          {":80", ":0", "localhost:80", "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "fd:3", "systemd:web", "systemd:thralld.socket", "/run/a.sock", "./a", "a/b", "@web", "\x00web", `\0web`},
		"socket":          {"a.sock", "/run/a.sock", "@web", "\x00web", ""},
		"host":            {"", "localhost", "127.0.0.1", "::1", "[::1]", "example.org"},
		"modules":         {"Foo", "Foo::Bar", "Foo=bar,baz", "_x"},
		"path":            {"/", "/shop", "/shop/"},
		"server_software": {"", "thralld", "Apache/2 (really)"},
		"app":             {"app.psgi", "MyApp", "a b.psgi"},
		"socket_mode":     {"", "660", "0660", "777"},
		"umask":           {"", "0", "027"},

		"trusted_proxies":   {"127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "unix", "loopback", "private", "127.0.0.1,unix"},
		"forwarded_headers": {"x-forwarded-for", "X-Forwarded-Proto", "Forwarded", "X-Forwarded-Host,X-Forwarded-Port"},
		"request_id_header": {"", "X-Request-ID", "x-trace"},
	} {
		for _, text := range texts {
			if _, err := Load("", []Setting{{Key: key, Value: text, Origin: "--x"}}); err != nil {
				t.Errorf("%s = %q: %v", key, text, err)
			}
		}
	}
}

func TestFormsThatAreWrong(t *testing.T) {
	for key, texts := range map[string][]string{
		"listen":          {"", "80", "localhost", ":http", ":65536", ":-1", "::1:80", "unix:/run/a", "http://x:80", "@", "fd:2", "fd:x", "systemd:", "systemd:a:b", "systemd:a/b", "systemd:a\n", "a b:80", "x:"},
		"socket":          {"@", "\x00", `\0`},
		"host":            {"localhost:80", "a/b", "a b", "@x", "1:2"},
		"modules":         {"", "-strict", "Foo Bar", "Foo::", "Foo;system", "3Foo"},
		"path":            {"", "shop", "http://x/"},
		"server_software": {"a\r\nX: y", "caf\u00e9"},
		"app":             {"", "  "},
		"perl":            {""},
		"include":         {""},
		"umask":           {"8", "1000", "-1", "0o22", "u=rwx"},
		"socket_mode":     {"8", "1000", "0", "u=rw"},
		"env":             {""},
		"log_format":      {"", "JSON", "xml"},

		"trusted_proxies":   {"", "localhost", "10.0.0.0/33", "1.2.3.4:80", "[::1]", "fe80::1%eth0", "::ffff:10.0.0.1", "UNIX", "*", "10.0.0.1, unix"},
		"forwarded_headers": {"", "x-real-ip", "for", "x-forwarded-for "},
		"request_id_header": {"X Request", "X-Request-ID:", "x_request_id", "Transfer-Encoding", "connection", "a\r\nb", "-x"},
	} {
		for _, text := range texts {
			_, err := Load("", []Setting{{Key: key, Value: text, Origin: "--x"}})
			if err == nil || !strings.HasPrefix(err.Error(), "--x: got ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s = %q: got %v, want one mistake", key, text, err)
			}
		}
	}
}

func TestAbstractSocketsHaveOneSpelling(t *testing.T) {
	for _, text := range []string{"@web", "\x00web", `\0web`} {
		cfg := load(t, "", Setting{Key: "socket", Value: text}, Setting{Key: "listen", Value: text})
		if cfg.Socket != "@web" || cfg.Listen[0] != "@web" {
			t.Errorf("%q: got %q and %q, want @web", text, cfg.Socket, cfg.Listen[0])
		}
	}
}
