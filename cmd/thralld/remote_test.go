package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/control"
)

// fakeDaemon answers with what a test has put into it.
type fakeDaemon struct {
	progress []control.Progress
	failure  error
	hangs    bool          // Reload waits for the end
	began    chan struct{} // Reload has been called
	status   control.Status
	traces   map[int]string
}

func (d *fakeDaemon) Reload(ctx context.Context, report func(control.Progress)) error {
	close(d.began)
	for _, p := range d.progress {
		report(p)
	}
	if d.hangs {
		<-ctx.Done()
	}
	return d.failure
}

func (d *fakeDaemon) Status() control.Status { return d.status }
func (d *fakeDaemon) Stop()                  {}

func (d *fakeDaemon) Trace(_ context.Context, pid int) (string, error) {
	if text, ok := d.traces[pid]; ok {
		return text, nil
	}
	return "", errors.New("process " + strconv.Itoa(pid) + " is no worker")
}

// inSite goes to an empty folder in which a thrall.toml has that text, unless it
// is "", and where control sockets are.
func inSite(t *testing.T, settings string) {
	t.Helper()
	folder := t.TempDir()
	t.Chdir(folder)
	t.Setenv("RUNTIME_DIRECTORY", folder)
	if settings != "" {
		writeFile(t, defaultFile, settings)
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runs has a fake daemon run in this folder, for the time of the test.
func runs(t *testing.T, d *fakeDaemon) {
	t.Helper()
	d.began = make(chan struct{})
	l, err := control.Listen(pathFor(t))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { // ends with the test
		defer close(served)
		control.Serve(l, d, nil)
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
}

// pathFor is where the daemon with that command line has its control socket.
func pathFor(t *testing.T, args ...string) string {
	t.Helper()
	line, mistakes := normalise(append([]string{"config"}, args...))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	in := &invocation{}
	cmd := newRoot(in, line)
	show, _, err := cmd.Find([]string{"config"})
	if err != nil {
		t.Fatal(err)
	}
	if err := show.ParseFlags(line[1:]); err != nil {
		t.Fatal(err)
	}
	cfg, err := in.load(show.Flags().Args())
	if err != nil {
		t.Fatal(err)
	}
	return controlPath(in.file, cfg)
}

// command runs thralld and returns what it prints and its exit code.
func command(ctx context.Context, std stdio, args ...string) (out, err string, code int) {
	var o, e strings.Builder
	std.out, std.err = &o, &e
	code = run(stopping{graceful: ctx}, args, nil, std)
	return o.String(), e.String(), code
}

func expect(t *testing.T, args, wantOut, wantErr string, wantCode int) {
	t.Helper()
	out, err, code := command(t.Context(), stdio{}, strings.Fields(args)...)
	if diff := cmp.Diff([]any{wantOut, wantErr, wantCode}, []any{out, err, code}); diff != "" {
		t.Errorf("thralld %s:\n%s", args, diff)
	}
}

func TestReloadPrintsHowItGoes(t *testing.T) {
	inSite(t, "workers = 2")
	runs(t, &fakeDaemon{progress: []control.Progress{{Generation: 2, Phase: "rolling", Replaced: 2, Workers: 2}}})
	expect(t, "reload", "2 of 2 workers replaced\nreloaded\n", "", 0)
}

func TestReloadShowsABarOnATerminal(t *testing.T) {
	inSite(t, "")
	runs(t, &fakeDaemon{
		progress: []control.Progress{{Generation: 2, Phase: "rolling", Replaced: 1, Workers: 2}},
		failure:  errors.New("rolled back: no worker of generation 2 became ready"),
	})
	out, text, code := command(t.Context(), stdio{outTerminal: true}, "reload")
	if want := "\r[###############---------------] 1 of 2 workers replaced\x1b[K\n"; out != want || code != 1 {
		t.Errorf("got %d, %q", code, out)
	}
	if text != "thralld: rolled back: no worker of generation 2 became ready\n" {
		t.Errorf("got %s", text)
	}
}

func TestReloadThatFailsPrintsWhatPerlSaid(t *testing.T) {
	inSite(t, "")
	runs(t, &fakeDaemon{failure: errors.New("load app.psgi:\nCan't locate Shop.pm in @INC at app.psgi line 3")})
	expect(t, "reload", "", "thralld: load app.psgi:\nthralld: Can't locate Shop.pm in @INC at app.psgi line 3\n", 1)
}

func TestReloadThatIsNotWaitedForBegins(t *testing.T) {
	inSite(t, "")
	d := &fakeDaemon{hangs: true}
	runs(t, d)
	expect(t, "reload --no-wait", "reload begun: thralld status tells how it goes\n", "", 0)
	<-d.began
}

func TestReloadThatIsInterruptedGoesOn(t *testing.T) {
	inSite(t, "")
	d := &fakeDaemon{hangs: true}
	runs(t, d)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() { // ends when the reload has begun
		<-d.began
		interrupt()
	}()
	_, text, code := command(ctx, stdio{}, "reload")
	if code != 1 || !strings.Contains(text, "the reload goes on") {
		t.Errorf("got %d, %s", code, text)
	}
}

func TestStatusIsForPeopleOrForPrograms(t *testing.T) {
	inSite(t, "")
	started := time.Now().Add(-time.Hour)
	runs(t, &fakeDaemon{status: control.Status{Version: "1.0.0", PID: 9, App: "a.psgi", Healthy: true, Started: started}})
	out, text, code := command(t.Context(), stdio{}, "status")
	if code != 0 || text != "" || !strings.HasPrefix(out, "thralld 1.0.0, process 9, up 1h0m, healthy\n") {
		t.Errorf("got %d, %s%s", code, out, text)
	}
	out, text, code = command(t.Context(), stdio{}, "status", "--json")
	if code != 0 || text != "" || !strings.Contains(out, "{\n  \"version\": \"1.0.0\",\n") || !strings.Contains(out, "\"worker_list\": [],\n") {
		t.Errorf("got %d, %s%s", code, out, text)
	}
}

func TestTraceIsOfTheWorkerThatIsNamed(t *testing.T) {
	inSite(t, "")
	runs(t, &fakeDaemon{traces: map[int]string{14: "at Shop.pm line 3\nat app.psgi line 9\n"}})
	expect(t, "trace 14", "at Shop.pm line 3\nat app.psgi line 9\n", "", 0)
	expect(t, "trace 15", "", "thralld: process 15 is no worker\n", 1)
	const see = "; thralld status shows them\nthralld: see thralld --help\n"
	expect(t, "trace", "", "thralld: trace needs the process id of a worker"+see, 2)
	expect(t, "trace shop", "", "thralld: trace: got \"shop\", want the process id of a worker"+see, 2)
	expect(t, "trace -- -1", "", "thralld: trace: got \"-1\", want the process id of a worker"+see, 2)
}

// The daemon of this test is a process, so that it can end.
func TestStopWaitsForTheEndOfTheDaemon(t *testing.T) {
	inSite(t, "")
	daemon := exec.Command(os.Args[0], "-test.run=^TestDaemonThatStops$")
	daemon.Env = append(os.Environ(), "THRALLD_TEST_SOCKET="+pathFor(t))
	daemon.Stderr = os.Stderr
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it listens
		t.Fatal(err)
	}
	expect(t, "stop", "thralld (process "+strconv.Itoa(daemon.Process.Pid)+") has stopped\n", "", 0)
	if err := daemon.Wait(); err != nil {
		t.Error(err)
	}
}

// stopsItself ends the process of TestDaemonThatStops.
type stopsItself struct {
	fakeDaemon
	stopped chan struct{}
}

func (d *stopsItself) Stop() { close(d.stopped) }

// It is no test by itself, but the process that another one starts.
func TestDaemonThatStops(t *testing.T) {
	path := os.Getenv("THRALLD_TEST_SOCKET")
	if path == "" {
		return
	}
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	d := &stopsItself{stopped: make(chan struct{})}
	go control.Serve(l, d, nil) // ends with the process
	os.Stdout.WriteString("x")
	<-d.stopped
	l.Close()
	os.Exit(0)
}

func TestConfigurationWithMistakesStillLeadsToTheDaemon(t *testing.T) {
	inSite(t, "workers = 2")
	runs(t, &fakeDaemon{status: control.Status{Version: "1.0.0"}})
	cfg, err := config.Load(defaultFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	mistakes := config.Mistakes{{Origin: "thrall.toml:1", Problem: "worker: unknown key"}}
	client, err := dial(defaultFile, cfg, mistakes)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if status, err := client.Status(t.Context()); err != nil || status.Version != "1.0.0" {
		t.Errorf("got %v, %v", status, err)
	}

	// They are told when they may be the reason that nobody is found, or are all there is.
	for _, c := range []*config.Config{cfg, nil} {
		if _, err := dial("other.toml", c, mistakes); err == nil || !strings.HasSuffix(err.Error(), "worker: unknown key") {
			t.Errorf("got %v", err)
		}
	}
}

func TestNobodyToTalkToIsAMistakeOfItsOwn(t *testing.T) {
	inSite(t, "workers = 2")
	for _, args := range []string{"reload", "reload --no-wait", "status --json", "stop", "trace 3 app.psgi"} {
		_, text, code := command(t.Context(), stdio{}, strings.Fields(args)...)
		if code != 1 || !strings.HasPrefix(text, "thralld: no thralld is running with this configuration: nothing listens on "+filepath.Dir(pathFor(t))) {
			t.Errorf("thralld %s: got %d, %s", args, code, text)
		}
	}
}

func TestOptionsOfOneCommandAreUnknownToOthers(t *testing.T) {
	inSite(t, "")
	for args, option := range map[string]string{
		"--no-wait": "--no-wait", "--json app.psgi": "--json", "status --no-wait": "--no-wait", "reload --json": "--json",
		"check --json": "--json", "stop --no-wait": "--no-wait", "--json status": "--json", "trace 3 --json": "--json",
	} {
		expect(t, args, "", "thralld: unknown option "+option+"\nthralld: see thralld --help\n", 2)
	}
	expect(t, "status --json=maybe", "", "thralld: option --json: got \"maybe\", want true or false\nthralld: see thralld --help\n", 2)
}

func TestCommandsTellTheirHelpAndVersion(t *testing.T) {
	for _, name := range []string{"reload", "status", "stop", "trace"} {
		out, _, code := command(t.Context(), stdio{}, name, "--help")
		if code != 0 || !strings.Contains(out, "thralld "+name) {
			t.Errorf("%s: got %d, %s", name, code, out)
		}
		if out, _, _ := command(t.Context(), stdio{}, name, "-v"); out != "thralld "+version+"\n" {
			t.Errorf("%s: got %s", name, out)
		}
	}
}
