package supervisor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The life of a worker: what each event makes of each state, and what is done
// about it. An empty cell means that nothing changes.
func Example_next() {
	line := fmt.Sprintf("%-8s", "state")
	for e := booted; e <= exited; e++ {
		line += fmt.Sprintf(" | %-18s", e)
	}
	fmt.Println(strings.TrimRight(line, " "))
	for s := booting; s <= gone; s++ {
		line = fmt.Sprintf("%-8s", s)
		for e := booted; e <= exited; e++ {
			cell := ""
			if to, effect := next(s, e); to != s {
				cell = fmt.Sprintf("%s, %s", to, effect)
			}
			line += fmt.Sprintf(" | %-18s", cell)
		}
		fmt.Println(strings.TrimRight(line, " "))
	}
	// Output:
	// state    | booted             | retire             | leaving            | overdue            | force              | exited
	// booting  | ready, admit       | ending, TERM       |                    | killed, KILL       | killed, KILL       | gone, bury
	// ready    |                    | retiring, quit     | retiring, withdraw |                    | ending, TERM       | gone, bury
	// retiring |                    |                    |                    | ending, TERM       | ending, TERM       | gone, bury
	// ending   |                    |                    |                    | killed, KILL       | killed, KILL       | gone, bury
	// killed   |                    |                    |                    |                    |                    | gone, bury
	// gone     |                    |                    |                    |                    |                    |
}

func TestEveryStateEndsInGone(t *testing.T) {
	for s := booting; s < gone; s++ {
		if to, effect := next(s, exited); to != gone || effect != bury {
			t.Errorf("%s: exited leads to %s, %s", s, to, effect)
		}
	}
	for e := booted; e <= exited; e++ {
		if to, effect := next(gone, e); to != gone || effect != nothing {
			t.Errorf("gone: %s leads to %s, %s", e, to, effect)
		}
	}
}

func TestForceEndsAWorkerInTwoSteps(t *testing.T) {
	for s := booting; s < killed; s++ {
		state, _ := next(s, force)
		state, _ = next(state, force)
		if state != killed {
			t.Errorf("%s: forced twice is %s, want killed", s, state)
		}
	}
}

func TestDelayGrowsWithFailuresInARow(t *testing.T) {
	var got []time.Duration
	for failures := range 12 {
		got = append(got, backoff(failures, 0, 0))
	}
	want := []time.Duration{
		0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond,
		25600 * time.Millisecond, 30 * time.Second, 30 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := backoff(1000, 0, 0.999); d < longestBackoff/2 || d > longestBackoff {
		t.Errorf("1,000 failures: %v", d)
	}
	if d := backoff(1, time.Minute, 0.5); d != time.Minute {
		t.Errorf("with a least interval of a minute: %v", d)
	}
}

func TestWorkersThatDieTogetherCountAsOneFailure(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	born := now.Add(-time.Second)
	failures, last := 0, time.Time{}
	for range 10 {
		failures = failuresAfter(failures, last, born, now)
		last = now
	}
	if failures != 1 {
		t.Errorf("ten at once: %d failures, want 1", failures)
	}
	later := now.Add(time.Second)
	if n := failuresAfter(failures, last, now.Add(time.Millisecond), later); n != 2 {
		t.Errorf("the next one too: %d failures, want 2", n)
	}
	if n := failuresAfter(7, last, now, now.Add(matureAge)); n != 0 {
		t.Errorf("a mature worker: %d failures, want 0", n)
	}
}
