package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each testdata/*.txt holds what Load says of the .toml beside it.
func TestEachBrokenFileGetsItsMistakes(t *testing.T) {
	wants, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(wants) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range wants {
		name := strings.TrimSuffix(file, ".txt")
		t.Run(filepath.Base(name), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := Load(name+".toml", nil)
			var mistakes Mistakes
			if !errors.As(err, &mistakes) || cfg == nil {
				t.Fatalf("got %v, %v, want what was understood, and Mistakes", cfg, err)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSoundFileIsRead(t *testing.T) {
	cfg := load(t, "testdata/sound.toml")
	folder, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}

	want := Default()
	want.App = folder + "/web/app.psgi"
	want.Include = []string{folder + "/lib", "/opt/perl/lib"}
	want.Modules = []string{"Foo", "Foo::Bar=baz,qux"}
	want.Eval = "builder {\n  workers = 3;   # Perl, not a key\n  [ \"unclosed\n}\n"
	want.Workers = 20
	want.Timeout = seconds(60)
	want.KeepaliveTimeout = seconds(90)
	want.QueueTimeout = seconds(0.5)
	want.MaxHeaderBytes = 2048
	want.MaxBodyBytes = 10_000_000
	want.Socket = "@web"
	want.Listen = []string{":8080", folder + "/run/web.sock", "@web"}
	want.Path = "/shop"
	want.Perl = folder + "/bin/perl"
	want.Quiet = true
	same(t, &want, cfg)
	if got, want := cfg.Origin("workers"), folder+"/sound.toml:14"; got != want {
		t.Errorf("origin of workers: got %s, want %s", got, want)
	}
}

func TestCommandLineWinsOverFileOverEnvironment(t *testing.T) {
	file := write(t, "env = \"file\"\nworkers = 2\nmodules = [\"A\", \"B\"]\n")
	cfg := load(t, file,
		Setting{Key: "env", Value: "environment", Origin: "PLACK_ENV", Environ: true},
		Setting{Key: "quiet", Value: "true", Origin: "PLACK_QUIET", Environ: true},
		Setting{Key: "max_workers", Value: "3", Origin: "--max-workers"},
		Setting{Key: "workers", Value: "4", Origin: "--workers"},
		Setting{Key: "modules", Value: "C", Origin: "--modules"},
		Setting{Key: "modules", Value: "D", Origin: "--modules"},
	)
	want := Default()
	want.App = cfg.App
	want.Env = "file"
	want.Quiet = true
	want.Workers = 4
	want.Modules = []string{"C", "D"}
	same(t, &want, cfg)
	for key, origin := range map[string]string{
		"env": file + ":1", "quiet": "PLACK_QUIET", "workers": "--workers", "modules": "--modules", "port": "default",
	} {
		if got := cfg.Origin(key); got != origin {
			t.Errorf("origin of %s: got %s, want %s", key, got, origin)
		}
	}
}

func TestRelativePathsStartWhereTheyWereWritten(t *testing.T) {
	file := write(t, `include = ["lib"]`+"\n"+`spool_dir = "spool"`+"\n")
	cwd := t.TempDir()
	t.Chdir(cwd)
	cfg := load(t, file, Setting{Key: "socket", Value: "run/web.sock"}, Setting{Key: "listen", Value: "./a"})

	folder := filepath.Dir(file)
	for _, path := range []struct{ got, want string }{
		{cfg.App, cwd + "/app.psgi"},
		{cfg.Include[0], folder + "/lib"},
		{cfg.SpoolDir, folder + "/spool"},
		{cfg.Socket, cwd + "/run/web.sock"},
		{cfg.Listen[0], cwd + "/a"},
	} {
		if path.got != path.want {
			t.Errorf("got %s, want %s", path.got, path.want)
		}
	}
}

func TestAppIsAClassOnlyWhenNoFileHasItsName(t *testing.T) {
	t.Chdir(t.TempDir())
	app := Setting{Key: "app", Value: "MyApp", Origin: "--app"}
	if got := load(t, "", app).App; got != "MyApp" {
		t.Errorf("without a file: got %s, want the class MyApp", got)
	}

	if err := os.WriteFile("MyApp", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(t, "", app).App; !filepath.IsAbs(got) {
		t.Errorf("with a file: got %s, want its path", got)
	}
}

func TestUnreadableFileIsOneMistake(t *testing.T) {
	folder := t.TempDir()
	for file, want := range map[string]string{
		folder:           folder + ": cannot be read: is a directory",
		folder + "/none": folder + "/none: cannot be read: no such file or directory",
	} {
		refused(t, want, file)
	}
}

func TestMistakesOfFileAndCommandLineComeTogether(t *testing.T) {
	file := write(t, "workers = 0.5\n")
	refused(t, file+`:1: workers: got 0.5, want a whole number from 1 to 1000
--port: got "http", want a whole number from 0 to 65535
--quiet: got "maybe", want true or false
--timeout: got "-1", want a time such as "1m30s" or a number of seconds, 0 or more
--ssl-verify-mode: got "2", want 0 (none), 1 (checked when sent) or 3 (required), or SSL_VERIFY_NONE, SSL_VERIFY_PEER or SSL_VERIFY_PEER|SSL_VERIFY_FAIL_IF_NO_PEER_CERT`, file,
		Setting{Key: "port", Value: "http", Origin: "--port"},
		Setting{Key: "quiet", Value: "maybe", Origin: "--quiet"},
		Setting{Key: "timeout", Value: "-1", Origin: "--timeout"},
		Setting{Key: "ssl_verify_mode", Value: "2", Origin: "--ssl-verify-mode"})
}

func TestSocketPathLongerThanTheKernelTakesIsRefused(t *testing.T) {
	long := "/run/" + strings.Repeat("x", 103)
	if _, err := Load("", []Setting{{Key: "socket", Value: long[:107], Origin: "--socket"}}); err != nil {
		t.Errorf("107 bytes: %v", err)
	}
	_, err := Load("", []Setting{{Key: "socket", Value: long, Origin: "--socket"}})
	if err == nil || !strings.Contains(err.Error(), "a socket path of 108 bytes, want at most 107") {
		t.Errorf("108 bytes: got %v", err)
	}
}

// load is Load for what must be right.
func load(t *testing.T, file string, settings ...Setting) *Config {
	t.Helper()
	cfg, err := Load(file, settings)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// refused holds that Load finds exactly these mistakes.
func refused(t *testing.T, want, file string, settings ...Setting) {
	t.Helper()
	_, err := Load(file, settings)
	if err == nil {
		t.Fatalf("no mistakes, want:\n%s", want)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

// write makes a thrall.toml of its own folder.
func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "thrall.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAddressOfTheCommandLineWinsOverEveryAddressOfTheFile(t *testing.T) {
	for name, test := range map[string]struct {
		file     string
		settings []Setting
		want     []string
	}{
		"a port over listen":      {`listen = ["127.0.0.1:1"]`, []Setting{{Key: "port", Value: "2"}}, []string{":2"}},
		"a host over a socket":    {`socket = "/run/x"`, []Setting{{Key: "host", Value: "::1"}}, []string{"[::1]:5000"}},
		"a socket over listen":    {`listen = [":1"]`, []Setting{{Key: "socket", Value: "/run/y"}}, []string{"/run/y"}},
		"listen over all of them": {"port = 1\nsocket = '/run/x'", []Setting{{Key: "listen", Value: ":3"}}, []string{":3"}},
		"the file's host stays":   {`host = "127.0.0.1"`, []Setting{{Key: "port", Value: "2"}}, []string{"127.0.0.1:2"}},
		"a port over tables":      {"[[listener]]\naddress = ':1'", []Setting{{Key: "port", Value: "2"}}, []string{":2"}},
		"listen over tables":      {"[[listener]]\naddress = ':1'", []Setting{{Key: "listen", Value: ":2"}}, []string{":2"}},
		"tables over inherited":   {"[[listener]]\naddress = ':1'", []Setting{{Key: "listen", Value: "fd:3", Origin: "X", Environ: true}}, []string{":1"}},
		"tables beside listen": {
			"listen = [':1']\n[[listener]]\naddress = ':2'",
			[]Setting{{Key: "listen", Value: "fd:3", Origin: "X", Environ: true}},
			[]string{":1", ":2"},
		},
		"nothing of it": {`listen = [":1"]`, []Setting{{Key: "workers", Value: "2"}}, []string{":1"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "thrall.toml")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := Load(file, test.settings)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, listening(cfg)); diff != "" {
				t.Errorf("listeners (-want +got):\n%s", diff)
			}
		})
	}
}
