package main

import (
	"context"
	"fmt"
	"time"
)

const (
	slowEvery  = 100
	slowTarget = "/?sleep=0.5"
)

// mixed measures how much slow requests are in the way of quick ones. Each visitor makes every 100th
// request a slow one, not all at the same time; its rate is taken over whole cycles, from the end of a
// slow request to the end of another, so that it does not matter where a measurement begins and ends.
func mixed(ctx context.Context, j *job) (figures, error) {
	var result figures
	err := j.with(ctx, nil, func(s *server) error {
		crowd(ctx, s, 300*time.Millisecond).forget()
		alone := crowd(ctx, s, time.Second)

		cycles := make([]cycle, visitors)
		lasts := time.Duration(j.seconds) * time.Second
		each(s, visitors, func(number int, v *visitor) {
			cycles[number].run(ctx, v, number*slowEvery/visitors, lasts)
		})

		result = figures{}
		quick := make([]seen, 0, visitors)
		for _, c := range cycles {
			result[rate] += c.rate()
			quick = append(quick, c.quick)
		}
		both := together(append(quick, *alone))
		if len(alone.latencies) == 0 || len(both.latencies) == len(alone.latencies) {
			return fmt.Errorf("no request was answered: %w", both.err)
		}
		result[failures] = float64(both.failed)
		result[aloneP95] = milliseconds(quantile(alone.latencies, 0.95))
		result[quickP95] = milliseconds(quantile(together(quick).latencies, 0.95))
		return nil
	})
	return result, err
}

// cycle is what one visitor of the mixed workload has seen.
type cycle struct {
	quick       seen
	done        int // requests that were answered
	began       time.Time
	first, last time.Time // when the first and the last slow request ended
	between     int       // requests that were answered between the two
}

// run makes requests until a slow one ends after the time; a server that is slow at all of them gets twice as long.
func (c *cycle) run(ctx context.Context, v *visitor, made int, lasts time.Duration) {
	c.began = time.Now()
	since := 0
	for ctx.Err() == nil && time.Since(c.began) < 2*lasts {
		made++
		if made%slowEvery != 0 {
			latency, err := v.get("/")
			c.quick.add(latency, err)
			if err == nil {
				c.done++
				since++
			}
			continue
		}
		if _, err := v.get(slowTarget); err != nil {
			c.quick.add(0, err)
			continue
		}
		c.done++
		since++
		c.last = time.Now()
		if c.first.IsZero() {
			c.first = c.last
		} else {
			c.between += since
		}
		since = 0
		if time.Since(c.began) > lasts {
			return
		}
	}
}

// rate is in requests a second: over whole cycles, or over all the time when there was no whole one.
func (c *cycle) rate() float64 {
	if c.between > 0 {
		return float64(c.between) / c.last.Sub(c.first).Seconds()
	}
	return float64(c.done) / time.Since(c.began).Seconds()
}
