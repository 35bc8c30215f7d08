package main

import (
	"fmt"
	"math"
)

// metric is one thing that a workload measures; its text is the name in record.json.
type metric string

const (
	rate         metric = "rate"          // requests a second
	p50          metric = "p50"           // ms
	p99          metric = "p99"           // ms
	failures     metric = "errors"        // requests that failed, as the load's tool counts them
	starved      metric = "starved"       // 1 when kept connections were never answered, else 0
	quickP95     metric = "quick_p95"     // ms, of the requests that do not sleep
	aloneP95     metric = "alone_p95"     // ms, of the same without those that sleep
	probeP99     metric = "probe_p99"     // ms, of a probe among slow clients
	aloneP99     metric = "alone_p99"     // ms, of the same without them
	slowMemory   metric = "slow_memory"   // KB for each slow client
	idleMemory   metric = "idle_memory"   // KB for each idle connection
	loadedOnce   metric = "loaded_once"   // MB of all processes, the app loaded before the fork
	loadedEach   metric = "loaded_each"   // MB of all processes, the app loaded by each worker
	firstAnswer  metric = "first_answer"  // ms from the start of the process
	reloadFailed metric = "reload_failed" // requests
	reloadTook   metric = "reload_took"   // s
	steadyP99    metric = "steady_p99"    // ms, before the reload
	reloadP99    metric = "reload_p99"    // ms, during the reload
)

// column is how a metric is shown.
type column struct {
	title  string
	digits int
	more   bool // more is better
}

var columns = map[metric]column{
	rate:         {"requests/s", 0, true},
	p50:          {"p50 ms", 2, false},
	p99:          {"p99 ms", 2, false},
	failures:     {"errors", 0, false},
	starved:      {"all served", 0, false},
	quickP95:     {"quick p95 ms", 2, false},
	aloneP95:     {"p95 without ms", 2, false},
	probeP99:     {"probe p99 ms", 2, false},
	aloneP99:     {"p99 without ms", 2, false},
	slowMemory:   {"KB/slow client", 1, false},
	idleMemory:   {"KB/connection", 1, false},
	loadedOnce:   {"preloaded MB", 1, false},
	loadedEach:   {"not preloaded MB", 1, false},
	firstAnswer:  {"first answer ms", 0, false},
	reloadFailed: {"failed", 0, false},
	reloadTook:   {"reload s", 1, false},
	steadyP99:    {"steady p99 ms", 1, false},
	reloadP99:    {"p99 in reload ms", 1, false},
}

// figures is what one run of a workload with one peer came to.
type figures map[metric]float64

// text is a value of this metric for people.
func (m metric) text(value float64) string {
	switch {
	case math.IsNaN(value):
		return "-"
	case m == starved:
		return map[bool]string{true: "NO", false: "yes"}[value > 0]
	}
	return fmt.Sprintf("%.*f", columns[m].digits, value)
}

// outcome is what all rounds of a workload came to with one peer.
type outcome struct {
	peer   *peer
	rounds []figures
	note   string // why there are no figures, or fewer
}

// values are those of a metric in the order of the rounds; NaN in a round that has none.
func (o *outcome) values(m metric) []float64 {
	var values []float64
	if o == nil {
		return nil
	}
	for _, round := range o.rounds {
		value, ok := round[m]
		if !ok {
			value = math.NaN()
		}
		values = append(values, value)
	}
	return values
}

// known are those of the rounds that have one.
func (o *outcome) known(m metric) []float64 {
	var values []float64
	for _, value := range o.values(m) {
		if !math.IsNaN(value) {
			values = append(values, value)
		}
	}
	return values
}

// result is what a workload came to.
type result struct {
	workload *workload
	outcomes []*outcome // in the order of the peers
}

func (r *result) of(peer string) *outcome {
	if r == nil {
		return nil
	}
	for _, o := range r.outcomes {
		if o.peer.name == peer {
			return o
		}
	}
	return nil
}

// median is NaN when the peer has no such figure.
func (r *result) median(peer string, m metric) float64 { return median(r.of(peer).known(m)) }

// ratio is thralld's figure divided by the peer's; NaN when one of the two has none.
func (r *result) ratio(peer string, m metric) float64 {
	return ratio(r.of("thralld").values(m), r.of(peer).values(m))
}
