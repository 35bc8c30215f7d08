package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// crowd bounds how many workers of an app that computes are used at a time. More than
// the processors can run do not get more done: they take turns, each finds the caches
// full of what is the others', and all answers come later. Of an app that waits, for a
// database or a file, more are used, in the proportion of its waiting to its computing.
//
// A worker counts no longer than lonePatience with one request. What is slow, for
// whatever reason, then makes room, and so does what is found to wait all of a sudden.
type crowd struct {
	processors int // 0: there is no bound
	bound      int // 0: none is known
	again      time.Time
	measuring  bool
	ran        time.Duration // what workers have computed
	wanted     time.Duration // and what their requests would have taken, had a processor always been free
}

const (
	// measureEvery is how old a bound is when it is measured anew.
	measureEvery = 100 * time.Millisecond
	// fewSamples is what workers must have run by then to say anything.
	fewSamples = 5 * time.Millisecond
	// mostMeasured is how many workers are asked about, those used last: a thousand would
	// cost a tenth of a processor, and tell no more.
	mostMeasured = 32
)

// effort is what a worker has done since it was started.
type effort struct {
	ran     time.Duration // on a processor
	delayed time.Duration // while it could have run, and others did
	took    time.Duration // all of its requests, by the clock
}

// isFull reports whether enough workers are running.
func (c *crowd) isFull(running int) bool { return c.bound > 0 && running >= c.bound }

// atOnce is the bound of the crowd, or 0 if that many workers are within it.
func (d *dispatcher) atOnce(workers int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crowd.bound >= workers {
		return 0
	}
	return d.crowd.bound
}

// counts reports whether a worker is one of those that the bound is about.
func (s *slot) counts(now time.Time) bool {
	return len(s.sent)+len(s.cleaning) > 0 && now.Sub(s.since) < lonePatience
}

// consider has the bound measured when that many workers are running, which are more
// than the processors can run if none waits. It is called with mu held.
func (d *dispatcher) consider(running int, now time.Time) {
	c := &d.crowd
	if c.processors == 0 || running < c.processors || c.measuring || now.Before(c.again) {
		return
	}
	c.measuring = true
	go d.measure()
}

// measure asks the kernel what the workers have done, and sets the bound.
func (d *dispatcher) measure() {
	type sample struct {
		slot *slot
		pid  int64
		effort
	}
	var samples []sample
	d.mu.Lock()
	for _, s := range d.slots[:min(len(d.slots), mostMeasured)] {
		if pid := s.pid.Load(); pid != 0 && !s.threaded() {
			samples = append(samples, sample{s, pid, effort{took: s.took}})
		}
	}
	d.mu.Unlock()

	for i := range samples {
		var err error
		if samples[i].ran, samples[i].delayed, err = d.schedule(samples[i].pid); err != nil {
			samples[i].pid = 0 // it has just ended, or this is not Linux
		}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	var sum effort
	for _, now := range samples {
		if now.pid == 0 || now.pid != now.slot.pid.Load() {
			continue
		}
		if before := now.slot.measured; before.ran > 0 {
			sum.ran += now.ran - before.ran
			sum.delayed += now.delayed - before.delayed
			sum.took += now.took - before.took
		}
		now.slot.measured = now.effort
	}
	d.crowd.measuring, d.crowd.again = false, time.Now().Add(measureEvery)
	d.crowd.learn(sum)
}

// learn sets the bound by what workers have done, of late above all.
func (c *crowd) learn(e effort) {
	if e.ran < fewSamples {
		return
	}
	c.ran = c.ran/2 + e.ran
	c.wanted = c.wanted/2 + max(e.took-e.delayed, e.ran)
	c.bound = int(time.Duration(c.processors)*c.wanted/c.ran) + 1
}

// schedule reads how long a process was run, and how long it had to wait for a
// processor (Linux, Documentation/scheduler/sched-stats.rst).
func schedule(pid int64) (ran, delayed time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("/proc/%d/schedstat is %q", pid, text)
	}
	for i, to := range []*time.Duration{&ran, &delayed} {
		ns, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*to = time.Duration(ns)
	}
	return ran, delayed, nil
}
