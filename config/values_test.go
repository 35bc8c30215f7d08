package config

import (
	"testing"
	"time"
)

func TestDurationsOfEverySpelling(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "2s": 2 * time.Second, "1m30s": 90 * time.Second, "300": 300 * time.Second,
		"0.5": 500 * time.Millisecond, "1.": time.Second, "1h": time.Hour, "250ms": 250 * time.Millisecond,
	} {
		got, err := ParseDuration(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "-1", "-1s", "soon", "1e3", "inf", "nan", "0x10", "1.2.3", "2 s", "99999999999999"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestSizesOfEverySpelling(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1024": 1024, "7B": 7, "64KiB": 64 << 10, "64kib": 64 << 10, "10MB": 10_000_000, "1GiB": 1 << 30,
		"2 TiB": 2 << 40, "3kb": 3000, "1gb": 1e9, "1TB": 1e12, "5MiB": 5 << 20,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "KiB", "-1", "1.5MB", "+1", "lots", "1K", "9999999TiB", "99999999999999999999"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestValuesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, want := range []string{"0s", "2s", "5m", "1h", "1h0m1s", "1m30s", "500ms", "10m", "20h"} {
		d, err := ParseDuration(want)
		if err != nil || d.String() != want {
			t.Errorf("%s came back as %v, %v", want, d, err)
		}
	}
	for _, want := range []string{"0B", "1B", "1000B", "64KiB", "1GiB", "3MiB", "1025KiB"} {
		s, err := ParseSize(want)
		if err != nil || s.String() != want {
			t.Errorf("%s came back as %v, %v", want, s, err)
		}
	}
}

func FuzzValuesComeBack(f *testing.F) {
	f.Add("1m30s")
	f.Add("64KiB")
	f.Add("0.001")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration(text); err == nil {
			again, err := ParseDuration(d.String())
			if err != nil || again != d || d < 0 {
				t.Errorf("%q: %v came back as %v, %v", text, d, again, err)
			}
		}
		if s, err := ParseSize(text); err == nil {
			again, err := ParseSize(s.String())
			if err != nil || again != s || s < 0 {
				t.Errorf("%q: %v came back as %v, %v", text, s, again, err)
			}
		}
	})
}
