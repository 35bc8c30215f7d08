package main

import (
	"math"
	"testing"
	"time"
)

func TestMedianIsTheValueInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

func TestMedianLeavesItsInputInOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	median(values)
	if values[0] != 3 || values[2] != 2 {
		t.Errorf("the rounds are now %v", values)
	}
}

func TestSpreadIsTheLeastAndTheGreatest(t *testing.T) {
	if least, greatest := spread([]float64{5, 2, 8}); least != 2 || greatest != 8 {
		t.Errorf("spread = %v, %v, want 2, 8", least, greatest)
	}
	if least, greatest := spread(nil); !math.IsNaN(least) || !math.IsNaN(greatest) {
		t.Errorf("spread of nothing = %v, %v, want NaN", least, greatest)
	}
}

// In the second round the machine was half as fast: the ratio of the medians would be 0.75.
func TestRatioIsTakenWithinEachRound(t *testing.T) {
	if got := ratio([]float64{300, 100, 150}, []float64{200, 100, 200}); got != 1 {
		t.Errorf("ratio = %v, want 1", got)
	}
}

func TestRatioLeavesOutRoundsThatOneHasNot(t *testing.T) {
	if got := ratio([]float64{300, math.NaN(), 8}, []float64{100, 100}); got != 3 {
		t.Errorf("ratio = %v, want 3", got)
	}
	if got := ratio([]float64{1}, []float64{0}); !math.IsNaN(got) {
		t.Errorf("ratio to zero = %v, want NaN", got)
	}
}

func TestQuantileIsNotExceededByItsPart(t *testing.T) {
	var latencies []time.Duration
	for ms := 100; ms > 0; ms-- {
		latencies = append(latencies, time.Duration(ms)*time.Millisecond)
	}
	for part, want := range map[float64]time.Duration{0.5: 50, 0.95: 95, 0.99: 99, 1: 100, 0: 1} {
		if got := quantile(latencies, part); got != want*time.Millisecond {
			t.Errorf("quantile(%v) = %v, want %v ms", part, got, int(want))
		}
	}
	if got := quantile(nil, 0.99); got != 0 {
		t.Errorf("quantile of nothing = %v, want 0", got)
	}
}
