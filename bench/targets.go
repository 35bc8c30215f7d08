package main

import (
	"fmt"
	"math"
)

// target is what thralld wants to reach, as one number out of a workload.
type target struct {
	workload string
	text     string
	value    func(r *result) float64
	atMost   bool // the limit is an upper one
	limit    float64
	aim      float64 // what would be better still; 0: nothing
}

// mixedIdeal is what the mixed workload allows: 8 visitors, each a cycle of 100 requests in 500 ms.
const mixedIdeal = visitors * slowEvery / 0.5

var targets = []target{
	{workload: "hello-32", text: "requests/s, as many times as starlet", value: times("starlet"), limit: 1.4},
	{workload: "hello-32", text: "requests/s, as many times as starman", value: times("starman"), limit: 2.5},
	{workload: "hello-32", text: "requests/s, as many times as uwsgi", value: times("uwsgi"), limit: 3},
	{workload: "hello-32", text: "requests/s, as many times as uwsgi-http", value: times("uwsgi-http"), limit: 3},
	{workload: "hello-32", text: "requests/s, as many times as feersum", value: times("feersum"), limit: 1},
	{
		workload: "hello-32", text: "requests/s, as many times as Go without Perl",
		value: times("go"), limit: 0.6, aim: 0.8,
	},
	{workload: "hello-32", text: "p99, ms", value: own(p99), atMost: true, limit: 2},
	{workload: "hello-1000", text: "requests that failed", value: own(failures), atMost: true},
	{workload: "hello-1000", text: "kept connections never answered (0: none)", value: own(starved), atMost: true},
	{
		workload: "hello-1000", text: "p99, as many times as p50",
		value: within(p99, p50), atMost: true, limit: 3,
	},
	{
		workload: "file-1m", text: "requests/s, as many times as nginx, which runs no app",
		value: times("nginx"), limit: 0.8, aim: 0.95,
	},
	{
		workload: "mixed", text: fmt.Sprintf("requests/s, as a part of %.0f", mixedIdeal),
		value: func(r *result) float64 { return own(rate)(r) / mixedIdeal }, limit: 0.98, aim: 0.99,
	},
	{
		workload: "mixed", text: "p95 of the quick requests, as many times as without the slow ones",
		value: within(quickP95, aloneP95), atMost: true, limit: 2,
	},
	{workload: "idle", text: "KB for each connection", value: own(idleMemory), atMost: true, limit: 20, aim: 8},
	{
		workload: "memory", text: "MB of 10 preloaded Dancer2 workers, beyond those of starman --preload-app",
		value:  func(r *result) float64 { return r.median("thralld", loadedOnce) - r.median("starman", loadedOnce) },
		atMost: true, limit: 20,
	},
	{workload: "start", text: "ms to the first answer", value: own(firstAnswer), atMost: true, limit: 100, aim: 50},
	{workload: "reload", text: "requests that failed", value: own(reloadFailed), atMost: true},
	{workload: "reload-dancer2", text: "requests that failed", value: own(reloadFailed), atMost: true},
	reloadTail("reload"),
	reloadTail("reload-dancer2"),
}

func reloadTail(workload string) target {
	return target{
		workload: workload, text: "p99, as many times as without a reload",
		value: within(reloadP99, steadyP99), atMost: true, limit: 2,
	}
}

func own(m metric) func(*result) float64 {
	return func(r *result) float64 { return r.median("thralld", m) }
}

// times is the rate of thralld divided by that of the peer.
func times(peer string) func(*result) float64 {
	return func(r *result) float64 { return r.ratio(peer, rate) }
}

// within is a ratio of two figures of thralld, round by round.
func within(m, of metric) func(*result) float64 {
	return func(r *result) float64 {
		o := r.of("thralld")
		return ratio(o.values(m), o.values(of))
	}
}

func (t target) reached(value, limit float64) bool {
	if t.atMost {
		return value <= limit
	}
	return value >= limit
}

// verdicts shows the targets of the workloads that were measured.
func verdicts(results []*result) grid {
	g := grid{title: "Targets", words: 1, rows: [][]string{{"workload", "what", "measured", "target", "reached"}}}
	for _, t := range targets {
		for _, r := range results {
			if r.workload.name != t.workload {
				continue
			}
			value := t.value(r)
			sign := map[bool]string{true: "<=", false: ">="}[t.atMost]
			wanted := fmt.Sprintf("%s %g", sign, t.limit)
			if t.aim != 0 {
				wanted += fmt.Sprintf(", aim %g", t.aim)
			}
			row := []string{t.workload, t.text, "-", wanted, "not measured"}
			if !math.IsNaN(value) {
				row[2], row[4] = fmt.Sprintf("%.2f", value), "NO"
				switch {
				case t.aim != 0 && t.reached(value, t.aim):
					row[4] = "yes, the aim too"
				case t.reached(value, t.limit):
					row[4] = "yes"
				}
			}
			g.rows = append(g.rows, row)
		}
	}
	return g
}
