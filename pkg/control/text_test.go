package control

import (
	"os"
	"strings"
	"testing"
	"time"
)

// A daemon in the middle of a roll, with a worker that is slow.
func ExampleStatus_WriteText() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	status := Status{
		Version: "1.0.0", PID: 4700, Started: now.Add(-76 * time.Hour),
		App: "/srv/app/app.psgi", Listeners: []string{"0.0.0.0:5000", "/run/web.sock"},
		Connections: 45, MaxConnections: 49152, Refused: 2, SpooledBytes: 30 << 20, Holding: 1, Held: 7,
		Certificates: []Certificate{
			{Names: []string{"example.org", "*.example.org"}, File: "/etc/tls/org.pem", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(49 * time.Hour)},
			{Names: []string{"old.test"}, File: "/etc/tls/old.pem", NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)},
			{Names: []string{"new.test"}, File: "/etc/tls/new.pem", NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)},
		},
		Healthy: true, Workers: 3, Waiting: 2, AtOnce: 2, Target: 4, Stable: 3,
		Generations: []Generation{
			{Number: 3, Role: "stable", Started: now.Add(-125 * time.Minute), TemplatePID: 4701},
			{Number: 4, Role: "target", Started: now.Add(-12 * time.Second), TemplatePID: 4810},
		},
		WorkerList: []Worker{
			{Worker: 1, Generation: 3, PID: 4705, State: "ready", AgeSeconds: 7500, Requests: 120411, MemoryBytes: 48 << 20, Doing: []Doing{
				{RequestID: "a1", Line: "GET /report?year=2025", Seconds: 192.4},
				{RequestID: "a2", Line: "GET /", Seconds: 0.31},
			}},
			{Worker: 4, Generation: 4, PID: 4811, State: "ready", AgeSeconds: 11, Requests: 9, MemoryBytes: 9 << 20},
			{Worker: 5, Generation: 4, PID: 4812, State: "booting", AgeSeconds: 1.25},
		},
		LastReload: &Reload{Generation: 4, Started: now.Add(-12 * time.Second), Outcome: "running"},
	}
	_ = status.WriteText(os.Stdout, now)
	// Output:
	// thralld 1.0.0, process 4700, up 3d4h, healthy
	// app          /srv/app/app.psgi
	// listens on   0.0.0.0:5000, /run/web.sock
	// certificate  example.org, *.example.org, expires in 2d1h (/etc/tls/org.pem)
	// certificate  old.test, expired 1h0m ago (/etc/tls/old.pem)
	// certificate  new.test, becomes valid in 1h0m (/etc/tls/new.pem)
	// generation   3, stable, 2h5m old, template 4701
	// generation   4, target, 12s old, template 4810
	// last reload  generation 4, running for 12s
	// connections  45 of at most 49152, 2 refused, 30MiB spooled for slow clients
	//              1 responses hold their worker, as max_spool is reached; 7 since the start
	// requests     2 waiting
	// workers      2 of 3 ready
	//              at most 2 computing at a time, as the processors can run no more
	//
	// WORKER  GENERATION  PID   STATE    AGE   REQUESTS  MEMORY  DOING
	// 1       3           4705  ready    2h5m  120411    48MiB   GET /report?year=2025 for 3m12s
	//                                                            GET / for 0.3s
	// 4       4           4811  ready    11s   9         9MiB    -
	// 5       4           4812  booting  1.2s  0         -       -
}

// A service that limps says so.
func ExampleStatus_WriteText_limping() {
	status := Status{Version: "1.0.0", PID: 4700, App: "app.psgi", Listeners: []string{"@web"}, Healthy: true, Problem: "app.psgi: no worker could be forked", Workers: 10, AccessLogLost: 12}
	_ = status.WriteText(os.Stdout, time.Time{})
	// Output:
	// thralld 1.0.0, process 4700, up 0s, serving, but its workers keep failing
	// problem      app.psgi: no worker could be forked
	// app          app.psgi
	// listens on   @web
	// connections  0 of at most 0
	// requests     0 waiting
	// access log   12 lines lost, as they could not be written
	// workers      0 of 10 ready
}

// What went wrong stands where it is looked for.
func ExampleStatus_WriteText_problem() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	status := Status{
		Version: "1.0.0", PID: 4700, Started: now.Add(-90 * time.Second),
		App: "/srv/app/app.psgi", Listeners: []string{"0.0.0.0:5000"}, Workers: 10,
		Problem: "/srv/app/app.psgi: its process exited with status 7 3ms after it was born; it last printed:\na last word\n",
		LastReload: &Reload{
			Ended: now.Add(-5 * time.Second), Outcome: "failed",
			Error: "load /srv/app/app.psgi:\nCan't locate Shop.pm in @INC at app.psgi line 3.\n",
		},
	}
	_ = status.WriteText(os.Stdout, now)
	// Output:
	// thralld 1.0.0, process 4700, up 1m30s, not healthy: no worker is ready
	// problem
	//     /srv/app/app.psgi: its process exited with status 7 3ms after it was born; it last printed:
	//     a last word
	// app          /srv/app/app.psgi
	// listens on   0.0.0.0:5000
	// last reload  failed 5s ago:
	//     load /srv/app/app.psgi:
	//     Can't locate Shop.pm in @INC at app.psgi line 3.
	// connections  0 of at most 0
	// requests     0 waiting
	// workers      0 of 10 ready
}

func TestPathOfARequestDoesNotSpeakToTheTerminal(t *testing.T) {
	var text strings.Builder
	status := Status{WorkerList: []Worker{{Doing: []Doing{{Line: "GET /\x1b]0;owned\x07\t\n\xff"}}}}}
	if err := status.WriteText(&text, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "GET /\ufffd]0;owned\ufffd\ufffd\ufffd\ufffd for 0s") {
		t.Errorf("got %q", text.String())
	}
}

func TestWhatAnAppHasPrintedDoesNotSpeakToTheTerminal(t *testing.T) {
	const said, want = "it last printed:\n\tno /\x1b]0;owned\x07", "no /\ufffd]0;owned\ufffd\n"
	var text strings.Builder
	status := Status{Problem: said, LastReload: &Reload{Outcome: "rolled back", Error: said}}
	if err := status.WriteText(&text, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); strings.ContainsAny(got, "\x1b\x07") || strings.Count(got, want) != 2 {
		t.Errorf("got %q", got)
	}
}
