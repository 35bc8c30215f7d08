package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	errNotDuration = errors.New("not a time")
	errNotSize     = errors.New("not a size")
)

// A Duration is a span of time. It is written with units ("1m30s", "500ms") or
// as a plain number of seconds (300, 0.5, "300"), and is never negative.
type Duration time.Duration

// ParseDuration reads a Duration. Text that is none, is negative, or is longer
// than a time.Duration holds (292 years), is an error.
func ParseDuration(text string) (Duration, error) {
	if isNumber(text) {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, errNotDuration
		}
		return seconds2Duration(seconds)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errNotDuration
	}
	return Duration(d), nil
}

// seconds2Duration refuses what no time.Duration can hold, NaN among it.
func seconds2Duration(seconds float64) (Duration, error) {
	nanos := math.Round(seconds * float64(time.Second))
	if !(nanos >= 0 && nanos < math.MaxInt64) {
		return 0, errNotDuration
	}
	return Duration(nanos), nil
}

// isNumber reports whether text is digits with at most one point. Signs, powers
// and the hexadecimal numbers of strconv are no way to write seconds.
func isNumber(text string) bool {
	return strings.Trim(text, "0123456789.") == "" && strings.Count(text, ".") <= 1 && text != "." && text != ""
}

// String writes the duration as ParseDuration reads it, without empty units: "5m".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText is String; it never fails.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// A Size is a number of bytes. It is written with a unit ("64KiB", "10MB") or as
// a plain number of bytes, and is never negative. KB, MB, GB and TB count in
// thousands, KiB, MiB, GiB and TiB in 1024s; upper and lower case are the same.
type Size int64

// units are tried in this order by String, so the greatest binary one is first,
// and by ParseSize, so "B" alone is last.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// ParseSize reads a Size. Text that is none, is negative, or is more bytes than
// an int64 holds, is an error.
func ParseSize(text string) (Size, error) {
	number, unit := text, int64(1)
	for _, u := range units {
		cut := len(text) - len(u.name)
		if cut > 0 && strings.EqualFold(text[cut:], u.name) {
			number, unit = strings.TrimSpace(text[:cut]), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errNotSize
	}
	return Size(int64(n) * unit), nil
}

// String writes the size as ParseSize reads it, in the greatest unit that leaves
// no rest: "64KiB", "1500000B".
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText is String; it never fails.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
