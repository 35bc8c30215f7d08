package main

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
)

func TestLogIsForPeopleOnATerminalOnly(t *testing.T) {
	for _, c := range []struct {
		format   string
		terminal bool
		json     bool
		colours  bool
	}{
		{"auto", true, false, true},
		{"auto", false, true, false},
		{"console", true, false, true},
		{"console", false, false, false},
		{"json", true, true, false},
		{"json", false, true, false},
	} {
		text := logged(func(cfg *config.Config) { cfg.LogFormat = c.format }, c.terminal)
		if got := strings.HasPrefix(text, "{"); got != c.json {
			t.Errorf("%s, terminal %v: got %s", c.format, c.terminal, text)
		}
		if got := strings.Contains(text, "\x1b["); got != c.colours {
			t.Errorf("%s, terminal %v: got %q", c.format, c.terminal, text)
		}
	}
}

func TestQuietLogsWarningsWhateverTheLevel(t *testing.T) {
	for level, want := range map[string]string{
		"debug": "warn error", "info": "warn error", "warn": "warn error", "error": "error",
	} {
		text := logged(func(cfg *config.Config) { cfg.LogLevel, cfg.Quiet = level, true }, false)
		if got := levels(text); got != want {
			t.Errorf("%s: got %s, want %s", level, got, want)
		}
	}
	text := logged(func(cfg *config.Config) { cfg.LogLevel = "debug" }, false)
	if got, want := levels(text), "debug info warn error"; got != want {
		t.Errorf("not quiet: got %s, want %s", got, want)
	}
}

// logged returns what the logger of a configuration writes of one line of each level.
func logged(change func(*config.Config), terminal bool) string {
	cfg := config.Default()
	change(&cfg)
	var text strings.Builder
	log := newLogger(&cfg, stdio{err: &text, terminal: terminal}, zap.NewAtomicLevelAt(level(&cfg)))
	log.Debug("said")
	log.Info("said")
	log.Warn("said")
	log.Error("said")
	return text.String()
}

func levels(text string) string {
	var found []string
	for _, level := range []string{"debug", "info", "warn", "error"} {
		if strings.Contains(text, `"level":"`+level+`"`) {
			found = append(found, level)
		}
	}
	return strings.Join(found, " ")
}
