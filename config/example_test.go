package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// thrall.toml.example is a manual that can be wrong in three ways: a key that is
// missing, one that is not there any more, and a default that has changed.
func TestExampleIsCompleteAndEqualToTheDefaults(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "thrall.toml.example"))
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^# ([a-z0-9_]+ = .*|\[\[[a-z]+\]\])$`)
	uncommented := commented.ReplaceAll(example, []byte("$1"))

	t.Chdir(t.TempDir())
	if err := os.WriteFile("thrall.toml", uncommented, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, "thrall.toml")
	var missing []string
	for _, kind := range Tables() {
		if tables := cfg.Tables(kind); len(tables) == 1 {
			missing = append(missing, notDefault(t, kind, tables[0])...)
		} else {
			t.Errorf("the example has %d of [[%s]], want one", len(tables), kind.Name)
		}
		cfg.drop(kind.Name)
	}
	same(t, load(t, ""), cfg)

	for _, k := range Keys() {
		if cfg.Origin(k.Name) == "default" {
			missing = append(missing, k.Name)
		}
	}
	if diff := cmp.Diff([]string(nil), missing); diff != "" {
		t.Errorf("keys that the example lacks:\n%s", diff)
	}
}

// notDefault holds the example of a table to the defaults, but for the keys that have
// none, and returns those that it lacks.
func notDefault(t *testing.T, kind Key, table Table) (missing []string) {
	t.Helper()
	defaults := newTable(kind)
	for _, k := range kind.Keys {
		if table.Origin(k.Name) == "default" {
			missing = append(missing, kind.Name+"."+k.Name)
		}
		if diff := cmp.Diff(defaults.Value(k.Name), table.Value(k.Name)); diff != "" && !k.required {
			t.Errorf("%s of [[%s]]:\n%s", k.Name, kind.Name, diff)
		}
	}
	return missing
}
