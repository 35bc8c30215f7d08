package config

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// An entry is one key of thrall.toml with its value as TOML types have it, or the
// header of a table. A key that needs quotes has them.
type entry struct {
	line  int
	key   string // of a header all of it, with its brackets
	value any

	table  string // the name in a header; "" for a key
	double bool   // the header is [[such]]
}

// A fileMistake is a Mistake that still knows its line as a number.
type fileMistake struct {
	line int
	Mistake
}

func (e entry) mistake(file, problem string) fileMistake {
	return fileMistake{e.line, Mistake{Origin: file + ":" + strconv.Itoa(e.line), Key: e.key, Problem: problem}}
}

// sorted puts mistakes that were found in several passes in the order of the file.
func sorted(found []fileMistake) Mistakes {
	slices.SortStableFunc(found, func(a, b fileMistake) int { return cmp.Compare(a.line, b.line) })
	var mistakes Mistakes
	for _, m := range found {
		mistakes = append(mistakes, m.Mistake)
	}
	return mistakes
}

// parseFile decodes the statements of thrall.toml one by one. What is not TOML is a
// mistake; which keys and tables there are is for the caller to judge.
func parseFile(name, data string) (entries []entry, mistakes []fileMistake) {
	if line := badUTF8(data); line > 0 {
		return nil, []fileMistake{entry{line: line}.mistake(name, "is not UTF-8 text")}
	}
	data = strings.TrimPrefix(data, "\uFEFF")
	for _, s := range statements(data) {
		read := s.decode
		if s.isHeader() {
			read = s.decodeHeader
		}
		e, problem := read()
		if problem != "" {
			mistakes = append(mistakes, e.mistake(name, problem))
		}
		if problem == "" || e.table != "" {
			entries = append(entries, e)
		}
	}
	return entries, mistakes
}

// badUTF8 returns the line of the first byte that is not UTF-8, or 0.
func badUTF8(data string) int {
	line := 1
	for i, r := range data {
		if r == '\n' {
			line++
		}
		if r == utf8.RuneError && !strings.HasPrefix(data[i:], "\uFFFD") {
			return line
		}
	}
	return 0
}

// isHeader reports whether the statement is the header of a table, [such] or [[such]].
func (s statement) isHeader() bool { return strings.HasPrefix(strings.TrimSpace(s.text), "[") }

// decodeHeader reads the header of a table. One that is broken has the name that it
// seems to have, so that the keys below it are not taken for others.
func (s statement) decodeHeader() (e entry, problem string) {
	e.line = s.line
	e.key = strings.TrimSpace(s.text)
	if found := looseHeader.FindStringSubmatch(e.key); found != nil {
		e.key, e.table = found[0], found[1]
	}
	e.double = strings.HasPrefix(e.key, "[[")
	var values map[string]any
	meta, err := toml.Decode(s.text, &values)
	var wrong toml.ParseError
	switch {
	case errors.As(err, &wrong):
		return e, "is not TOML: " + wrong.Message
	case err != nil:
		return e, "is not TOML: " + err.Error()
	}
	if names := meta.Keys(); len(names) > 0 {
		e.table = names[len(names)-1].String()
	}
	return e, ""
}

// decode reads one `key = value`. A dotted key is TOML's short way to write a
// table, and comes back as the whole key with its innermost value.
func (s statement) decode() (e entry, problem string) {
	e.line = s.line
	var values map[string]any
	meta, err := toml.Decode(s.text, &values)
	var wrong toml.ParseError
	switch {
	case errors.As(err, &wrong):
		if found := looseKey.FindStringSubmatch(s.text); found != nil {
			e.key = found[1]
		}
		e.line += max(wrong.Position.Line, 1) - 1
		return e, s.explain(wrong)
	case err != nil:
		return e, "is not TOML: " + err.Error()
	}
	for _, value := range values {
		e.value = value
	}
	if names := meta.Keys(); len(names) > 0 {
		e.key = names[0].String()
	}
	return e, ""
}

var (
	looseHeader = regexp.MustCompile(`^\[+\s*([^\]\s]*)\s*\]*`)

	looseKey = regexp.MustCompile(`^\s*([\w-]+)\s*[=:]`)
	bareText = regexp.MustCompile(`^\s*([\w-]+)\s*=\s*([^\s"'=#{}\[\]][^"'=#{}\[\]\n]*)(#.*)?$`)
	unclosed = regexp.MustCompile(`^\s*[\w-]+\s*=\s*\[`)
)

// explain says what is wrong with a statement that is not TOML. The commonest
// slips have words of their own: the library's are about the characters that it
// expected.
func (s statement) explain(wrong toml.ParseError) string {
	if found := bareText.FindStringSubmatch(strings.TrimSpace(s.text)); found != nil {
		key, value := found[1], strings.TrimSpace(found[2])
		if k, ok := find(key); ok && !k.fitsInQuotes(value) {
			return "got " + value + ", want " + k.want()
		}
		return "text needs quotes: " + key + ` = "` + value + `"`
	}
	if unclosed.MatchString(s.text) && strings.HasPrefix(wrong.Message, "unexpected EOF") {
		return "is a list without its closing ]"
	}
	return "is not TOML: " + wrong.Message
}

// fitsInQuotes reports whether a value that lacks its quotes would be right with
// them.
func (k Key) fitsInQuotes(value string) bool {
	_, ok := k.fromTOML(value)
	return ok
}
