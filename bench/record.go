package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
)

// tolerance is by which part something may be worse than recorded.
type tolerance struct {
	Ratios       float64 `json:"ratios"`
	Allocations  float64 `json:"allocations"`
	SystemCalls  float64 `json:"system_calls"`
	Waits        float64 `json:"waits"`
	Instructions float64 `json:"instructions"`
}

// tolerances of a new record. Ratios of three short rounds differ by a tenth from run to run even on a
// quiet machine. Counts differ for reasons of their own: allocations hardly (a pool that the garbage
// collector empties), system calls with how many requests a process finds when it wakes up, the waits
// of Go's scheduler with what else the machine does, and instructions not at all, as Perl's hashes get
// the same seed each time.
var tolerances = tolerance{Ratios: 0.2, Allocations: 0.02, SystemCalls: 0.1, Waits: 0.25, Instructions: 0.02}

// record is what is kept in the repository.
type record struct {
	Machine   machine   `json:"machine"`
	Tolerance tolerance `json:"tolerance"`
	// Ratios are thralld's figure divided by the peer's, by workload, metric and peer.
	Ratios map[string]map[metric]map[string]float64 `json:"ratios"`
	counts
}

// counts are for one request each.
type counts struct {
	Allocations  map[string]float64 `json:"allocations"`  // by package and benchmark
	SystemCalls  map[string]float64 `json:"system_calls"` // by process and load, without those that wait
	Waits        map[string]float64 `json:"waits"`        // the system calls by which Go waits and wakes
	Instructions map[string]float64 `json:"instructions"` // of the worker, by what it serves
}

func newRecord(m machine, results []*result, c counts) *record {
	r := &record{Machine: m, Tolerance: tolerances, Ratios: map[string]map[metric]map[string]float64{}, counts: c}
	for _, one := range results {
		name := one.workload.name
		for _, m := range one.workload.guardedMetrics() {
			for _, o := range one.outcomes {
				value := one.ratio(o.peer.name, m)
				if o.peer.name == "thralld" || math.IsNaN(value) {
					continue
				}
				if r.Ratios[name] == nil {
					r.Ratios[name] = map[metric]map[string]float64{}
				}
				if r.Ratios[name][m] == nil {
					r.Ratios[name][m] = map[string]float64{}
				}
				r.Ratios[name][m][o.peer.name] = rounded(value)
			}
		}
	}
	return r
}

// guardedMetrics are those of which a ratio to another server is steady enough to be compared.
func (w *workload) guardedMetrics() []metric {
	if w.metrics[0] == loadedOnce {
		return []metric{loadedOnce, loadedEach}
	}
	return w.metrics[:1]
}

// rounded keeps three digits: more are noise, and a record should be read.
func rounded(value float64) float64 {
	if value == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Ceil(math.Log10(math.Abs(value))))
	return math.Round(value*scale) / scale
}

// about is the record without the ratios of workloads that are not measured now.
func (r *record) about(measured []*workload) *record {
	less := *r
	less.Ratios = maps.Clone(r.Ratios)
	maps.DeleteFunc(less.Ratios, func(name string, _ map[metric]map[string]float64) bool {
		return !slices.ContainsFunc(measured, func(w *workload) bool { return w.name == name })
	})
	return &less
}

func readRecord(path string) (*record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w; bench/run --record %s makes it", err, path)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read the record %s: %w", path, err)
	}
	return &r, nil
}

func (r *record) write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return nil
}
