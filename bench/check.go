package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
)

// judgement compares one figure with the recorded one.
type judgement struct {
	what     string
	was, is  float64 // NaN: not measured now
	more     bool    // more is better
	tolerate float64
}

// lost tells whether it is worse by more than is tolerated. What is no longer measured is lost, too: a
// guard that looks at less and less guards nothing.
func (j judgement) lost() bool {
	switch {
	case math.IsNaN(j.is):
		return true
	case j.more:
		return j.is < j.was*(1-j.tolerate)
	}
	return j.is > j.was*(1+j.tolerate)
}

// judge compares everything that is recorded. What is new is not judged: it has to be recorded first.
func judge(recorded, now *record) []judgement {
	var all []judgement
	by := recorded.Tolerance
	for _, workload := range slices.Sorted(maps.Keys(recorded.Ratios)) {
		for _, m := range slices.Sorted(maps.Keys(recorded.Ratios[workload])) {
			was, is := recorded.Ratios[workload][m], now.Ratios[workload][m]
			for _, peer := range slices.Sorted(maps.Keys(was)) {
				what := fmt.Sprintf("%s: %s, thralld/%s", workload, columns[m].title, peer)
				all = append(all, judgement{what, was[peer], known(is, peer), columns[m].more, by.Ratios})
			}
		}
	}
	for _, group := range []struct {
		title    string
		was, is  map[string]float64
		tolerate float64
	}{
		{"allocations", recorded.Allocations, now.Allocations, by.Allocations},
		{"system calls", recorded.SystemCalls, now.SystemCalls, by.SystemCalls},
		{"waits", recorded.Waits, now.Waits, by.Waits},
		{"instructions", recorded.Instructions, now.Instructions, by.Instructions},
	} {
		for _, name := range slices.Sorted(maps.Keys(group.was)) {
			what := group.title + ": " + name
			all = append(all, judgement{what, group.was[name], known(group.is, name), false, group.tolerate})
		}
	}
	return all
}

func known(values map[string]float64, name string) float64 {
	if value, ok := values[name]; ok {
		return value
	}
	return math.NaN()
}

// compare prints all judgements, and returns an error when something is lost.
func compare(out io.Writer, recorded, now *record) error {
	g := grid{
		title: fmt.Sprintf("Against the record of %s, %d cores", recorded.Machine.Date, recorded.Machine.Cores),
		rows:  [][]string{{"what", "recorded", "now", "tolerated", ""}},
	}
	lost := 0
	for _, j := range judge(recorded, now) {
		sign := map[bool]string{true: "-", false: "+"}[j.more]
		row := []string{j.what, number(j.was), number(j.is), fmt.Sprintf("%s%.0f %%", sign, 100*j.tolerate), "ok"}
		if j.lost() {
			row[4] = "LOST"
			lost++
		}
		g.rows = append(g.rows, row)
	}
	if recorded.Machine.Cores != now.Machine.Cores {
		g.notes = append(g.notes, fmt.Sprintf("this machine has %d cores: ratios may differ for that", now.Machine.Cores))
	}
	printTable(out, g)
	switch {
	case len(g.rows) == 1:
		return fmt.Errorf("the record is empty: it guards nothing")
	case lost > 0:
		return fmt.Errorf("%d of %d figures are worse than recorded by more than is tolerated", lost, len(g.rows)-1)
	}
	return nil
}

func number(value float64) string {
	if math.IsNaN(value) {
		return "none"
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}
