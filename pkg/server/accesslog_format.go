package server

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/thralld/thralld/pkg/psgi"
)

// AccessFormat is the form of the lines of an access log. It never changes.
type AccessFormat struct {
	parts []appender // of a line, in order
	sent  []string   // fields of the response that it names, in lower case
	waits bool       // it says how long requests wait for a worker
}

// appender appends a part of the line of a visit.
type appender func(dst []byte, v *visit) []byte

// The formats that have names. Those of tokens are Plack's and Apache's.
const (
	commonFormat   = `%h %l %u %t "%r" %>s %b`
	combinedFormat = commonFormat + ` "%{Referer}i" "%{User-agent}i"`
)

var combined, _ = ParseAccessFormat(combinedFormat)

// FormatMistakes is the error of [ParseAccessFormat]: a line for each thing that is
// wrong, with its column. It is never empty.
type FormatMistakes []string

// Error has a line for each mistake.
func (m FormatMistakes) Error() string { return strings.Join(m, "\n") }

// ParseAccessFormat makes a format of its name (common, combined or json) or of the
// tokens that Plack::Middleware::AccessLog and Apache know, with %{NAME}x for what only
// thralld knows. The error is a [FormatMistakes].
//
// Whatever clients and apps send, a line stays one line: what is not printable ASCII
// is escaped, and so are the double quote and the backslash. A blank in a value is
// escaped, too, where one beside the token divides the line, outside of double quotes.
func ParseAccessFormat(text string) (*AccessFormat, error) {
	switch text {
	case "common":
		text = commonFormat
	case "combined":
		text = combinedFormat
	case "json":
		return &AccessFormat{parts: []appender{appendJSON}, waits: true}, nil
	}
	p := formatParser{text: text}
	p.parse()
	if p.mistakes != nil {
		return nil, p.mistakes
	}
	return &p.format, nil
}

// appendLine appends the line of a visit, with its end.
func (f *AccessFormat) appendLine(dst []byte, v *visit) []byte {
	for _, part := range f.parts {
		dst = part(dst, v)
	}
	return append(dst, '\n')
}

// appendSent appends the values of the fields of a response that the format names.
func (f *AccessFormat) appendSent(dst []string, h *head) []string {
	for _, name := range f.sent {
		value := ""
		if name == "content-length" {
			if h.length >= 0 {
				value = strconv.FormatInt(h.length, 10)
			}
		} else {
			value = first(h.header, name)
		}
		dst = append(dst, value)
	}
	return dst
}

// first is the value of the first field of that name, which is in lower case, or "".
func first(header psgi.Header, name string) string {
	for _, f := range header {
		if equalFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// formatParser reads a format from left to right, and goes on after a mistake.
type formatParser struct {
	text     string
	format   AccessFormat
	quoted   bool // an odd number of double quotes has gone by
	mistakes FormatMistakes
}

func (p *formatParser) parse() {
	tokens, before := 0, byte(0)
	for pos := 0; pos < len(p.text); {
		if p.text[pos] != '%' {
			end := pos + strings.IndexByte(p.text[pos:]+"%", '%')
			p.literal(pos, p.text[pos:end])
			before, pos = p.text[end-1], end
			continue
		}
		t, end := p.token(pos)
		beside := before == ' ' || end < len(p.text) && p.text[end] == ' '
		if t != nil {
			p.format.parts = append(p.format.parts, t(beside && !p.quoted))
		}
		tokens++
		before, pos = '%', end
	}
	if tokens == 0 {
		p.mistakes = FormatMistakes{"has no token; want common, combined, json or tokens such as %h" + near(p.text, "common", "combined", "json")}
	}
}

// literal adds text that stands in every line as it is.
func (p *formatParser) literal(pos int, text string) {
	p.checkLiteral(pos, text)
	p.quoted = p.quoted != (strings.Count(text, `"`)%2 == 1)
	p.format.parts = append(p.format.parts, func(dst []byte, _ *visit) []byte { return append(dst, text...) })
}

// checkLiteral notes what of a text may not stand in a line.
func (p *formatParser) checkLiteral(pos int, text string) {
	for i, r := range text {
		if r == utf8.RuneError || r != '\t' && !unicode.IsPrint(r) {
			p.mistake(pos+i, "%+q would break the line", r)
		}
	}
}

// token reads the token that begins at pos, and returns where it ends; nil is a
// mistake.
func (p *formatParser) token(pos int) (t token, end int) {
	rest := p.text[pos+1:]
	if inside, ok := strings.CutPrefix(rest, "{"); ok {
		name, kind, closed := strings.Cut(inside, "}")
		end = pos + len("%{}") + len(name)
		switch {
		case !closed:
			p.mistake(pos, "%%{ has no } behind it")
			return nil, len(p.text)
		case kind == "" || !isLetter(kind[0]):
			p.mistake(pos, "%%{%s} wants a letter behind it: i, o, t or x", name)
			return nil, end
		}
		return p.named(pos, name, kind[0]), end + 1
	}
	letter := strings.TrimLeft(rest[:min(1, len(rest))], "<>") + rest[min(1, len(rest)):]
	end = len(p.text) - len(letter)
	switch {
	case letter == "" || letter[0] != '%' && !isLetter(letter[0]):
		p.mistake(pos, "a %% alone is no token; %%%% is a percent sign")
		return nil, end
	case tokens[letter[0]] == nil:
		p.mistake(pos, "there is no token %%%c%s", letter[0], hint(letter[0]))
	}
	return tokens[letter[0]], end + 1
}

// named returns the token of a name in braces, or nil for a mistake.
func (p *formatParser) named(pos int, name string, kind byte) token {
	switch field := strings.ToLower(strings.ReplaceAll(name, "_", "-")); kind {
	case 'i', 'o':
		if !within(field, tokenClass) || field == "" {
			p.mistake(pos, "%%{%s}%c: %q is no name of a header field", name, kind, name)
			return nil
		}
		if kind == 'i' {
			return received(field)
		}
		p.format.sent = append(p.format.sent, field)
		return sent(len(p.format.sent) - 1)
	case 't':
		return p.clock(pos+len("%{"), name)
	case 'x':
		if own[name] == nil {
			p.mistake(pos, "there is no token %%{%s}x; want one of %s", name, ownNames())
		}
		p.format.waits = p.format.waits || name == "wait_time"
		return own[name]
	}
	p.mistake(pos, "%%{%s}%c: want i, o, t or x behind the braces", name, kind)
	return nil
}

func (p *formatParser) mistake(pos int, format string, args ...any) {
	p.mistakes = append(p.mistakes, fmt.Sprintf("column %d: ", utf8.RuneCountInString(p.text[:pos])+1)+fmt.Sprintf(format, args...))
}

// hint names the token that may have been meant by a letter.
func hint(letter byte) string {
	switch {
	case tokens[letter^0x20] != nil:
		return fmt.Sprintf("; did you mean %%%c?", letter^0x20)
	case strings.IndexByte("iotx", letter) >= 0:
		return fmt.Sprintf("; did you mean %%{NAME}%c?", letter)
	}
	return ""
}

// near names the word that begins most like the text, and may have been meant by it.
func near(text string, words ...string) string {
	best, alike := "", 2
	for _, word := range words {
		n := 0
		for n < min(len(text), len(word)) && lower(text[n]) == word[n] {
			n++
		}
		if n > alike {
			best, alike = `; did you mean "`+word+`"?`, n
		}
	}
	return best
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
