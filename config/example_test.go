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
	commented := regexp.MustCompile(`(?m)^# ([a-z0-9_]+ = .*)$`)
	uncommented := commented.ReplaceAll(example, []byte("$1"))

	t.Chdir(t.TempDir())
	if err := os.WriteFile("thrall.toml", uncommented, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, "thrall.toml")
	same(t, load(t, ""), cfg)

	var missing []string
	for _, k := range Keys() {
		if cfg.Origin(k.Name) == "default" {
			missing = append(missing, k.Name)
		}
	}
	if diff := cmp.Diff([]string(nil), missing); diff != "" {
		t.Errorf("keys that the example lacks:\n%s", diff)
	}
}
