package server

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// The C library says what the letters of strftime mean, and perl passes it on.
func TestTimesAreThoseOfStrftime(t *testing.T) {
	letters := append(slices.Collect(maps.Keys(timeLayouts)), slices.Collect(maps.Keys(timeNumbers))...)
	slices.Sort(letters)
	var layout strings.Builder
	for _, letter := range append(letters, '%', 't') {
		fmt.Fprintf(&layout, "<%%%c>", letter)
	}
	zone := time.FixedZone("ABC", 5*3600+45*60)
	var times []time.Time
	for day := range 800 { // with the ends of leap years, and every hour
		times = append(times, time.Date(2023, 12, 20+day, day%24, day%60, 7*day%60, 0, zone))
	}
	times = append(times, time.Date(2009, 1, 1, 0, 0, 0, 0, zone), time.Date(2100, 3, 1, 12, 0, 0, 0, zone))

	perl := exec.Command("perl", "-MPOSIX=strftime", "-e", `my $layout = shift; print strftime($layout, localtime $_), "\n" for @ARGV`, layout.String())
	perl.Env = append(os.Environ(), "TZ=ABC-5:45", "LC_ALL=C")
	for _, at := range times {
		perl.Args = append(perl.Args, fmt.Sprint(at.Unix()))
	}
	out, err := perl.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(want) != len(times) {
		t.Fatalf("perl says %d times, not %d", len(want), len(times))
	}
	for i, at := range times {
		v := visit{start: at}
		if got := line(t, "%{"+layout.String()+"}t", &v); got != "["+want[i]+"]" {
			t.Fatalf("%v:\ngot  %s\nwant [%s]", at, got, want[i])
		}
	}
}
