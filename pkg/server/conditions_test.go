package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestConditionsAreCheckedInTheirOrder(t *testing.T) {
	const date, earlier, later = "Thu, 29 Feb 2024 12:00:00 GMT", "Wed, 28 Feb 2024 12:00:00 GMT", "Fri, 01 Mar 2024 12:00:00 GMT"
	for _, test := range []struct {
		etag   string
		fields []string
		status int
	}{
		{`"a"`, nil, 0},
		{`"a"`, []string{"If-None-Match", `"a"`}, 304},
		{`"a"`, []string{"If-None-Match", `W/"a"`}, 304},
		{`W/"a"`, []string{"If-None-Match", `"a"`}, 304},
		{`"a"`, []string{"If-None-Match", `"b"`}, 0},
		{`"a"`, []string{"If-None-Match", `"b", W/"c","a"`}, 304},
		{`"a"`, []string{"If-None-Match", `"b"`, "If-None-Match", `"a"`}, 304},
		{`"a,b"`, []string{"If-None-Match", `"a", "a,b"`}, 304},
		{`"a"`, []string{"If-None-Match", `*`}, 304},
		{`"a"`, []string{"If-None-Match", `a`}, 0},
		{`"a"`, []string{"If-None-Match", `"a`}, 0},
		{`"a"`, []string{"If-None-Match", `"b" junk "a"`}, 0},
		{"", []string{"If-None-Match", `""`}, 0},
		{"", []string{"If-None-Match", `*`}, 304},
		{`"a"`, []string{"If-Modified-Since", date}, 304},
		{`"a"`, []string{"If-Modified-Since", later}, 304},
		{`"a"`, []string{"If-Modified-Since", earlier}, 0},
		{`"a"`, []string{"If-Modified-Since", "nonsense"}, 0},
		{`"a"`, []string{"If-None-Match", `"b"`, "If-Modified-Since", later}, 0},
		{`"a"`, []string{"If-Match", `"a"`}, 0},
		{`"a"`, []string{"If-Match", `*`}, 0},
		{`"a"`, []string{"If-Match", `"b"`}, 412},
		{`"a"`, []string{"If-Match", `W/"a"`}, 412},
		{`W/"a"`, []string{"If-Match", `"a"`}, 412},
		{"", []string{"If-Match", `"a"`}, 412},
		{`"a"`, []string{"If-Unmodified-Since", date}, 0},
		{`"a"`, []string{"If-Unmodified-Since", earlier}, 412},
		{`"a"`, []string{"If-Match", `"a"`, "If-Unmodified-Since", earlier}, 0},
		{`"a"`, []string{"If-Match", `"a"`, "If-None-Match", `"a"`}, 304},
	} {
		r := &request{method: "GET"}
		for i := 0; i < len(test.fields); i += 2 {
			r.header = append(r.header, psgi.Field{Name: test.fields[i], Value: test.fields[i+1]})
		}
		h := psgi.Header{{Name: "Last-Modified", Value: date}}
		if test.etag != "" {
			h = append(h, psgi.Field{Name: "ETag", Value: test.etag})
		}
		if got := precondition(r, h); got != test.status {
			t.Errorf("ETag %s, %q: %d, want %d", test.etag, test.fields, got, test.status)
		}
	}
}

func TestValidatorsTellOneFileFromAnother(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "f"), "one")
	stat := func(modified time.Time) os.FileInfo {
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	of := func(info os.FileInfo, coding string) (etag, modified string) {
		h := appendValidators(nil, info, coding, leapDay.Add(time.Hour))
		etag, _ = h.Get("ETag")
		modified, _ = h.Get("Last-Modified")
		return etag, modified
	}

	etag, modified := of(stat(leapDay), "")
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || modified != "Thu, 29 Feb 2024 12:00:00 GMT" {
		t.Errorf("ETag %s, Last-Modified %s", etag, modified)
	}
	if other, _ := of(stat(leapDay), "gzip"); other == etag {
		t.Error("the compressed file has the same ETag")
	}
	if other, _ := of(stat(leapDay.Add(time.Microsecond)), ""); other == etag {
		t.Error("a file of the same second has the same ETag")
	}
	if etag, modified = of(stat(leapDay.Add(time.Hour-time.Millisecond)), ""); !strings.HasPrefix(etag, `W/"`) || modified == "" {
		t.Errorf("a file that may change again within the second: ETag %s, Last-Modified %s", etag, modified)
	}
	if etag, modified = of(stat(leapDay.Add(2*time.Hour)), ""); !strings.HasPrefix(etag, `W/"`) || modified != "" {
		t.Errorf("a file of the future: ETag %s, Last-Modified %s", etag, modified)
	}
	if etag, modified = of(stat(time.Unix(1, 0)), ""); etag != "" || modified != "" {
		t.Errorf("a file without a time of its own: ETag %s, Last-Modified %s", etag, modified)
	}

	h := appendValidators(fields("etag", "mine", "last-modified", "then"), stat(leapDay), "", leapDay.Add(time.Hour))
	if len(h) != 3 {
		t.Errorf("what the app gave is not kept: %v", h)
	}
}
