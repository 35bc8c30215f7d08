package supervisor

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestWorkersAreAddedAndTakenByHand(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 2 })
	c.rolled(c.first)
	if room := c.Room(); room != 2+spareSlots-1 {
		t.Errorf("room for %d", room)
	}
	for _, step := range []struct{ by, want int }{{+2, 4}, {-1, 3}, {+100, c.Room()}, {-100, 1}, {+1, 2}, {+1, 3}} {
		if got := c.Adjust(step.by); got != step.want {
			t.Fatalf("adjusted by %+d: %d, want %d", step.by, got, step.want)
		}
		c.until(fmt.Sprintf("%d workers", step.want), func() bool { return len(c.pids()[1]) == step.want })
	}
	c.set.settings.MaxQueue = 7 // has nothing to do with workers
	c.Configure(c.set.settings)
	c.expectAlone(1, 3)
	c.mustReload()
	c.expectAlone(2, 2)
}

func TestNothingIsAdjustedBeforeTheStartAndAfterTheEnd(t *testing.T) {
	c := newCrew(t, app, nil)
	if n, room := c.Adjust(1), c.Room(); n != 0 || room != 0 {
		t.Errorf("before: %d workers, room for %d", n, room)
	}
	c.Kill()
	if n, room := c.Adjust(1), c.Room(); n != 0 || room != 0 {
		t.Errorf("after: %d workers, room for %d", n, room)
	}
}

func TestSettingsChangeWhileWorkersRun(t *testing.T) {
	c := startCrew(t, counting, func(o *setup) { o.settings.Workers = 1 })
	c.rolled(c.first)
	c.set.settings.Workers = 3
	c.Configure(c.set.settings)
	c.await("worker ready", 3)
	c.set.settings.Workers, c.set.settings.MaxRequests = 1, 5
	c.Configure(c.set.settings)
	c.await("worker exited", 2)
	for range 20 {
		if _, n := c.count("/"); n > 5 {
			t.Fatalf("a worker has run %d requests", n)
		}
	}
	c.set.settings.MaxLifetime = time.Millisecond
	c.Configure(c.set.settings)
	c.until("a worker is too old", func() bool {
		for _, entry := range c.logs.FilterMessage("worker exited").All() {
			if entry.ContextMap()["limit"] == dueLifetime {
				return true
			}
		}
		return false
	})
}

func TestMemoryOfAProcess(t *testing.T) {
	before, err := Memory(os.Getpid())
	if err != nil || before < 1<<20 {
		t.Fatalf("this process uses %d bytes, %v", before, err)
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	after, err := Memory(os.Getpid())
	if grown := after - before; err != nil || grown < 48<<20 || grown > 256<<20 {
		t.Errorf("64 MiB more: %d MiB, %v", grown>>20, err)
	}
	held[0] = 2 // it is in use until here
	if _, err := Memory(0); err == nil {
		t.Error("there is no process 0")
	}
}
