package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/control"
)

// A reload of ten workers, some of its steps told twice.
var roll = []control.Progress{
	{Phase: "loading", Workers: 10},
	{Phase: "loading", Workers: 10},
	{Generation: 2, Phase: "rolling", Workers: 10},
	{Generation: 2, Phase: "rolling", Replaced: 3, Workers: 10},
	{Generation: 2, Phase: "rolling", Replaced: 3, Workers: 10},
	{Generation: 2, Phase: "rolling", Replaced: 10, Workers: 10},
}

func TestProgressIsALineForEachStep(t *testing.T) {
	var text strings.Builder
	meter := progressMeter{w: &text}
	for _, p := range roll {
		meter.show(p)
	}
	meter.end()
	if diff := cmp.Diff(`loading the app
0 of 10 workers replaced
3 of 10 workers replaced
10 of 10 workers replaced
`, text.String()); diff != "" {
		t.Error(diff)
	}
}

func TestProgressIsABarOnATerminal(t *testing.T) {
	var text strings.Builder
	meter := progressMeter{w: &text, bar: true}
	for _, p := range roll {
		meter.show(p)
	}
	meter.end()
	shown := strings.Split(strings.ReplaceAll(text.String(), "\x1b[K", ""), "\r")
	if diff := cmp.Diff([]string{
		"",
		"[------------------------------] loading the app",
		"[------------------------------] 0 of 10 workers replaced",
		"[#########---------------------] 3 of 10 workers replaced",
		"[##############################] 10 of 10 workers replaced\n",
	}, shown); diff != "" {
		t.Error(diff)
	}
}

func TestProgressThatMakesNoSenseIsShownAnyway(t *testing.T) {
	for _, p := range []control.Progress{{}, {Replaced: 3}, {Replaced: 11, Workers: 10}, {Replaced: -1, Workers: 10}} {
		var text strings.Builder
		meter := progressMeter{w: &text, bar: true}
		meter.show(p)
		if width := strings.IndexByte(text.String(), ']') - strings.IndexByte(text.String(), '['); width != barWidth+1 {
			t.Errorf("%v: got %q", p, text.String())
		}
	}
}

func TestEndOfNoProgressIsNothing(t *testing.T) {
	var text strings.Builder
	meter := progressMeter{w: &text, bar: true}
	meter.end()
	if text.String() != "" {
		t.Errorf("got %q", text.String())
	}
}
