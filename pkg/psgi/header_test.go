package psgi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestGetFindsTheFirstWhateverItsCase(t *testing.T) {
	h := psgi.Header{{"content-type", "text/html"}, {"Set-Cookie", "a=1"}, {"set-cookie", "b=2"}}
	if got, ok := h.Get("SET-COOKIE"); got != "a=1" || !ok {
		t.Errorf("Get = %q, %v; want a=1, true", got, ok)
	}
	if got, ok := h.Get("Location"); got != "" || ok {
		t.Errorf("Get of a header that is not there = %q, %v; want none", got, ok)
	}
}

func TestCheckAcceptsWhatAppsSend(t *testing.T) {
	h := psgi.Header{
		{"Content-Type", "text/html; charset=utf-8"},
		{"Set-Cookie", "a=1"},
		{"Set-Cookie", "b=2"},
		{"X-Empty", ""},
		{"X-Tab", "a\tb"},
		{"X-Bytes", "caf\xc3\xa9 \xff"},
		{"x!#$%&'*+-.^_`|~9", "every character that a name may have"},
		{"Connection", "close"},
		{"Transfer-Encoding", "Chunked"},
		{"Content-Length", "nonsense that the server looks at"},
	}
	for _, status := range []int{200, 204, 304, 404, 418, 500, 599, 999} {
		if err := h.Check(status); err != nil {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestCheckNamesTheBreach(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		header psgi.Header
		want   string
	}{
		"status 0":                  {0, nil, "status 0: want a number from 200 to 999"},
		"informational status":      {103, nil, "status 103: want"},
		"status of four digits":     {1000, nil, "status 1000: want"},
		"empty name":                {200, psgi.Header{{"", "x"}}, "a header name is empty"},
		"colon in a name":           {200, psgi.Header{{"X:Y", "x"}}, `header name "X:Y": character ':' is not allowed`},
		"blank in a name":           {200, psgi.Header{{"X Y", "x"}}, `character ' ' is not allowed`},
		"line end in a name":        {200, psgi.Header{{"X\r\nY", "x"}}, `header name "X\r\nY": character '\r' is not allowed`},
		"byte above 0x7f in a name": {200, psgi.Header{{"X-\xe9", "x"}}, `is not allowed`},
		"CR in a value":             {200, psgi.Header{{"X", "a\rb"}}, `header X: value "a\rb" holds the control character '\r'`},
		"LF in a value":             {200, psgi.Header{{"X", "a\nSet-Cookie: b"}}, `control character '\n'`},
		"NUL in a value":            {200, psgi.Header{{"X", "a\x00"}}, `control character '\x00'`},
		"DEL in a value":            {200, psgi.Header{{"X", "a\x7f"}}, `control character '\x7f'`},
		"header Status":             {200, psgi.Header{{"status", "200 OK"}}, "header Status: the status is the first element"},
		"header Transfer-Encoding":  {200, psgi.Header{{"Transfer-Encoding", "gzip"}}, `header Transfer-Encoding: "gzip"`},
		"second header is the bad":  {200, psgi.Header{{"X", "a"}, {"Y", "\n"}}, "header Y: value"},
		"value too long to be told": {200, psgi.Header{{"X", strings.Repeat("a", 200) + "\n"}}, `"` + strings.Repeat("a", 80) + `" holds`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.header.Check(test.status)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Check = %v; want %q in it", err, test.want)
			}
		})
	}
}

func TestHeaderIsReadIntoTheRoomThereIs(t *testing.T) {
	list := psgi.AppendList(nil, psgi.TypeHead, 0, 0, "A", "1", "B", "2", "C", "3")
	payload := append([]byte{0, 200, 0, 0, 0, 5, 0, 0, 0, 0}, list[8:]...)
	want := psgi.Header{{"A", "1"}, {"B", "2"}, {"C", "3"}}
	var room [4]psgi.Field
	for _, size := range []int{0, 2, 4} { // none, too little, more than enough
		head, err := psgi.Frame{Type: psgi.TypeHead, Payload: payload}.HeadIn(room[:0:size])
		if err != nil || !slices.Equal(head.Header, want) {
			t.Errorf("with room for %d: %v, %v", size, head.Header, err)
		}
	}
	if room[2] != want[2] {
		t.Errorf("the room was not used: %v", room)
	}
	payload = payload[:len(payload)-1]
	if head, err := (psgi.Frame{Type: psgi.TypeHead, Payload: payload}).HeadIn(room[:0]); err == nil || head.Header != nil {
		t.Errorf("half a header is read as %v, %v", head.Header, err)
	}
}
