package server

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

// What a client of net/http cannot be made to send.
func TestFlawsOfHTTP2RequestsAreFound(t *testing.T) {
	const limit = 1000
	for name, test := range map[string]struct {
		change func(r *request)
		header http.Header
		want   error
	}{
		"none":                          {func(*request) {}, http.Header{"Host": {"A.test"}}, nil},
		"length as it is":               {func(r *request) { r.length = 3 }, http.Header{"Content-Length": {"3"}}, nil},
		"length zero without a body":    {func(*request) {}, http.Header{"Content-Length": {"0"}}, nil},
		"length without a body":         {func(*request) {}, http.Header{"Content-Length": {"3"}}, errMalformed},
		"length that is no number":      {func(*request) {}, http.Header{"Content-Length": {"+0"}}, errMalformed},
		"two lengths":                   {func(r *request) { r.length = 3 }, http.Header{"Content-Length": {"3", "3"}}, errMalformed},
		"another host":                  {func(*request) {}, http.Header{"Host": {"b.test"}}, errMalformed},
		"two hosts":                     {func(*request) {}, http.Header{"Host": {"a.test", "a.test"}}, errMalformed},
		"no authority":                  {func(r *request) { r.host = "" }, nil, errMalformed},
		"a space in the path":           {func(r *request) { r.target = "/a HTTP/1.1" }, nil, errMalformed},
		"a control character in it":     {func(r *request) { r.target = "/a\x7f" }, nil, errMalformed},
		"a whole URL for a path":        {func(r *request) { r.target = "https://b.test/" }, nil, errMalformed},
		"a path for all":                {func(r *request) { r.method, r.target = "OPTIONS", "*" }, nil, nil},
		"a method that is no word":      {func(r *request) { r.method = "GET /" }, nil, errMalformed},
		"an expectation":                {func(*request) {}, http.Header{"Expect": {"miracles"}}, errExpectation},
		"a path that is too long":       {func(r *request) { r.target = "/" + strings.Repeat("x", limit) }, nil, errTargetTooLong},
		"fields that are too many":      {func(r *request) { r.header = make(psgi.Header, limit/4) }, nil, errHeadTooLarge},
		"a name for the other end only": {func(r *request) { r.method, r.target = "CONNECT", "a.test:443" }, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := request{method: "GET", target: "/", host: "a.test"}
			test.change(&r)
			if err := http2Flaw(&r, test.header, limit); !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}
