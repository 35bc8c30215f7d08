package supervisor

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestReloadRollsAllWorkersToNewCodeAndNoRequestFails(t *testing.T) {
	c := startCrew(t, version("one"), func(o *setup) { o.settings.Workers = 3 })
	c.await("worker ready", 3)
	requests := c.traffic(4)
	for _, name := range []string{"two", "three", "four"} {
		c.rewrite(version(name))
		roll, err := c.reload()
		if err != nil {
			t.Fatal(err)
		}
		steps := c.rolled(roll)
		if last := steps[len(steps)-1]; last != [2]int{3, 3} {
			t.Errorf("the roll's last step is %v", last)
		}
		c.expectAlone(roll.Generation, 3)
		if got := c.version(); got != name {
			t.Errorf("after the roll version %q answers, want %q", got, name)
		}
	}
	requests.end()
	c.await("rolled", 3)
	if len(requests.answers) < 4 {
		t.Errorf("answers: %v", requests.answers)
	}
}

func TestRollTakesTheSpawnIntervalForEachWorker(t *testing.T) {
	const interval = 150 * time.Millisecond
	began := time.Now()
	c := startCrew(t, app, func(o *setup) {
		o.settings.Workers, o.settings.SpawnInterval = 3, interval
	})
	c.rolled(c.first)
	if took := time.Since(began); took < 2*interval {
		t.Errorf("three workers were there after %v, want %v at least", took, 2*interval)
	}
	began = time.Now()
	c.mustReload()
	if took := time.Since(began); took < 2*interval {
		t.Errorf("rolled after %v, want %v at least", took, 2*interval)
	}
}

func TestRollEndsThoughItsWorkersSoonReachTheirLimit(t *testing.T) {
	const slow = "select undef, undef, undef, 0.3;\n" // a worker has gone before the next one is ready
	c := startCrew(t, slow+version("one"), func(o *setup) { o.settings.Workers, o.settings.MaxRequests = 3, 1 })
	requests := c.traffic(6)
	c.rolled(c.first)
	c.rewrite(slow + version("two"))
	roll, err := c.reload()
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, step := range c.rolled(roll) {
		if step[0] < last {
			t.Errorf("after %d replaced workers there are %d", last, step[0])
		}
		last = step[0]
	}
	requests.end()
	if last != 3 {
		t.Errorf("the roll has ended with %d of 3 workers", last)
	}
}

func TestCodeThatDoesNotWorkChangesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		preload      bool
		source, want string
	}{
		"does not compile":             {false, "use strict;\nmy $x = ;\nsub {}", "syntax error at $APP line 2"},
		"does not compile, preloaded":  {true, "use strict;\nmy $x = ;\nsub {}", "syntax error at $APP line 2"},
		"dies while it loads":          {false, "die 'no database'", "no database at $APP line 1"},
		"hangs while it loads":         {false, "sleep 1 while 1", "did not finish loading within 500ms (start_timeout)"},
		"hangs, preloaded":             {true, "sleep 1 while 1", "did not finish loading within 500ms (start_timeout)"},
		"says what it waits for":       {false, "warn 'connecting'; sleep 1 while 1", "(start_timeout); it last printed:\nconnecting at $APP"},
		"says so, preloaded":           {true, "warn 'connecting'; sleep 1 while 1", "(start_timeout); it last printed:\nconnecting at $APP"},
		"is killed while loading":      {false, "kill KILL => $$", "killed by signal 9"},
		"is killed, preloaded":         {true, "kill KILL => $$", "signal: killed"},
		"dies soon after it is loaded": {false, dyingSoon, "it last printed:\nout of luck"},
	} {
		t.Run(name, func(t *testing.T) {
			c := startCrew(t, version("good"), func(o *setup) {
				o.settings.Probation, o.plan.Boot.Preload = time.Second, test.preload
			})
			c.rolled(c.first)
			before := c.pids()
			requests := c.traffic(2)
			c.rewrite(test.source)
			want := strings.ReplaceAll(test.want, "$APP", c.set.plan.Boot.App)
			switch {
			case strings.Contains(want, "500ms"):
				c.set.plan.StartTimeout = 500 * time.Millisecond
			case strings.Contains(want, "start_timeout"):
				c.set.plan.StartTimeout = 4 * time.Second // it has to come as far as its warning, on a busy machine, too
			}
			if _, err := c.reload(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("reload: %v\nwant %s", err, want)
			}
			c.until("the candidate is gone", func() bool { return c.generationsLeft() == 1 })
			requests.end()
			if after := c.pids(); !maps.EqualFunc(before, after, sameSet) {
				t.Errorf("workers before %v, after %v", before, after)
			}
			for _, entry := range c.logs.FilterMessage("worker exited").All() {
				if entry.Level > zap.InfoLevel {
					t.Errorf("logged, and returned by Prepare: %v %v", entry.Level, entry.ContextMap())
				}
			}

			c.set.settings.Probation, c.set.plan.StartTimeout = 0, 0
			c.Configure(c.set.settings)
			c.rewrite(version("better"))
			if roll := c.mustReload(); roll.Generation != 3 {
				t.Errorf("the next generation is %d, want 3", roll.Generation)
			}
			if got := c.version(); got != "better" {
				t.Errorf("version %q answers", got)
			}
		})
	}
}

// dyingSoon is an app whose workers die 300 ms after they were ready.
const dyingSoon = `use Time::HiRes; $SIG{ALRM} = sub { print "out of luck\n"; exit 3 }; Time::HiRes::alarm(0.3); sub {}`

func sameSet(a, b []int) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestNewerGenerationSupersedesARollThatIsUnderWay(t *testing.T) {
	c := startCrew(t, version("one"), func(o *setup) { o.settings.Workers = 3 })
	c.rolled(c.first)
	requests := c.traffic(2)
	c.set.settings.SpawnInterval = 3 * time.Second // of the second roll: it is under way when the third has its first worker, which waits as well
	c.rewrite(version("two"))
	second, err := c.reload()
	if err != nil {
		t.Fatal(err)
	}
	c.set.settings.SpawnInterval = 0
	c.rewrite(version("three"))
	third, err := c.reload()
	if err != nil {
		t.Fatal(err)
	}
	var superseded *SupersededError
	if err := second.Wait(t.Context(), nil); !errors.As(err, &superseded) || superseded.By != 3 {
		t.Errorf("the second roll: %v, want superseded by generation 3", err)
	}
	c.rolled(third)
	requests.end()
	c.expectAlone(3, 3)
}

func TestLongRequestIsNotCutByARollBeforeRetireTimeout(t *testing.T) {
	c := startCrew(t, version("one"), nil)
	c.rolled(c.first)
	long := c.going("/wait")
	c.awaitFile("running")
	c.rewrite(version("two"))
	c.mustReload() // goes on around it
	c.expectAlone(2, 2)
	select {
	case err := <-long:
		t.Fatalf("the long request has ended with the roll: %v", err)
	default:
	}
	c.release("go")
	if err := <-long; err != nil {
		t.Errorf("the long request: %v", err)
	}
	c.until("the old generation is gone", func() bool { return c.generationsLeft() == 1 })
}

func TestLongRequestIsEndedAfterRetireTimeout(t *testing.T) {
	c := startCrew(t, version("one"), func(o *setup) { o.settings.RetireTimeout = 300 * time.Millisecond })
	c.rolled(c.first)
	long := c.going("/wait")
	c.awaitFile("running")
	began := time.Now()
	c.mustReload()
	if err := <-long; !errors.Is(err, psgi.ErrWorkerDied) {
		t.Errorf("the long request: %v, want ErrWorkerDied", err)
	}
	if took := time.Since(began); took < c.set.settings.RetireTimeout {
		t.Errorf("it was ended after %v", took)
	}
	c.until("the log tells of its end", func() bool {
		for _, entry := range c.logs.FilterMessage("worker exited").All() {
			if f := entry.ContextMap(); f["status"] == "killed by signal 15 (SIGTERM)" && f["cause"] == causeRetired {
				return true
			}
		}
		return false
	})
}

func TestSwiftGenerationTakesOverAtOnce(t *testing.T) {
	c := startCrew(t, version("one"), func(o *setup) {
		o.settings.Workers, o.settings.Probation = 3, limit
	})
	c.rolled(c.first)
	c.set.plan.Swift, c.set.settings.SpawnInterval = true, time.Minute // which is for other workers than the first
	c.rewrite(version("two"))
	roll, err := c.reload()
	if err != nil {
		t.Fatal(err)
	}
	c.until("no old worker is left", func() bool { return len(c.pids()[1]) == 0 })
	c.expectAlone(2, 1)
	if got := c.version(); got != "two" {
		t.Errorf("version %q answers", got)
	}
	c.set.settings.SpawnInterval = 0
	c.Configure(c.set.settings)
	c.rolled(roll)
	c.expectAlone(2, 3)
}

// generationsLeft counts those that have not been dismissed.
func (c *crew) generationsLeft() (n int) {
	c.ask(func() { n = len(c.generations) })
	return n
}

func TestEveryProcessIsKilledInTheMiddleOfARoll(t *testing.T) {
	c := startCrew(t, version("one"), func(o *setup) { o.settings.Workers = 3 })
	c.rolled(c.first)
	c.set.settings.SpawnInterval = 100 * time.Millisecond
	c.rewrite(version("two"))
	roll, err := c.reload()
	if err != nil {
		t.Fatal(err)
	}
	c.ask(func() {
		for _, w := range c.workers {
			if w.pid != 0 {
				_ = unix.Kill(w.pid, unix.SIGKILL)
			}
		}
		for _, g := range c.generations {
			if g.template != nil {
				g.template.kill()
			}
		}
	})
	c.rolled(roll)
	c.expectAlone(2, 3)
	if got := c.version(); got != "two" {
		t.Errorf("version %q answers", got)
	}
}
