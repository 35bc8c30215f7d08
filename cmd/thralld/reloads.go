package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/control"
	"github.com/thralld/thralld/pkg/psgi"
	"github.com/thralld/thralld/pkg/supervisor"
)

// How a reload may end, as thralld status shows it.
const (
	reloadRunning    = "running"
	reloadDone       = "done"
	reloadFailed     = "failed"
	reloadRolledBack = "rolled back"
	reloadSuperseded = "superseded"
	reloadGivenUp    = "given up"
)

// records keeps what is known of the last reload, for thralld status.
type records struct {
	mu   sync.Mutex
	last *control.Reload
}

// begin replaces the last record.
func (r *records) begin(now time.Time) *control.Reload {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = &control.Reload{Started: now, Outcome: reloadRunning}
	return r.last
}

// change changes a record, whether it still is the last one or not.
func (r *records) change(record *control.Reload, f func(*control.Reload)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(record)
}

// get returns a copy of the last record, or nil.
func (r *records) get() *control.Reload {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		return nil
	}
	last := *r.last
	return &last
}

// A reload is one change of what runs.
type reload struct {
	why           string
	before, after *config.Config // to go back to, and to put in force
	record        *control.Reload
	roll          *supervisor.Roll // nil: no workers have to be replaced
	done          chan struct{}    // closed when it has ended; then err is set
	err           error
}

// reload reads the configuration again, unless the wish is for room, and puts it in
// force. It returns when that is done, or has failed, and the roll, if there is one, has
// begun: see reload.done. If ctx ends while the app is being loaded, the reload is given
// up. report may be nil.
func (d *daemon) reload(ctx context.Context, asked wish, report func(control.Progress)) *reload {
	d.changing.Lock()
	defer d.changing.Unlock()
	r := &reload{why: asked.why, before: d.fallback(), record: d.records.begin(time.Now()), done: make(chan struct{})}
	if report != nil {
		report(control.Progress{Phase: "loading", Workers: r.before.Workers})
	}
	d.log.Info("reload", zap.String("why", asked.why))
	next, err := d.in.read(d.folder)
	if asked.room > 0 {
		next, err = d.config(), nil
	}
	if err == nil {
		r.after = next
		r.roll, err = d.apply(ctx, next, asked)
	}
	if err == nil && asked.room > 0 {
		d.workers.Adjust(asked.room - next.Workers)
	}
	if !errors.Is(err, errOutdated) {
		d.showBroken(err)
	}
	if r.roll == nil {
		d.conclude(r, err)
		return r
	}
	d.latest = r
	d.records.change(r.record, func(c *control.Reload) { c.Generation = r.roll.Generation })
	go d.follow(r) // ends with the roll
	return r
}

// fallback is the configuration to go back to if the next one cannot stay: the one in
// force or, while a roll is under way, the one before it, as the workers that are kept
// for a rollback are of that. Its caller holds d.changing.
func (d *daemon) fallback() *config.Config {
	if r := d.latest; r != nil && !r.concluded() && !r.roll.Done() {
		return r.before
	}
	return d.config()
}

// concluded reports whether it is known how the reload has ended.
func (r *reload) concluded() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// follow waits for the end of a roll, and undoes what came with it if its generation
// could not stay.
func (d *daemon) follow(r *reload) {
	err := r.roll.Wait(context.Background(), nil)
	var back *supervisor.RolledBackError
	if errors.As(err, &back) {
		d.restore(r.before, r.after)
	}
	d.conclude(r, err)
}

// conclude notes and logs how a reload has ended.
func (d *daemon) conclude(r *reload, err error) {
	if errors.Is(err, context.Canceled) { // as nothing but a stop ends a reload
		err = psgi.ErrStopping
	}
	outcome := outcomeName(err)
	var began time.Time
	generation := 0
	d.records.change(r.record, func(c *control.Reload) {
		c.Ended, c.Outcome = time.Now(), outcome
		if err != nil {
			c.Error = err.Error()
		}
		began, generation = c.Started, c.Generation
	})
	fields := []zap.Field{zap.String("why", r.why), zap.Duration("took", time.Since(began))}
	if generation > 0 {
		fields = append(fields, zap.Int("generation", generation))
	}
	switch outcome {
	case reloadGivenUp:
		d.log.Info("reload given up", append(fields, zap.Error(err))...)
	case reloadDone:
		d.log.Info("reloaded", fields...)
	case reloadSuperseded:
		d.log.Info("reload superseded", append(fields, zap.Error(err))...)
	default:
		const calm = "what ran before runs on"
		d.log.Error("reload "+outcome+"; "+calm, append(fields, zap.Error(err))...)
		err = fmt.Errorf("reload %s; %s:\n%w", outcome, calm, err)
	}
	r.err = err
	close(r.done)
}

func outcomeName(err error) string {
	var back *supervisor.RolledBackError
	var superseded *supervisor.SupersededError
	switch {
	case err == nil:
		return reloadDone
	case errors.As(err, &superseded), errors.Is(err, errOutdated):
		return reloadSuperseded
	case errors.As(err, &back):
		return reloadRolledBack
	case errors.Is(err, psgi.ErrStopping):
		return reloadGivenUp
	}
	return reloadFailed
}
