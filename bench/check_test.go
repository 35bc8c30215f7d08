package main

import (
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func recordOf(rate float64, calls float64) *record {
	return &record{
		Tolerance: tolerances,
		Ratios:    map[string]map[metric]map[string]float64{"hello-32": {"rate": {"starlet": rate}}},
		counts:    counts{SystemCalls: map[string]float64{"daemon": calls}},
	}
}

func TestCheckToleratesNoiseAndFindsLosses(t *testing.T) {
	for name, c := range map[string]struct {
		now  *record
		lost string // what the error has to say; empty: none
	}{
		"the same":               {recordOf(1.5, 10), ""},
		"better in all":          {recordOf(3, 5), ""},
		"worse within tolerance": {recordOf(1.25, 11), ""},
		"a lost ratio":           {recordOf(1.15, 10), "1 of 2"},
		"more system calls":      {recordOf(1.5, 12), "1 of 2"},
		"both":                   {recordOf(1, 20), "2 of 2"},
		"nothing was measured":   {&record{}, "2 of 2"},
	} {
		err := compare(io.Discard, recordOf(1.5, 10), c.now)
		switch {
		case c.lost == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.lost != "" && (err == nil || !strings.Contains(err.Error(), c.lost)):
			t.Errorf("%s: error is %v, want %s", name, err, c.lost)
		}
	}
}

func TestCheckOfAnEmptyRecordFails(t *testing.T) {
	if err := compare(io.Discard, &record{}, recordOf(1, 1)); err == nil {
		t.Error("nothing is guarded, and the check is content")
	}
}

func TestMoreMemoryThanAPeerIsALoss(t *testing.T) {
	was := &record{Tolerance: tolerances, Ratios: map[string]map[metric]map[string]float64{"memory": {loadedOnce: {"starman": 1}}}}
	now := &record{Ratios: map[string]map[metric]map[string]float64{"memory": {loadedOnce: {"starman": 1.3}}}}
	if err := compare(io.Discard, was, now); err == nil {
		t.Error("30 % more memory, and the check is content")
	}
}

func TestWorkloadsThatAreNotMeasuredAreNotJudged(t *testing.T) {
	got := recordOf(1.5, 10).about([]*workload{workloadNamed("mixed")})
	if len(got.Ratios) != 0 || len(got.SystemCalls) != 1 {
		t.Errorf("judged would be %v and %v", got.Ratios, got.SystemCalls)
	}
	if got := recordOf(1.5, 10).about(workloads); len(got.Ratios) != 1 {
		t.Errorf("of all workloads judged would be %v", got.Ratios)
	}
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	w := workloadNamed("hello-32")
	results := []*result{{workload: w, outcomes: []*outcome{
		{peer: peerNamed("thralld"), rounds: []figures{{rate: 2000}, {rate: 3000}}},
		{peer: peerNamed("starlet"), rounds: []figures{{rate: 1000}, {rate: 2000}}},
		{peer: peerNamed("feersum"), rounds: []figures{nil, nil}},
	}}}
	path := filepath.Join(t.TempDir(), "record.json")
	made := newRecord(machine{Cores: 2}, results, counts{Allocations: map[string]float64{"pkg/server BenchmarkGuard": 0}})
	if err := made.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	if ratios := got.Ratios["hello-32"][rate]; len(ratios) != 1 || ratios["starlet"] != 1.75 {
		t.Errorf("ratios are %v, want those to starlet, 1.75", ratios)
	}
	if number, ok := got.Allocations["pkg/server BenchmarkGuard"]; !ok || number != 0 {
		t.Errorf("allocations are %v", got.Allocations)
	}
	if got.Machine.Cores != 2 || got.Tolerance != tolerances {
		t.Errorf("got %+v", got)
	}
}

func TestRoundedKeepsThreeDigits(t *testing.T) {
	for value, want := range map[float64]float64{0: 0, 1.23456: 1.23, 145123.9: 145000, 0.012345: 0.0123, 10: 10} {
		if got := rounded(value); math.Abs(got-want) > 1e-9 {
			t.Errorf("rounded(%v) = %v, want %v", value, got, want)
		}
	}
}
