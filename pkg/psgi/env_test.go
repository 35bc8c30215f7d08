package psgi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

// typicalEnv is what a browser's GET makes.
func typicalEnv() (env psgi.Env) {
	for _, f := range []psgi.Field{
		{"REQUEST_METHOD", "GET"},
		{"SCRIPT_NAME", ""},
		{"PATH_INFO", "/articles/17"},
		{"REQUEST_URI", "/articles/17?page=2"},
		{"QUERY_STRING", "page=2"},
		{"SERVER_NAME", "www.example.com"},
		{"SERVER_PORT", "443"},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"REMOTE_ADDR", "203.0.113.7"},
		{"REMOTE_PORT", "50412"},
		{"HTTPS", "on"},
		{"psgi.url_scheme", "https"},
		{"thralld.request_id", "0123456789abcdef"},
		{"HTTP_HOST", "www.example.com"},
		{"HTTP_ACCEPT", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"},
		{"HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.5"},
		{"HTTP_ACCEPT_ENCODING", "gzip, deflate, br"},
		{"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
		{"HTTP_COOKIE", "session=6f1c7a52b0d94c1f9f7f"},
		{"HTTP_REFERER", "https://www.example.com/articles"},
	} {
		env.Set(f.Name, f.Value)
	}
	return env
}

func TestEnvOfARequestWithBytes(t *testing.T) {
	var env psgi.Env
	env.Set("PATH_INFO", "/caf\xc3\xa9\x00\xff")
	env.Set("QUERY_STRING", "")
	want := map[string]string{"PATH_INFO": "/caf\xc3\xa9\x00\xff", "QUERY_STRING": ""}
	if diff := cmp.Diff(want, env.Map()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := len("a9a8a12a0") + len("PATH_INFO") + len("/caf..") + 2 + len("QUERY_STRING"); env.Len() != want {
		t.Errorf("Len is %d; want %d", env.Len(), want)
	}
}

func TestEnvWithAKeySetTwiceHasTheLast(t *testing.T) {
	var env psgi.Env
	env.Set("SERVER_NAME", "first")
	env.Set("SERVER_NAME", "last")
	if diff := cmp.Diff(map[string]string{"SERVER_NAME": "last"}, env.Map()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnvThatWasResetKnowsNothingOfTheRequestBefore(t *testing.T) {
	env := typicalEnv()
	env.Reset()
	if env.Len() != 0 || len(env.Map()) != 0 {
		t.Errorf("Len is %d, Map %v; want nothing", env.Len(), env.Map())
	}
	env.Set("KEY", "value")
	if diff := cmp.Diff(map[string]string{"KEY": "value"}, env.Map()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkEnvSet(b *testing.B) {
	var env psgi.Env
	b.ReportAllocs()
	for b.Loop() {
		env.Reset()
		for range 20 {
			env.Set("HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.5")
		}
	}
}
