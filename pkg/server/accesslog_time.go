package server

import (
	"strconv"
	"strings"
	"time"
)

// timeLayouts are the letters of strftime(3) that package time has a layout for, as
// they are in the C locale. Those that stand for others are written out.
var timeLayouts = map[byte]string{
	'a': "Mon",
	'A': "Monday",
	'b': "Jan",
	'B': "January",
	'c': "Mon Jan _2 15:04:05 2006",
	'd': "02",
	'D': "01/02/06",
	'e': "_2",
	'F': "2006-01-02",
	'h': "Jan",
	'H': "15",
	'I': "03",
	'j': "002",
	'm': "01",
	'M': "04",
	'p': "PM",
	'P': "pm",
	'r': "03:04:05 PM",
	'R': "15:04",
	'S': "05",
	'T': "15:04:05",
	'x': "01/02/06",
	'X': "15:04:05",
	'y': "06",
	'Y': "2006",
	'z': "-0700",
	'Z': "MST",
}

// timeNumbers are the letters that package time has no layout for.
var timeNumbers = map[byte]func(dst []byte, t time.Time) []byte{
	'C': func(dst []byte, t time.Time) []byte { return appendPadded(dst, t.Year()/100, '0') },
	'g': func(dst []byte, t time.Time) []byte { year, _ := t.ISOWeek(); return appendPadded(dst, year%100, '0') },
	'G': func(dst []byte, t time.Time) []byte {
		year, _ := t.ISOWeek()
		return strconv.AppendInt(dst, int64(year), 10)
	},
	'k': func(dst []byte, t time.Time) []byte { return appendPadded(dst, t.Hour(), ' ') },
	'l': func(dst []byte, t time.Time) []byte { return appendPadded(dst, (t.Hour()+11)%12+1, ' ') },
	's': func(dst []byte, t time.Time) []byte { return strconv.AppendInt(dst, t.Unix(), 10) },
	'u': func(dst []byte, t time.Time) []byte { return append(dst, byte('1'+(t.Weekday()+6)%7)) },
	'U': func(dst []byte, t time.Time) []byte {
		return appendPadded(dst, (t.YearDay()+6-int(t.Weekday()))/7, '0')
	},
	'V': func(dst []byte, t time.Time) []byte { _, week := t.ISOWeek(); return appendPadded(dst, week, '0') },
	'w': func(dst []byte, t time.Time) []byte { return append(dst, byte('0'+t.Weekday())) },
	'W': func(dst []byte, t time.Time) []byte {
		return appendPadded(dst, (t.YearDay()+6-int(t.Weekday()+6)%7)/7, '0')
	},
}

// clock returns the token of %{layout}t, where the layout begins at pos, or nil for a
// mistake. As Plack has it, the time stands in brackets.
func (p *formatParser) clock(pos int, layout string) token {
	var parts []func(dst []byte, t time.Time) []byte
	soFar := len(p.mistakes)
	for i := 0; i < len(layout); {
		before, _, found := strings.Cut(layout[i:], "%")
		p.checkLiteral(pos+i, before)
		parts = append(parts, func(dst []byte, _ time.Time) []byte { return append(dst, before...) })
		i += len(before)
		switch {
		case !found:
			continue
		case i+1 == len(layout):
			p.mistake(pos+i, "a %% alone is no part of a time; %%%% is a percent sign")
		default:
			part := timePart(layout[i+1])
			if part == nil {
				p.mistake(pos+i, "%%%c is no part of a time, as strftime(3) has them%s", layout[i+1], ofTime(layout[i+1]))
			}
			parts = append(parts, part)
		}
		i += 2
	}
	if len(p.mistakes) > soFar {
		return nil
	}
	return plain(func(dst []byte, v *visit) []byte {
		dst = append(dst, '[')
		for _, part := range parts {
			dst = part(dst, v.start)
		}
		return append(dst, ']')
	})
}

// timePart appends what the letter stands for; nil is a letter that stands for nothing.
func timePart(letter byte) func(dst []byte, t time.Time) []byte {
	if layout, ok := timeLayouts[letter]; ok {
		return func(dst []byte, t time.Time) []byte { return t.AppendFormat(dst, layout) }
	}
	switch letter {
	case '%':
		return func(dst []byte, _ time.Time) []byte { return append(dst, '%') }
	case 't':
		return func(dst []byte, _ time.Time) []byte { return append(dst, '\t') }
	}
	return timeNumbers[letter]
}

// ofTime names the part of a time that may have been meant by a letter.
func ofTime(letter byte) string {
	if letter == 'n' {
		return ", that may stand in a line"
	}
	if isLetter(letter) && timePart(letter^0x20) != nil {
		return "; did you mean %" + string(rune(letter^0x20)) + "?"
	}
	return ""
}

// appendPadded appends a number of at most two digits, with so much before it as makes
// it two.
func appendPadded(dst []byte, n int, padding byte) []byte {
	if n < 10 {
		dst = append(dst, padding)
	}
	return strconv.AppendInt(dst, int64(n), 10)
}
