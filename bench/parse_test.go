package main

import (
	"strings"
	"testing"
)

func TestWrkReportIsTheLastLine(t *testing.T) {
	output := `Running 2s test @ http://127.0.0.1:5700/
  1 threads and 32 connections
{not this}
Requests/sec:  10000.00

{"duration_us": 2000000, "requests": 20010, "p50_us": 1500, "p99_us": 9000, "connect": 1, "read": 2, "write": 3, "status": 10, "timeout": 4}
`
	got, err := parseWrk([]byte(output))
	if err != nil {
		t.Fatal(err)
	}
	for m, want := range (figures{rate: 10000, p50: 1.5, p99: 9, failures: 20}) {
		if got[m] != want {
			t.Errorf("%s = %v, want %v", m, got[m], want)
		}
	}
}

func TestWrkReportWithoutAnswersIsAnError(t *testing.T) {
	for name, output := range map[string]string{
		"no report":     "unable to connect to 127.0.0.1:5700 Connection refused\n",
		"no request":    "\n" + `{"duration_us": 2000000, "requests": 0, "read": 12}` + "\n",
		"broken report": "\n{\"duration_us\": nan}\n",
	} {
		if got, err := parseWrk([]byte(output)); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

func TestH2loadTellsAConnectionThatWasNeverServed(t *testing.T) {
	report := func(least string) string {
		return "finished in 3.00s, 16512.00 req/s, 2.33MB/s\n" +
			"time for request:       50us     29.69ms       605us       461us    93.82%\n" +
			"req/s           :  " + least + "     1974.11      515.55      785.26    68.75%\n"
	}
	for least, want := range map[string]bool{"     0.00": false, "   264.93": true} {
		if got, err := parseH2load([]byte(report(least))); err != nil || got != want {
			t.Errorf("the slowest at %s: served is %v, %v, want %v", least, got, err, want)
		}
	}
	if _, err := parseH2load([]byte("h2load: connection refused")); err == nil {
		t.Error("no rates: want an error")
	}
}

func TestBenchmarksAreNamedByPackage(t *testing.T) {
	got := parseBenchmarks([]byte(`goos: linux
pkg: github.com/thralld/thralld/pkg/psgi
BenchmarkAppendRequest-2   	    2000	      1210 ns/op	 338.01 MB/s	       0 B/op	       0 allocs/op
BenchmarkHead/small-2      	    2000	       710 ns/op	      96 B/op	       2 allocs/op
PASS
ok  	github.com/thralld/thralld/pkg/psgi	0.02s
pkg: github.com/thralld/thralld/pkg/server
BenchmarkGuard 	    2000	       210 ns/op	       0 B/op	       1 allocs/op
BenchmarkWithoutMemory-2 	    2000	       210 ns/op
`))
	want := map[string]float64{
		"pkg/psgi BenchmarkAppendRequest": 0, "pkg/psgi BenchmarkHead/small": 2, "pkg/server BenchmarkGuard": 1,
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, allocations := range want {
		if number, ok := got[name]; !ok || number != allocations {
			t.Errorf("%s: got %v, %v, want %v", name, number, ok, allocations)
		}
	}
}

func TestStraceTableWithoutItsTotal(t *testing.T) {
	got := parseStrace([]byte(`    calls syscall
--------- ----------------
     6400 read
     3201 sendto
       12 futex
--------- ----------------
     9613 total
`))
	if len(got) != 3 || got["read"] != 6400 || got["sendto"] != 3201 || got["futex"] != 12 {
		t.Errorf("got %v", got)
	}
}

func TestCallgrindTotalIsThatOfTheWholeRun(t *testing.T) {
	got, err := parseCallgrind([]byte("version: 1\nevents: Ir\nfn=(1)\n16 400\ntotals: 132835543\n"))
	if err != nil || got != 132835543 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseCallgrind([]byte("version: 1\n")); err == nil {
		t.Error("a profile that was cut off: want an error")
	}
}

func TestProportionalShareIsReadInBytes(t *testing.T) {
	got, err := parsePSS([]byte("55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:  9000 kB\nPss:  1234 kB\nPss_Dirty: 77 kB\n"))
	if err != nil || got != 1234*1024 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parsePSS([]byte("Rss: 9000 kB\n")); err == nil {
		t.Error("no share: want an error")
	}
}

func TestEnvironmentOfAnotherServerIsLeftOut(t *testing.T) {
	got := strings.Join(environment([]string{"PATH=/bin", "PLACK_ENV=development", "SERVER_STARTER_PORT=5000=4"}), " ")
	if got != "PATH=/bin" {
		t.Errorf("the server would find %s", got)
	}
}
