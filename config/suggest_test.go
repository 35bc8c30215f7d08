package config

import "testing"

func TestUnknownKeyNamesTheNearest(t *testing.T) {
	for word, want := range map[string]string{
		"worker":             "workers",
		"wrokers":            "workers",
		"max-queue":          "max_queue",
		"Timeout":            "timeout",
		"keepalivetimer":     "keepalive_timeout",
		"keep_alive_timeout": "keepalive_timeout",
		"ssl_keyfile":        "ssl_key_file",
		"prot":               "port",
		"color":              "",
		"x":                  "",
		"":                   "",
	} {
		if got := Nearest(word, Names()); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
