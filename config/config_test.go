package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// same holds two configurations to the same values, whatever their origins.
func same(t *testing.T, want, got *Config) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func seconds(n float64) Duration { return Duration(n * float64(time.Second)) }

func TestDefaultsAreThoseOfTheManual(t *testing.T) {
	want := Config{
		App: "app.psgi", Env: "deployment", DefaultMiddleware: true, Path: "/", Perl: "perl",
		Workers: 10, Threads: 1, MaxReqsPerChild: 1000, Probation: seconds(2), MainThreadDelay: seconds(0.1), Port: 5000, IPv6: true, TCPKeepalive: seconds(15),
		ForwardedHeaders: []string{"x-forwarded-for", "x-forwarded-proto"},
		Timeout:          seconds(300), HeaderTimeout: seconds(30), MinRate: 240, KeepaliveTimeout: seconds(2), MaxSpool: 1 << 30,
		MaxHeaderBytes: 64 << 10, MaxBodyBytes: 1 << 30, CompressMinBytes: 1 << 10, HTTPEngine: "thralld", SSLMinVersion: "1.2", HTTP2: true,
		MaxQueue: 1000, QueueTimeout: seconds(30), StartTimeout: seconds(60), StopTimeout: seconds(30),
		ServerSoftware: "thralld", LogLevel: "info", LogFormat: "auto",
		AccessLogFormat: "combined",
	}
	got := Default()
	same(t, &want, &got)
}

// Every key has an option of the same words, and no two names or letters are
// the same.
func TestFlagAndKeyAreTheSameWords(t *testing.T) {
	seen := map[string]bool{}
	once := func(name string) {
		if name != "" && seen[name] {
			t.Errorf("%s stands twice", name)
		}
		seen[name] = true
	}
	for _, name := range Names() {
		once(name)
		if got := strings.ReplaceAll(FlagOf(name), "-", "_"); got != name {
			t.Errorf("--%s is %s, want %s", FlagOf(name), got, name)
		}
	}
	for _, k := range Keys() {
		once(k.Short)
		if k.Flag() != FlagOf(k.Name) {
			t.Errorf("%s has the option --%s", k.Name, k.Flag())
		}
		if k.Help == "" || (k.Arg == "") != k.Switch() {
			t.Errorf("%s: help %q, argument %q: --help cannot show it", k.Name, k.Help, k.Arg)
		}
	}
}

// The keys of tables have what is made of their tags, too, and nothing that only an
// option has.
func TestKeysOfTablesAreNoOptions(t *testing.T) {
	for _, table := range Tables() {
		for _, k := range table.Keys {
			if k.Help == "" || k.Short != "" || k.Env != "" || k.isTable() {
				t.Errorf("[[%s]] %s: %+v", table.Name, k.Name, k)
			}
		}
		if slices.Contains(Names(), table.Name) {
			t.Errorf("%s is an option", table.Name)
		}
	}
}

// listening are the addresses that are listened on.
func listening(cfg *Config) (addresses []string) {
	for _, l := range cfg.Listeners() {
		addresses = append(addresses, l.Address)
	}
	return addresses
}

func TestListenWinsOverSocketOverHostAndPort(t *testing.T) {
	cfg := Default()
	for _, step := range []struct {
		change func()
		want   []string
	}{
		{func() {}, []string{":5000"}},
		{func() { cfg.Host = "::1" }, []string{"[::1]:5000"}},
		{func() { cfg.Host, cfg.Port = "[::1]", 0 }, []string{"[::1]:0"}},
		{func() { cfg.Socket = "/run/web.sock" }, []string{"/run/web.sock"}},
		{func() { cfg.Listener = []Listener{{Address: ":2"}} }, []string{":2"}},
		{func() { cfg.Listen = []string{":1", "@web"} }, []string{":1", "@web", ":2"}},
	} {
		step.change()
		if diff := cmp.Diff(step.want, listening(&cfg)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEnvironmentIsReadAsPlackupReadsIt(t *testing.T) {
	got := Environ([]string{
		"PATH=/bin", "PLACK_ENV=test", "PLACK_QUIET=yes please", "SERVER_STARTER_PORT=0.0.0.0:80=4;/run/a=b=5",
	})
	want := []Setting{
		{Key: "env", Value: "test", Origin: "PLACK_ENV", Environ: true},
		{Key: "quiet", Value: "true", Origin: "PLACK_QUIET", Environ: true},
		{Key: "listen", Value: "fd:4", Origin: "SERVER_STARTER_PORT", Environ: true},
		{Key: "listen", Value: "fd:5", Origin: "SERVER_STARTER_PORT", Environ: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyVariablesAreMissing(t *testing.T) {
	if got := Environ([]string{"PLACK_ENV=", "PLACK_QUIET=", "SERVER_STARTER_PORT="}); got != nil {
		t.Errorf("got %v", got)
	}
	want := []Setting{{Key: "quiet", Value: "false", Origin: "PLACK_QUIET", Environ: true}}
	if diff := cmp.Diff(want, Environ([]string{"PLACK_QUIET=0"})); diff != "" {
		t.Error(diff)
	}
}

func TestHandedOverListenersAreListenedOn(t *testing.T) {
	cfg := load(t, "", Environ([]string{"SERVER_STARTER_PORT=80=4;/run/a=5"})...)
	if diff := cmp.Diff([]string{"fd:4", "fd:5"}, listening(cfg)); diff != "" {
		t.Error(diff)
	}
}
