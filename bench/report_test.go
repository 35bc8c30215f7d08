package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measured is a workload as if it had been run in three rounds.
func measured() *result {
	return &result{workload: workloadNamed("hello-32"), outcomes: []*outcome{
		{peer: peerNamed("thralld"), rounds: []figures{
			{rate: 3000, p50: 1, p99: 4}, {rate: 1000, p50: 2, p99: 5}, {rate: 2000, p50: 3, p99: 6, starved: 0},
		}},
		{peer: peerNamed("starlet"), rounds: []figures{
			{rate: 1500, p50: 1, p99: 1}, {rate: 500, p50: 1, p99: 1}, {rate: 1000, p50: 1, p99: 1, starved: 1},
		}},
		{peer: peerNamed("feersum"), rounds: []figures{nil, nil, nil}, note: "failed: it ended before it answered"},
	}}
}

func TestTableHasMediansSpreadAndRatios(t *testing.T) {
	g := table(measured())
	for at, want := range []string{
		" requests/s from to thralld/it p50 ms p99 ms errors all served",
		"thralld 2000 1000 3000 - 2.00 5.00 - yes",
		"starlet 1000 500 1500 2.00 1.00 1.00 - NO",
		"feersum - - - - - - - -",
	} {
		if got := strings.Join(g.rows[at], " "); got != want {
			t.Errorf("row %d is %q, want %q", at, got, want)
		}
	}
	if len(g.notes) != 1 || !strings.HasPrefix(g.notes[0], "feersum: failed") {
		t.Errorf("notes are %q", g.notes)
	}
}

func TestVerdictsJudgeBothDirections(t *testing.T) {
	all := map[string]string{}
	for _, row := range verdicts([]*result{measured()}).rows[1:] {
		all[row[1]] = row[4]
	}
	for what, want := range map[string]string{
		"requests/s, as many times as starlet": "yes",          // 2 of 1.4
		"requests/s, as many times as starman": "not measured", // did not take part
		"p99, ms":                              "NO",           // 5 of 2
	} {
		if all[what] != want {
			t.Errorf("%s: %q, want %q", what, all[what], want)
		}
	}
}

func TestEveryTargetIsAboutAWorkloadAndItsMetrics(t *testing.T) {
	for _, target := range targets {
		w := workloadNamed(target.workload)
		if w == nil {
			t.Errorf("no workload %q", target.workload)
			continue
		}
		r := &result{workload: w}
		for _, name := range w.peers {
			seen := figures{}
			for _, m := range w.metrics {
				seen[m] = 1
			}
			r.outcomes = append(r.outcomes, &outcome{peer: peerNamed(name), rounds: []figures{seen}})
		}
		if math.IsNaN(target.value(r)) {
			t.Errorf("%s: %s cannot be told from what the workload measures", target.workload, target.text)
		}
	}
}

func TestEveryWorkloadNamesPeersAndAnAppThatAreThere(t *testing.T) {
	for _, w := range workloads {
		if _, err := os.Stat(filepath.Join("apps", w.app)); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		for _, name := range append(w.peers, w.guard...) {
			if peerNamed(name) == nil {
				t.Errorf("%s: no peer %q", w.name, name)
			}
		}
		for _, m := range w.metrics {
			if columns[m].title == "" {
				t.Errorf("%s: %s has no title", w.name, m)
			}
		}
	}
}

// The run is to take less than a quarter of an hour, and took 7 % more than was estimated.
func TestFullRunIsEstimatedBelowFifteenMinutes(t *testing.T) {
	b := &bench{rounds: 3, seconds: 2, workloads: workloads}
	if got := b.estimate(); got > 14*time.Minute {
		t.Errorf("the full run takes %s", got)
	}
}

func TestReportNamesTheChartAndTheCommands(t *testing.T) {
	folder := t.TempDir()
	chart := filepath.Join(folder, "results.svg")
	if err := writeChart(chart, []*result{measured()}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "RESULTS.md")
	b := &bench{rounds: 3, seconds: 2, commands: []commandLine{{"starlet", "plackup -s Starlet app.psgi"}}}
	if err := writeMarkdown(path, b, machine{Cores: 2}, []*result{measured()}, chart); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"](results.svg)", "plackup -s Starlet app.psgi\n", "| starlet | 1000 |", "2 cores"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report has no %q", want)
		}
	}
	if drawn, err := os.ReadFile(chart); err != nil || !strings.Contains(string(drawn), "<svg") {
		t.Errorf("the chart: %v", err)
	}
}

func TestChartOfNothingIsAnError(t *testing.T) {
	if err := writeChart(filepath.Join(t.TempDir(), "x.svg"), nil); err == nil {
		t.Error("nothing was measured, and a chart was drawn")
	}
}
