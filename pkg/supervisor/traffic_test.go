package supervisor

import (
	"context"
	"strings"
	"sync"
)

// version is an app that tells which one it is, and its pid. /wait says that it
// runs and waits for release.
func version(name string) string {
	return strings.Replace(app, "[$$]", "[\""+name+" $$\"]", 1)
}

// version asks the app for it.
func (c *crew) version() string {
	c.t.Helper()
	name, _, _ := strings.Cut(c.get("/"), " ")
	return name
}

// pids are those of all workers that are ready, by generation.
func (c *crew) pids() map[int][]int {
	pids := make(map[int][]int)
	c.ask(func() {
		for _, w := range c.workers {
			if w.state == ready {
				pids[w.generation.number] = append(pids[w.generation.number], w.pid)
			}
		}
	})
	return pids
}

// traffic is clients that ask again as soon as they have their answer.
type traffic struct {
	c       *crew
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu      sync.Mutex
	answers map[string]int // how often which
	failed  int
}

func (c *crew) traffic(clients int) *traffic {
	ctx, stop := context.WithCancel(c.t.Context())
	r := &traffic{c: c, stop: stop, answers: make(map[string]int)}
	for range clients {
		r.clients.Go(func() { r.ask(ctx) })
	}
	c.t.Cleanup(r.end)
	return r
}

// ask runs until ctx is done.
func (r *traffic) ask(ctx context.Context) {
	for ctx.Err() == nil {
		text, err := r.c.call(context.WithoutCancel(ctx), "/")
		r.mu.Lock()
		if r.answers[text]++; err != nil {
			r.failed++
			r.c.t.Errorf("a request failed: %v", err)
		}
		r.mu.Unlock()
	}
}

// end lets all clients have their last answer.
func (r *traffic) end() {
	r.stop()
	r.clients.Wait()
}

// rolled waits for the end of a roll that has to succeed, and returns its steps.
func (c *crew) rolled(r *Roll) (steps [][2]int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	if err := r.Wait(ctx, func(replaced, workers int) { steps = append(steps, [2]int{replaced, workers}) }); err != nil {
		c.t.Fatalf("roll to generation %d: %v; the log: %v", r.Generation, err, c.logs.All())
	}
	return steps
}

// mustReload is reload that has to succeed, and rolls to the end.
func (c *crew) mustReload() *Roll {
	c.t.Helper()
	roll, err := c.reload()
	if err != nil {
		c.t.Fatalf("reload: %v", err)
	}
	c.rolled(roll)
	return roll
}

// expectAlone checks that all workers are of that generation, and how many.
func (c *crew) expectAlone(generation, workers int) {
	c.t.Helper()
	if pids := c.pids(); len(pids) != 1 || len(pids[generation]) != workers {
		c.t.Errorf("workers by generation: %v, want %d of %d", pids, workers, generation)
	}
}
