package main

import (
	"math"
	"slices"
	"time"
)

// median is the value in the middle, of two such the mean; NaN when there is none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread is the least and the greatest value; NaN when there is none.
func spread(values []float64) (least, greatest float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(values), slices.Max(values)
}

// ratio divides round by round, and is the median of what comes out: a machine that is slower in one
// round is so for both. Rounds that one of the two has not are left out, as are those with a zero.
func ratio(ours, theirs []float64) float64 {
	var ratios []float64
	for round := range min(len(ours), len(theirs)) {
		if quotient := ours[round] / theirs[round]; !math.IsNaN(quotient) && !math.IsInf(quotient, 0) {
			ratios = append(ratios, quotient)
		}
	}
	return median(ratios)
}

// quantile is the latency that this part of all (0.99) does not exceed; 0 when there is none.
// It sorts what it is given.
func quantile(latencies []time.Duration, part float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[max(0, int(math.Ceil(part*float64(len(latencies))))-1)]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
