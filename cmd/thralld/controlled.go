package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/thralld/thralld/pkg/control"
	"github.com/thralld/thralld/pkg/psgi"
	"github.com/thralld/thralld/pkg/supervisor"
)

// What clients of the control socket may ask for.

var _ control.Daemon = (*daemon)(nil)

// Reload implements control.Daemon. If another reload takes the place of this one, it
// waits for that: what is asked for is that the present code runs.
func (d *daemon) Reload(ctx context.Context, report func(control.Progress)) error {
	ctx, cancel := d.untilStop(ctx)
	defer cancel()
	r := d.reload(ctx, wish{why: "thralld reload", what: newCode}, report)
	for {
		err := d.wait(ctx, r, report)
		var superseded *supervisor.SupersededError
		if !errors.As(err, &superseded) {
			return err
		}
		d.changing.Lock() // whoever supersedes holds it until it is the latest
		r = d.latest
		d.changing.Unlock()
	}
}

// untilStop is ctx that ends with the wish to stop, too. The stop would wait for the
// reloads that others have asked for, and these for an app that does not come to its end
// of loading.
func (d *daemon) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with ctx
		select {
		case <-d.ending:
			cancel(psgi.ErrStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// wait waits for the end of a reload.
func (d *daemon) wait(ctx context.Context, r *reload, report func(control.Progress)) error {
	if r.roll != nil {
		_ = r.roll.Wait(ctx, func(replaced, workers int) { // its error comes with the end
			report(control.Progress{Generation: r.roll.Generation, Phase: "rolling", Replaced: replaced, Workers: workers})
		})
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return errors.New("thralld is stopping; the reload was not waited for")
	}
}

// Status implements control.Daemon.
func (d *daemon) Status() control.Status {
	now, cfg := time.Now(), d.config()
	s, load := d.workers.Status(), d.front.Load()
	status := control.Status{
		Version: version, PID: os.Getpid(), Started: d.started, App: appName(cfg), Listeners: d.front.Addresses(),
		Healthy: s.Healthy, Problem: s.Problem, Workers: s.Wanted, Waiting: s.Waiting, AtOnce: s.AtOnce,
		Connections: load.Connections, MaxConnections: load.MaxConnections, Refused: load.Refused,
		SpooledBytes: load.Spooled, Holding: load.Holding, Held: load.Held,
		Target: s.Target, Stable: s.Stable, LastReload: d.records.get(),
		AccessLogLost: d.access.lostLines(),
	}
	for _, c := range d.front.Certificates() {
		status.Certificates = append(status.Certificates, control.Certificate{
			Names: c.Names, File: c.File, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		})
	}
	for _, g := range s.Generations {
		status.Generations = append(status.Generations, control.Generation{
			Number: g.Number, Role: g.Role, Started: g.Born, TemplatePID: g.Template,
		})
	}
	for _, w := range s.Workers {
		worker := control.Worker{
			Worker: w.Worker, Generation: w.Generation, PID: w.PID, State: w.State,
			AgeSeconds: now.Sub(w.Born).Seconds(), Requests: int64(w.Requests),
		}
		worker.MemoryBytes, _ = supervisor.Memory(w.PID) // it may have ended in this moment
		for _, r := range w.Running {
			worker.Doing = append(worker.Doing, control.Doing{RequestID: r.Request, Line: r.Line, Seconds: r.For.Seconds()})
		}
		status.WorkerList = append(status.WorkerList, worker)
	}
	return status
}

// Stop implements control.Daemon.
func (d *daemon) Stop() { d.stop() }

// Trace implements control.Daemon.
func (d *daemon) Trace(ctx context.Context, pid int) (string, error) {
	return d.workers.Trace(ctx, pid)
}
