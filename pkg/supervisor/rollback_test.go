package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// dying is an app whose workers serve, and die as soon as the file "die" is there.
const dying = `
use Time::HiRes qw(setitimer ITIMER_REAL);
$SIG{ALRM} = sub { print("the disk is full\n"), exit 3 if -e "$ENV{TEST_DIR}/die" };
setitimer(ITIMER_REAL, 0.01, 0.01);
sub { [200, [], ['dying']] }`

// commitDying prepares a generation and commits it when its workers begin to die.
// They come so slowly that there are never three of them.
func (c *crew) commitDying() *Roll {
	c.t.Helper()
	plan := c.set.plan // the app of the others stays as it is: new workers read it again
	plan.Boot.App = filepath.Join(c.dir, "dying.psgi")
	if err := os.WriteFile(plan.Boot.App, []byte(dying), 0o600); err != nil {
		c.t.Fatal(err)
	}
	candidate, err := c.Prepare(c.t.Context(), plan)
	if err != nil {
		c.t.Fatal(err)
	}
	exited := c.logs.FilterMessage("worker exited").Len()
	c.release("die")
	c.await("worker exited", exited+1)
	settings := c.set.settings
	settings.SpawnInterval = 150 * time.Millisecond
	return candidate.Commit(settings)
}

// expectStable waits until the first generation is whole again, and alone.
func (c *crew) expectStable() {
	c.t.Helper()
	c.until("the stable generation is whole and alone", func() bool {
		pids := c.pids()
		return len(pids) == 1 && len(pids[1]) == 3 && c.generationsLeft() == 1
	})
	if got := c.version(); got != "stable" {
		c.t.Errorf("version %q answers", got)
	}
}

func threeWorkers(o *setup) { o.settings.Workers = 3 }

// rolledBack waits for the end of a roll that has to be undone.
func (c *crew) rolledBack(r *Roll) *RolledBackError {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	var back *RolledBackError
	if err := r.Wait(ctx, nil); !errors.As(err, &back) {
		c.t.Fatalf("roll to generation %d: %v, want that it was rolled back", r.Generation, err)
	}
	return back
}

func TestGenerationWhoseWorkersDoNotStayAliveIsRolledBack(t *testing.T) {
	c := startCrew(t, version("stable"), threeWorkers)
	c.rolled(c.first)
	back := c.rolledBack(c.commitDying())
	if back.Generation != 2 || back.To != 1 || !strings.Contains(back.Reason, "the disk is full") {
		t.Errorf("got %+v", back)
	}
	c.expectStable()
	if entry := c.await("rolling back", 1); entry.Level != zap.ErrorLevel {
		t.Errorf("logged as %v", entry.Level)
	}
	c.rewrite(version("next"))
	if next := c.mustReload(); next.Generation != 3 {
		t.Errorf("the next generation is %d, want 3", next.Generation)
	}
}

func TestRollbackToAGenerationOfWhichNothingIsLeft(t *testing.T) {
	c := startCrew(t, version("stable"), threeWorkers)
	c.rolled(c.first)
	c.ask(func() { c.stable.template.kill() })
	c.await("template exited", 1)
	old := c.pids()[1]
	roll := c.commitDying()
	for _, pid := range old {
		_ = unix.Kill(pid, unix.SIGKILL) // if it has not been retired yet
	}
	if back := c.rolledBack(roll); back.To != 1 {
		t.Errorf("got %+v", back)
	}
	c.expectStable()
}

func TestNewGenerationSupersedesOneThatFails(t *testing.T) {
	c := startCrew(t, version("stable"), threeWorkers)
	c.rolled(c.first)
	c.set.settings.ErrRespawnInterval = time.Minute // it takes its time to fail three times
	c.Configure(c.set.settings)
	failing := c.commitDying()
	c.set.settings.ErrRespawnInterval = 0
	c.rewrite(version("mended"))
	c.mustReload()
	var superseded *SupersededError
	if err := failing.Wait(t.Context(), nil); !errors.As(err, &superseded) || superseded.By != 3 {
		t.Errorf("the roll that failed: %v", err)
	}
	c.expectAlone(3, 3)
}

func TestFirstGenerationThatFailsIsTriedAgainAndToldOnce(t *testing.T) {
	c := startCrew(t, dying, func(o *setup) { o.settings.Workers = 1 })
	c.release("die")
	c.await("workers keep failing", 1)
	c.await("worker exited", tooManyFailures+2)
	loud := 0
	for _, entry := range c.logs.FilterMessage("worker exited").All() {
		if entry.Level >= zap.WarnLevel {
			loud++
		}
	}
	if n := c.logs.FilterMessage("workers keep failing").Len(); n != 1 || loud != tooManyFailures {
		t.Errorf("%d ends of workers and %d summaries were told, want %d and one", loud, n, tooManyFailures)
	}
	c.rewrite(version("mended"))
	c.mustReload()
	if got := c.version(); got != "mended" {
		t.Errorf("version %q answers", got)
	}
}

func TestWorkerThatFailsIsNotReplacedBeforeErrRespawnInterval(t *testing.T) {
	const interval = 400 * time.Millisecond
	c := startCrew(t, app, func(o *setup) { o.settings.Workers, o.settings.ErrRespawnInterval = 1, interval })
	c.rolled(c.first)
	for n := 1; n <= 2; n++ {
		pid, killed := c.pid(), time.Now()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if gap := c.await("worker ready", n+1).Time.Sub(killed); gap < interval {
			t.Errorf("another one was ready %v after the %d. death", gap, n)
		}
	}
}

func TestTemplateThatCannotBeStartedIsTriedAgain(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
	c.rolled(c.first)
	c.ask(func() {
		c.target.plan.Perl = "/no/such/perl" // it is being upgraded
		c.target.template.kill()
	})
	c.await("template exited", 1)
	if err := unix.Kill(c.pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await("template failed", 2)
	c.ask(func() { c.target.plan.Perl = "perl" })
	c.await("worker ready", 2)
}

func TestLostRequestIsToldHoweverOftenWorkersDie(t *testing.T) {
	c := startCrew(t, `sub { kill KILL => $$; sleep 1 while 1 }`, func(o *setup) { o.settings.Workers = 1 })
	for n := 1; n <= tooManyFailures+1; n++ {
		if _, err := c.call(t.Context(), "/"); !errors.Is(err, psgi.ErrWorkerDied) {
			t.Fatalf("request %d: %v, want ErrWorkerDied", n, err)
		}
		if entry := c.await("worker exited", n); entry.Level != zap.WarnLevel {
			t.Errorf("the %d. death is told at the level %v: %v", n, entry.Level, entry.ContextMap())
		}
	}
}
