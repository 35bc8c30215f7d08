package supervisor

import (
	"runtime"
	"testing"
)

// belongings is what a process has.
type belongings struct{ descriptors, goroutines, generations int }

func (c *crew) belongings() belongings {
	return belongings{descriptors(c.t), runtime.NumGoroutine(), c.generationsLeft()}
}

func TestManyReloadsLeaveNothingBehind(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
	c.rolled(c.first)
	settled := func() belongings {
		c.until("the old generation is gone", func() bool { return c.generationsLeft() == 1 })
		return c.belongings()
	}
	for range 10 {
		c.mustReload()
	}
	before := settled()
	for range 90 {
		c.mustReload()
	}
	settled()
	c.until("as much is there as after ten reloads", func() bool {
		now := c.belongings()
		return now.descriptors <= before.descriptors && now.goroutines <= before.goroutines
	})
	c.until("one template and one worker are left", func() bool { return children() == 2 })
	if roll := c.mustReload(); roll.Generation != 102 {
		t.Errorf("the next generation is %d, want 102", roll.Generation)
	}
}
