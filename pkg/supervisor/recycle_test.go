package supervisor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// counting is an app that tells its pid and how many requests the worker has run.
const counting = `my $n = 0; my @kept; sub {
	push @kept, 'x' x 8_000_000 if $_[0]{PATH_INFO} eq '/grow';
	[200, [], [join ' ', $$, ++$n]];
}`

// count asks such an app.
func (c *crew) count(path string) (pid, n int) {
	c.t.Helper()
	text := c.get(path)
	if _, err := fmt.Sscan(text, &pid, &n); err != nil {
		c.t.Fatalf("answer %q: %v", text, err)
	}
	return pid, n
}

func TestSuccessorIsReadyBeforeAWorkerReachesItsLastRequest(t *testing.T) {
	c := startCrew(t, counting, func(o *setup) {
		o.settings.Workers, o.settings.MaxRequests = 1, 10
		o.settings.MaxQueue = 0 // a request that had to wait would fail
	})
	c.rolled(c.first)
	ran := make(map[int]int)
	for range 45 {
		c.until("somebody is ready who is not near the limit", c.hasFresh)
		pid, n := c.count("/")
		if ran[pid] = n; n > 10 {
			t.Fatalf("worker %d has run %d requests", pid, n)
		}
	}
	entry := c.await("worker exited", 3).ContextMap()
	if entry["cause"] != causeRecycled || entry["limit"] != dueRequests || entry["status"] != "exited with status 0" {
		t.Errorf("the end of one: %v", entry)
	}
	if len(ran) < 5 {
		t.Errorf("who ran how many requests: %v", ran)
	}
}

// hasFresh reports whether a worker is ready that has not come near its limit.
func (c *crew) hasFresh() (fresh bool) {
	c.ask(func() {
		for _, w := range c.workers {
			due, _ := c.dispatcher.used(w.slot)
			fresh = fresh || w.state == ready && !due
		}
	})
	return fresh
}

func TestNoWorkerRunsMoreRequestsThanItMay(t *testing.T) {
	for name, test := range map[string]struct{ clients, least, most int }{
		"one after the other, drawn": {1, 5, 9},
		"at the same time":           {4, 0, 20},
	} {
		t.Run(name, func(t *testing.T) {
			c := startCrew(t, counting, func(o *setup) {
				o.settings.MinRequests, o.settings.MaxRequests = test.least, test.most
			})
			c.rolled(c.first)
			requests := c.traffic(test.clients)
			c.await("worker exited", 12)
			requests.end()
			ran := make(map[int]int)
			for text, times := range requests.answers {
				var pid, n int
				if _, err := fmt.Sscan(text, &pid, &n); err != nil || times != 1 {
					t.Fatalf("%d answers %q: %v", times, text, err)
				}
				ran[pid] = max(ran[pid], n)
			}
			for _, entry := range c.logs.FilterMessage("worker exited").All() {
				if n := ran[int(entry.ContextMap()["pid"].(int64))]; n > test.most || n == 0 {
					t.Errorf("a worker ran %d requests, want at most %d", n, test.most)
				}
			}
		})
	}
}

func TestLimitsAreDrawnFromTheWholeRange(t *testing.T) {
	settings := Settings{MinRequests: 5, MaxRequests: 8}
	drawn := make(map[int]bool)
	for range 1000 {
		drawn[settings.drawLimit()] = true
	}
	if diff := cmp.Diff(map[int]bool{5: true, 6: true, 7: true, 8: true}, drawn); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	settings.MinRequests = 0
	if n := settings.drawLimit(); n != 8 {
		t.Errorf("without a least limit: %d, want 8", n)
	}
}

func TestOldWorkersAreReplacedAndNoRequestWaits(t *testing.T) {
	c := startCrew(t, counting, func(o *setup) {
		o.settings.Workers, o.settings.MaxQueue = 1, 0
		o.settings.MaxLifetime, o.settings.Housekeeping = 200*time.Millisecond, 10*time.Millisecond
	})
	c.rolled(c.first)
	requests := c.traffic(1)
	entry := c.await("worker exited", 3)
	requests.end()
	if fields := entry.ContextMap(); fields["cause"] != causeRecycled || fields["limit"] != dueLifetime {
		t.Errorf("its end: %v", fields)
	}
	if age := entry.ContextMap()["age"].(time.Duration); age < c.set.settings.MaxLifetime {
		t.Errorf("it ended at the age of %v", age)
	}
}

func TestWorkerThatHasGrownTooLargeIsReplaced(t *testing.T) {
	c := startCrew(t, counting, func(o *setup) {
		o.settings.Workers, o.settings.MaxMemory = 1, 64<<20
		o.settings.Housekeeping = 10 * time.Millisecond
	})
	c.rolled(c.first)
	first, _ := c.count("/")
	for range 10 {
		if pid, _ := c.count("/grow"); pid != first {
			break
		}
	}
	fields := c.await("worker exited", 1).ContextMap()
	if fields["cause"] != causeRecycled || fields["limit"] != dueMemory {
		t.Errorf("its end: %v", fields)
	}
	if used := c.await("worker has grown too large", 1).ContextMap()["memory"].(int64); used <= 64<<20 || used > 512<<20 {
		t.Errorf("it is said to have used %d MiB", used>>20)
	}
	if pid, _ := c.count("/"); pid == first {
		t.Errorf("worker %d still answers", pid)
	}
}

func TestRequestThatOverrunsIsAnsweredAndItsWorkerEnded(t *testing.T) {
	for name, path := range map[string]string{"before its answer": "/wait", "in the middle of its answer": "/stream"} {
		t.Run(name, func(t *testing.T) {
			c := startCrew(t, app, func(o *setup) {
				o.settings.RequestTimeout, o.settings.Housekeeping = time.Second, 10*time.Millisecond
			})
			c.rolled(c.first)
			requests := c.traffic(1)
			began := time.Now()
			if _, err := c.call(t.Context(), path); !errors.Is(err, psgi.ErrRequestTimeout) {
				t.Errorf("the request: %v, want ErrRequestTimeout", err)
			}
			if took := time.Since(began); took < c.set.settings.RequestTimeout {
				t.Errorf("answered after %v", took)
			}
			fields := c.await("worker exited", 1).ContextMap()
			if fields["cause"] != causeOverran || fields["requests_lost"] != nil {
				t.Errorf("its end: %v", fields)
			}
			if entry := c.await("request overran", 1); entry.Level != zap.WarnLevel || entry.ContextMap()["request_id"] != "id"+path {
				t.Errorf("logged: %v %v", entry.Level, entry.ContextMap())
			}
			c.await("worker ready", 3)
			requests.end() // none of them has failed
		})
	}
}

func TestRequestBehindOneThatOverrunsIsRunByAnotherWorker(t *testing.T) {
	c := startCrew(t, app, func(o *setup) {
		o.settings.Workers, o.settings.RequestTimeout = 1, time.Second
	})
	c.rolled(c.first)
	first := c.pid()
	stuck := c.going("/wait")
	c.awaitFile("running")
	if next := c.pid(); next == first {
		t.Errorf("worker %d ran the next request, too", next)
	}
	if err := <-stuck; !errors.Is(err, psgi.ErrRequestTimeout) {
		t.Errorf("the stuck request: %v, want ErrRequestTimeout", err)
	}
}

func TestEachRequestGetsAWorkerOfItsOwn(t *testing.T) {
	c := startCrew(t, version("one"), func(o *setup) { o.settings.MaxRequests = 1 })
	c.rolled(c.first)
	pids := make(map[string]bool)
	for n := range 10 {
		pids[c.get("/")] = true
		if n == 5 {
			c.rewrite(version("two"))
			c.mustReload()
		}
	}
	if len(pids) != 10 {
		t.Errorf("ten requests were run by %v", pids)
	}
	if got := c.version(); got != "two" {
		t.Errorf("version %q answers", got)
	}
}
