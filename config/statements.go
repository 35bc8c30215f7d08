package config

import (
	"regexp"
	"strings"
	"sync"
)

// A statement is one `key = value` or one table header of a TOML file, with the
// number of the line on which it begins. Comments stay in its text.
type statement struct {
	line int
	text string
}

// keyAhead is what the line after an array that was never closed looks like: a key, or
// the header of a table. What stands in an array looks like neither.
var keyAhead = sync.OnceValue(func() *regexp.Regexp {
	var names []string
	for _, k := range Tables() {
		names = append(names, k.Name)
	}
	return regexp.MustCompile(`^[ \t]*([\w-]+[ \t]*=|\[\[[ \t]*(` + strings.Join(names, "|") + `)[ \t]*\]\])`)
})

// statements cuts a TOML file at the ends of its statements: at each newline that
// is neither in a multi-line string nor in brackets. It judges nothing; the
// pieces of a sound file are sound, and a broken piece breaks no other one:
// text in plain quotes ends with its line, and an array before the next line
// that looks like a key or a header.
func statements(data string) []statement {
	var list []statement
	for line := 1; data != ""; {
		text := data[:end(data)]
		data = data[len(text):]
		if visible := strings.TrimLeft(text, " \t\r\n"); visible != "" && visible[0] != '#' {
			list = append(list, statement{line, text})
		}
		line += strings.Count(text, "\n")
	}
	return list
}

// end returns the length of the first statement of data, its newline included.
func end(data string) int {
	arrays, tables := 0, 0
	for i := 0; i < len(data); {
		switch data[i] {
		case '"', '\'':
			i += quoted(data[i:])
			continue
		case '#':
			i += comment(data[i:])
			continue
		case '[':
			arrays++
		case ']':
			arrays--
		case '{':
			tables++
		case '}':
			tables--
		case '\n':
			inside := arrays > 0 || tables > 0
			if !inside || (tables <= 0 && keyAhead().MatchString(data[i+1:])) {
				return i + 1
			}
		}
		i++
	}
	return len(data)
}

// comment returns how many bytes there are before the end of the line.
func comment(data string) int {
	if newline := strings.IndexByte(data, '\n'); newline >= 0 {
		return newline
	}
	return len(data)
}

// quoted returns the length of the text in quotes that data begins with.
func quoted(data string) int {
	quote := data[:1]
	long := strings.Repeat(quote, 3)
	if strings.HasPrefix(data, long) {
		return quotedLong(data, long)
	}
	for i := 1; i < len(data); i++ {
		switch {
		case data[i] == '\n':
			return i
		case data[i] == '\\' && quote == `"` && !strings.HasPrefix(data[i+1:], "\n"):
			i++
		case data[i] == quote[0]:
			return i + 1
		}
	}
	return len(data)
}

// quotedLong is quoted for three quotes. Up to two more before the closing three
// are part of the text.
func quotedLong(data, long string) int {
	for i := 3; i < len(data); i++ {
		switch {
		case data[i] == '\\' && long[0] == '"':
			i++
		case strings.HasPrefix(data[i:], long):
			i += 3
			for extra := 0; extra < 2 && i < len(data) && data[i] == long[0]; extra++ {
				i++
			}
			return i
		}
	}
	return len(data)
}
