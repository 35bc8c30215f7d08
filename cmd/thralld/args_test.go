package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// settle reads a command line as `thralld config` does, and returns the settings.
func settle(t *testing.T, args ...string) (settings map[string]any, notices []string, err error) {
	t.Helper()
	line, mistakes := normalise(append([]string{"config"}, args...))
	if len(mistakes) > 0 {
		return nil, nil, usageErrors(mistakes)
	}
	var out strings.Builder
	in := &invocation{std: stdio{out: &out, err: &out}}
	if err := newRoot(in, line).ExecuteContext(context.Background()); err != nil {
		return nil, in.notices, err
	}
	if _, err := toml.Decode(out.String(), &settings); err != nil {
		t.Fatalf("not TOML: %v\n%s", err, out.String())
	}
	return settings, in.notices, nil
}

// Every option of Thrall and plackup that this version takes, in the spellings
// that are in use. Words are cut at blanks.
func TestOptionsOfThrallSetTheirKeys(t *testing.T) {
	here := t.TempDir() // empty: an existing file would make a class's name a path
	t.Chdir(here)
	for line, want := range map[string]any{
		"--workers=20":                   entry{"workers", int64(20)},
		"--workers 20":                   entry{"workers", int64(20)},
		"-workers=20":                    entry{"workers", int64(20)},
		"-workers 20":                    entry{"workers", int64(20)},
		"--max-workers=20":               entry{"workers", int64(20)},
		"--max_workers 20":               entry{"workers", int64(20)},
		"--workers 1 --workers 2":        entry{"workers", int64(2)},
		"--timeout=60":                   entry{"timeout", "1m"},
		"--keepalive-timeout 5":          entry{"keepalive_timeout", "5s"},
		"--max-keepalive-reqs=1":         entry{"max_keepalive_reqs", int64(1)},
		"--err-respawn-interval 0.5":     entry{"err_respawn_interval", "500ms"},
		"--ipv6=0":                       entry{"ipv6", false},
		"--ipv6 0":                       entry{"ipv6", false},
		"--disable-ipv6":                 entry{"ipv6", false},
		"--disable-ipv6 --enable-ipv6":   entry{"ipv6", true},
		"--ipv6":                         entry{"ipv6", true},
		"--socket run.sock":              entry{"socket", here + "/run.sock"},
		"-S @web":                        entry{"socket", "@web"},
		`-S \0web`:                       entry{"socket", "@web"},
		"--host localhost":               entry{"host", "localhost"},
		"-o ::1":                         entry{"host", "::1"},
		"--port 80":                      entry{"port", int64(80)},
		"-p 80":                          entry{"port", int64(80)},
		"-p80":                           entry{"port", int64(80)},
		"-p=80":                          entry{"port", int64(80)},
		"--listen :80 -l [::1]:81 -l /a": entry{"listen", []any{":80", "[::1]:81", "/a"}},
		"-l localhost:80 --listen=@web":  entry{"listen", []any{"localhost:80", "@web"}},
		"-q app.psgi":                    entry{"quiet", true},
		"-q other.psgi":                  entry{"app", here + "/other.psgi"},
		"--quiet app.psgi":               entry{"quiet", true},
		"-a other.psgi":                  entry{"app", here + "/other.psgi"},
		"--app=other.psgi":               entry{"app", here + "/other.psgi"},
		"other.psgi":                     entry{"app", here + "/other.psgi"},
		"MyApp::Web":                     entry{"app", "MyApp::Web"},
		"-- --odd.psgi":                  entry{"app", here + "/--odd.psgi"},
		"-- check":                       entry{"app", "check"},
		"":                               entry{"app", here + "/app.psgi"},
		"-e sub{}":                       entry{"eval", "sub{}"},
		"-esub{a=>1}":                    entry{"eval", "sub{a=>1}"},
		"--eval -1":                      entry{"eval", "-1"},
		"-Ilib -I t/lib":                 entry{"include", []any{here + "/lib", here + "/t/lib"}},
		"-I=lib":                         entry{"include", []any{here + "/lib"}},
		"-MFoo=bar,baz -M Bar":           entry{"modules", []any{"Foo=bar,baz", "Bar"}},
		"-E development":                 entry{"env", "development"},
		"--env=test":                     entry{"env", "test"},
		"-env test":                      entry{"env", "test"},
		"--default-middleware":           entry{"default_middleware", true},
		"--no-default-middleware":        entry{"default_middleware", false},
		"--no_default_middleware":        entry{"default_middleware", false},
		"--path /shop":                   entry{"path", "/shop"},
		"-L Delayed":                     entry{"preload", false},
		"--preload -L Delayed":           entry{"preload", false},
		"--loader Plack::Loader":         entry{"preload", true},
		"-L Plack::Loader::Delayed":      entry{"preload", false},
		"-s Thrall -p 1":                 entry{"port", int64(1)},
		"--server=thralld":               entry{"port", int64(5000)},
		"--server-software Web/1":        entry{"server_software", "Web/1"},
		"--server-software=":             entry{"server_software", ""},
		"--max-header-bytes 2KiB":        entry{"max_header_bytes", "2KiB"},
		"--max-reqs-per-child=100":       entry{"max_reqs_per_child", int64(100)},
		"--max-requests inf":             entry{"max_reqs_per_child", int64(0)},
		"--min-reqs-per-child=50":        entry{"min_reqs_per_child", int64(50)},
		"--spawn-interval=1":             entry{"spawn_interval", "1s"},
		"--main-thread-delay 0.1":        entry{"main_thread_delay", "100ms"},
		"--main-process-delay=0.2":       entry{"main_thread_delay", "200ms"},
		"--user www":                     entry{"user", "www"},
		"--group a,b":                    entry{"group", "a,b"},
		"--umask 022":                    entry{"umask", "022"},
		"--daemonize":                    entry{"daemonize", true},
		"-D":                             entry{"daemonize", true},
		"--pid a":                        entry{"pid", here + "/a"},
		"--error-log a":                  entry{"error_log", here + "/a"},
		"--access-log=a":                 entry{"access_log", here + "/a"},
		"--access-log=-":                 entry{"access_log", "stderr"},
		"--access-log -":                 entry{"access_log", "stderr"},
		"--access-log stdout":            entry{"access_log", "stdout"},
		"--access-log ./stdout":          entry{"access_log", here + "/stdout"},
		"--access-log-format=%h":         entry{"access_log_format", "%h"},
		"-r":                             entry{"reload", true},
		"--reload":                       entry{"reload", true},
		"-R lib,t":                       entry{"reload_dirs", []any{here + "/lib", here + "/t"}},
		"-Rlib -R t":                     entry{"reload_dirs", []any{here + "/lib", here + "/t"}},
		"-L Restarter":                   entry{"reload", true},
		"--thread-stack-size=64KiB":      entry{"thread_stack_size", "64KiB"},
		"--threads 4":                    entry{"threads", int64(4)},
		"-l fd:3":                        entry{"listen", []any{"fd:3"}},
		"--ssl=0 --ssl-key-file a --ssl-key-file b --ssl-cert-file=c --ssl_cert_file d": entry{"ssl_key_file", []any{here + "/a", here + "/b"}},
		"--enable-ssl --ssl-cert-file=c --ssl-key-file k":                               entry{"ssl", true},
		"--disable-ssl":           entry{"ssl", false},
		"--ssl=0 --ssl-ca-file=a": entry{"ssl_ca_file", here + "/a"},
		"--ssl-min-version 1.3":   entry{"ssl_min_version", "1.3"},
		"--no-ssl --ssl-verify-mode SSL_VERIFY_PEER|SSL_VERIFY_FAIL_IF_NO_PEER_CERT --ssl-client-ca-file a": entry{"ssl_verify_mode", int64(3)},
		"--no-http2":                      entry{"http2", false},
		"--h2c":                           entry{"h2c", true},
		"--max-queue=5 --queue-timeout=1": entry{"max_queue", int64(5)},
	} {
		settings, notices, err := settle(t, strings.Fields(line)...)
		if err != nil || len(notices) > 0 {
			t.Errorf("%s: got %v, notices %q", line, err, notices)
			continue
		}
		e := want.(entry)
		if diff := cmp.Diff(e.value, settings[e.key]); diff != "" {
			t.Errorf("%s: %s:\n%s", line, e.key, diff)
		}
	}
}

type entry struct {
	key   string
	value any
}

func TestCommandLinesThatAreNotUnderstood(t *testing.T) {
	for line, want := range map[string]string{
		"--wrokers=3":              "unknown option --wrokers; did you mean --workers?",
		"-worker 3":                "unknown option -worker; did you mean --workers?",
		"--max_que=1":              "unknown option --max_que; did you mean --max-queue?",
		"--ssl-keyfile a":          "unknown option --ssl-keyfile; did you mean --ssl-key-file?",
		"--frobnicate -x":          "unknown option --frobnicate\nunknown option -x",
		"-qx":                      "unknown option -qx",
		"--enable-workers":         "unknown option --enable-workers",
		"--workers":                "option --workers needs a value",
		"--host --port 80":         "option --host needs a value",
		"-E --":                    "option -E needs a value",
		"relaod":                   "there is no command and no file relaod; did you mean thralld reload?",
		"a.psgi b.psgi":            "one application at a time: what is b.psgi?",
		"-L Shotgun":               "--loader Shotgun: thralld loads no app anew for each request; restart it after a change",
		"-L Nosuch -L Shotgun a b": "--loader Nosuch: want Delayed or Plack::Loader\n--loader Shotgun: thralld loads no app anew for each request; restart it after a change\none application at a time: what is b?",
	} {
		_, _, err := settle(t, strings.Fields(line)...)
		var usage usageErrors
		if !errors.As(err, &usage) {
			t.Errorf("%s: got %v, want usage errors", line, err)
			continue
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%s:\n%s", line, diff)
		}
	}
}

func TestOptionsWithoutEffectAreNoticed(t *testing.T) {
	for line, want := range map[string]string{
		"-s Starman":    "ignored --server Starman: the server is thralld",
		"-a one two":    "ignored two: --app names the application",
		"two --app one": "ignored two: --app names the application",
	} {
		_, notices, err := settle(t, strings.Fields(line)...)
		if diff := cmp.Diff([]string{want}, notices); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", line, err, diff)
		}
	}
}

func TestCommandIsTheFirstWordOnly(t *testing.T) {
	for line, want := range map[string]string{
		"check app.psgi":           "check -- app.psgi",
		"-p 80 config":             "config --port=80 --",
		"-q check":                 "check --quiet=true --",
		"app.psgi check":           "-- app.psgi check",
		"-- config":                "-- config",
		"-":                        "-- -",
		"a -p 1 -- -q --foo":       "--port=1 -- a -q --foo",
		"--env config --ipv6 1 -q": "--env=config --ipv6=1 --quiet=true --",
		"-q 1":                     "--quiet=true -- 1",
	} {
		got, mistakes := normalise(strings.Fields(line))
		if strings.Join(got, " ") != want || mistakes != nil {
			t.Errorf("%s: got %s, %v, want %s", line, got, mistakes, want)
		}
	}
}
