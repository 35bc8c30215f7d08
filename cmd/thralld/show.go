package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/thralld/thralld/config"
)

// widestValue is the column beyond which a long value, such as the code of eval,
// does not push the origins of all others to the right.
const widestValue = 48

// show prints the effective settings: a thrall.toml that means the same from
// every folder, with the origin of each value behind it.
func show(_ context.Context, in *invocation, cfg *config.Config) error {
	return writeSettings(in.std.out, cfg)
}

func writeSettings(w io.Writer, cfg *config.Config) error {
	var b strings.Builder
	writeKeys(&b, config.Keys(), cfg)
	for _, kind := range config.Tables() {
		for _, table := range cfg.Tables(kind) {
			fmt.Fprintf(&b, "\n[[%s]] # %s\n", kind.Name, table.Origin(""))
			writeKeys(&b, kind.Keys, table)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// valued is what has values for keys, each of some origin.
type valued interface {
	Value(key string) any
	Origin(key string) string
}

func writeKeys(b *strings.Builder, keys []config.Key, from valued) {
	names, values := 0, 0
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = tomlValue(from.Value(k.Name))
		names = max(names, len(k.Name))
		if len(texts[i]) <= widestValue {
			values = max(values, len(texts[i]))
		}
	}
	for i, k := range keys {
		fmt.Fprintf(b, "%-*s = %-*s # %s\n", names, k.Name, values, texts[i], from.Origin(k.Name))
	}
}

// tomlValue writes a value as TOML, on one line.
func tomlValue(value any) string {
	if list, ok := value.([]string); ok && len(list) == 0 {
		return "[]" // the encoder leaves out a nil list
	}
	text, err := toml.Marshal(map[string]any{"v": value})
	if err != nil {
		panic(err) // strings, numbers, switches and lists of strings always encode
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), "v = "))
}
