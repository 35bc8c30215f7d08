package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/thralld/thralld/config"
)

func TestSettingsThatAreShownLoadTheSame(t *testing.T) {
	settings := []config.Setting{
		{Key: "eval", Value: "builder {\n\t\"caf\u00e9 # \\\" ''' \"\"\" \" }\n"},
		{Key: "include", Value: "lib"},
		{Key: "modules", Value: "Foo=bar,baz"},
		{Key: "reload_dirs", Value: "a,b"},
		{Key: "timeout", Value: "1.5"},
		{Key: "max_body_bytes", Value: "1500000"},
		{Key: "quiet", Value: "1"},
	}
	tables := filepath.Join(t.TempDir(), "tables.toml")
	if err := os.WriteFile(tables, []byte("[[listener]]\naddress = \":81\"\n[[listener]]\naddress = \"@a # b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := config.Load(tables, settings)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := writeSettings(&text, want); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "thrall.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(file, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
