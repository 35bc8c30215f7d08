package supervisor

import (
	"context"
	"encoding/binary"
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// hanging is an app that says that it loads, and does no more.
const hanging = `open my $fh, '>', "$ENV{TEST_DIR}/loading"; sleep 1 while 1`

func TestCandidateThatIsDroppedLeavesNothing(t *testing.T) {
	c := startCrew(t, version("one"), nil)
	c.rolled(c.first)
	c.rewrite(version("two"))
	candidate, err := c.Prepare(t.Context(), c.set.plan)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got := c.version(); got != "one" {
			t.Fatalf("version %q answers before it was committed", got)
		}
	}
	candidate.Drop()
	candidate.Drop()
	c.until("the candidate is gone", func() bool { return c.generationsLeft() == 1 })
	c.expectAlone(1, 2)
	if err := candidate.Commit(c.set.settings).Wait(t.Context(), nil); !errors.Is(err, psgi.ErrStopping) {
		t.Errorf("commit of what was dropped: %v", err)
	}
	c.mustReload()
}

func TestPrepareThatIsGivenUpLeavesNothing(t *testing.T) {
	c := startCrew(t, app, nil)
	c.rolled(c.first)
	c.rewrite(hanging)
	ctx, giveUp := context.WithCancel(t.Context())
	prepared := make(chan error, 1)
	go func() { // ends when it is given up
		_, err := c.Prepare(ctx, c.set.plan)
		prepared <- err
	}()
	c.awaitFile("loading")
	giveUp()
	if err := <-prepared; !errors.Is(err, context.Canceled) {
		t.Errorf("prepare: %v", err)
	}
	c.rewrite(app)
	c.mustReload()
}

func TestCandidatesArePreparedOneAfterTheOther(t *testing.T) {
	c := startCrew(t, app, nil)
	c.rolled(c.first)
	candidate, err := c.Prepare(t.Context(), c.set.plan)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Prepare(ctx, c.set.plan); !errors.Is(err, context.Canceled) {
		t.Errorf("a second candidate: %v", err)
	}
	second := make(chan error, 1)
	go func() { // ends with its roll
		roll, err := c.reload()
		if err == nil {
			err = roll.Wait(c.t.Context(), nil)
		}
		second <- err
	}()
	candidate.Drop()
	if err := <-second; err != nil {
		t.Errorf("the second candidate: %v", err)
	}
}

func TestEndDuringPrepare(t *testing.T) {
	for name, end := range map[string]func(*crew){
		"stop": func(c *crew) {
			if err := c.Stop(c.t.Context()); err != nil {
				c.t.Errorf("stop: %v", err)
			}
		},
		"kill": func(c *crew) { c.Kill() },
	} {
		for _, preload := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := startCrew(t, app, func(o *setup) { o.plan.Boot.Preload = preload })
				c.rolled(c.first)
				c.rewrite(hanging)
				prepared := make(chan error, 1)
				go func() { // ends with the supervisor
					_, err := c.Prepare(t.Context(), c.set.plan)
					prepared <- err
				}()
				c.awaitFile("loading")
				end(c)
				if err := <-prepared; !errors.Is(err, psgi.ErrStopping) {
					t.Errorf("prepare: %v, want ErrStopping", err)
				}
				if _, err := c.Prepare(t.Context(), c.set.plan); !errors.Is(err, psgi.ErrStopping) {
					t.Errorf("prepare after the end: %v, want ErrStopping", err)
				}
			})
		}
	}
}

func TestStopDuringARoll(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 3 })
	c.rolled(c.first)
	c.set.settings.SpawnInterval = time.Minute
	roll, err := c.reload()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := roll.Wait(t.Context(), nil); !errors.Is(err, psgi.ErrStopping) {
		t.Errorf("the roll: %v, want ErrStopping", err)
	}
}

func TestStopBetweenPrepareAndCommit(t *testing.T) {
	c := startCrew(t, app, nil)
	candidate, err := c.Prepare(t.Context(), c.set.plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := candidate.Commit(c.set.settings).Wait(t.Context(), nil); !errors.Is(err, psgi.ErrStopping) {
		t.Errorf("the roll: %v, want ErrStopping", err)
	}
}

func TestCandidateWhoseWorkerDiesBeforeItIsCommittedGetsAnother(t *testing.T) {
	c := startCrew(t, version("one"), nil)
	c.rolled(c.first)
	c.rewrite(version("two"))
	candidate, err := c.Prepare(t.Context(), c.set.plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(c.pids()[2][0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.await("worker exited", 1)
	c.rolled(candidate.Commit(c.set.settings))
	c.expectAlone(2, 2)
}

func TestReloadDoesNotWaitForAWorkerNearItsLimit(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers, o.settings.MaxRequests = 1, 3 })
	c.rolled(c.first)
	c.get("/")
	c.get("/")
	c.await("worker ready", 2) // the successor of the first, which has one request left
	c.mustReload()
}

func TestSecondProcessInASlotIsEnded(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
	c.rolled(c.first)
	stray := exec.Command("sleep", "60") // what a template forked that died before it told
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	ready := psgi.AppendFrame(nil, psgi.TypeReady, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(stray.Process.Pid)))
	slot := c.current()[0]
	if _, err := slot.socket.workers.Write(ready); err != nil {
		t.Fatal(err)
	}
	if err := stray.Wait(); err == nil {
		t.Error("the stray process ended by itself")
	}
	c.await("worker sent nonsense", 1)
	c.await("worker ready", 2)
	c.get("/")
}

func TestTemplateThatTellsLateOfAWorkerMeansThatOne(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
	c.rolled(c.first)
	c.until("the template has told of its worker", func() (told bool) {
		c.ask(func() { told = len(c.target.template.ordered) == 0 })
		return told
	})
	c.ask(func() {
		w := c.workers[c.target.slots[0]]
		quick := &worker{slot: w.slot, generation: w.generation, pid: 1, state: gone, reaped: true}
		c.target.template.ordered = append(c.target.template.ordered, quick, w)
		c.workerSpawned(c.target.template.answered(), 1) // it had ended before this was read
		c.workerSpawned(c.target.template.answered(), w.pid)
		if w.pid == 1 || w.state != ready || c.target.template.answered() != nil {
			t.Errorf("the worker that came after it is %s, with the pid %d", w.state, w.pid)
		}
	})
	c.get("/")
}
