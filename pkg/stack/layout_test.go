package stack

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// anUnthreadedPerl is what a layout may look like: each number is another one.
const anUnthreadedPerl = "curcop=8192 curstackinfo=8200 cop_line=36 cop_file=48 cop_file_gv=1 si_cxstack=8 si_cxix=32 " +
	"si_prev=16 cx_size=88 cx_sub=8 cx_eval=10 cx_oldcop=16 cx_cv=72 cv_type=13 cv_gv=56 cv_stash=24 gv_type=9 " +
	"gv_name=32 gv_stash=40 hv_max=24 hv_name=8 hv_name_behind=1"

func unthreaded(tb testing.TB) *Layout {
	tb.Helper()
	l, err := ParseLayout(anUnthreadedPerl)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestLayoutHasEveryNumber(t *testing.T) {
	l := unthreaded(t)
	words := strings.Fields(anUnthreadedPerl)
	var got []string
	for name, n := range l.numbers() {
		got = append(got, name+"="+strconv.FormatUint(*n.at, 10))
	}
	slices.Sort(words)
	slices.Sort(got)
	if !slices.Equal(got, words) {
		t.Errorf("got %q; want %q", got, words)
	}
}

func TestLayoutThatCannotBeUsed(t *testing.T) {
	for text, want := range map[string]string{
		"unavailable: cannot fork": "the stack of this perl cannot be read: cannot fork",
		"cx_size=88 cx_size=88":    `layout of the stack: "cx_size" is unknown, or there twice`,
		"nonsense":                 `layout of the stack: "nonsense" is unknown, or there twice`,
		"cx_size":                  `layout of the stack: cx_size: got "", want a number from 16 to 4096`,
		"cx_size=-1":               `layout of the stack: cx_size: got "-1", want a number from 16 to 4096`,
		"curcop=18446744073709551615": `layout of the stack: curcop: got "18446744073709551615", ` +
			"want a number from 4096 to 72057594037927936",
		strings.Replace(anUnthreadedPerl, "cx_cv=72", "cx_cv=81", 1): "layout of the stack: cx_oldcop 16 or cx_cv 81 is outside of cx_size 88",
		strings.Replace(anUnthreadedPerl, "hv_max=24 ", "", 1):       "layout of the stack: hv_max is missing",
	} {
		if l, err := ParseLayout(text); err == nil || err.Error() != want || l != nil {
			t.Errorf("%q: layout %v, error %v; want %s", text, l, err, want)
		}
	}
	if l, err := ParseLayout(""); err == nil || !strings.HasSuffix(err.Error(), " is missing") {
		t.Errorf("an empty text: layout %v, error %v; want that something is missing", l, err)
	}
}

func FuzzParseLayout(f *testing.F) {
	f.Add(anUnthreadedPerl)
	f.Add("unavailable: ")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLayout(text)
		if err != nil {
			return
		}
		for name := range maps.Keys(l.numbers()) {
			if !strings.Contains(text, name+"=") {
				t.Errorf("%q has no %s", text, name)
			}
		}
	})
}
