package config

import (
	"fmt"
	"strings"
)

// A Mistake is one thing wrong with what a person wrote.
type Mistake struct {
	Origin  string // where: "thrall.toml:12", "--workers", "PLACK_ENV"
	Key     string // which key, or "" when it is the file, or the origin names it
	Problem string // what was there and what is wanted
}

// String is the mistake on one line: "thrall.toml:12: workers: got 0, want …".
func (m Mistake) String() string {
	if m.Key == "" {
		return m.Origin + ": " + m.Problem
	}
	return m.Origin + ": " + m.Key + ": " + m.Problem
}

// Mistakes is the error of [Load]: everything that is wrong, in the order in
// which it was read: environment, file, command line. It is never empty.
type Mistakes []Mistake

// Error has one line for each mistake.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// longestQuote is how much of a wrong value is shown, in bytes: enough to find
// it again, and never a whole program that was given as a port.
const longestQuote = 60

// got renders a value as its writer would recognise it.
func got(value any) string {
	switch v := value.(type) {
	case string:
		if len(v) > longestQuote {
			return fmt.Sprintf("%.*q…", longestQuote, v)
		}
		return fmt.Sprintf("%q", v)
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = got(v[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		return "a table"
	default:
		return fmt.Sprint(v)
	}
}
