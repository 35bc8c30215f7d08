package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/server"
	"github.com/thralld/thralld/pkg/supervisor"
)

// scope says what a reload is for.
type scope int

const (
	difference scope = iota // apply what has changed in the configuration
	newCode                 // start a new generation in any case
)

// apply puts a configuration in force; the first start goes the same way as every
// reload. If it returns an error, nothing has changed: same listeners, same workers,
// same settings. The roll is nil when no new workers are needed. Its caller holds
// d.changing.
func (d *daemon) apply(ctx context.Context, next *config.Config, asked wish) (*supervisor.Roll, error) {
	changed := d.changes(next)
	if err := config.NeedRestart(changed, next); err != nil {
		return nil, err
	}
	if d.config() != nil { // the first start looks as soon as it is that user
		if err := checkReadable(next, d.who, ""); err != nil {
			return nil, err
		}
	}
	front, err := d.prepareFront(next, next.Listeners())
	if err != nil {
		return nil, err
	}
	defer front.Discard() // does nothing after Commit
	d.watch(next)         // also if this fails: a later save may mend it
	candidate, err := d.prepareApp(ctx, next, asked.what == newCode || config.NeedWorkers(changed), asked.room)
	if err != nil {
		return nil, err
	}

	// Nothing below can fail.
	front.Commit()
	d.inForce(next)
	d.expiry.remind(d.log, d.front.Certificates(), time.Now())
	if candidate != nil {
		return candidate.Commit(supervisorSettings(next)), nil
	}
	d.workers.Configure(supervisorSettings(next))
	return nil, nil
}

// changes lists the keys that differ from the configuration in force.
func (d *daemon) changes(next *config.Config) []config.Key {
	if now := d.config(); now != nil {
		return config.Changes(now, next)
	}
	return nil
}

func (d *daemon) prepareFront(cfg *config.Config, addresses []string) (*server.Change, error) {
	options := serverOptions(cfg)
	options.App, options.Log, options.AccessLog, options.Opened = d.app, d.log, d.access, d.settle
	return d.front.Prepare(options, addresses, server.ListenOptions{IPv6: cfg.IPv6, TLS: cfg.SSL})
}

// prepareApp makes a generation if one is needed, with a kind word for who is in
// the wrong folder.
func (d *daemon) prepareApp(ctx context.Context, next *config.Config, needed bool, room int) (*supervisor.Candidate, error) {
	room = max(room, next.Workers)
	if !needed && d.config() != nil && room <= d.workers.Room() {
		return nil, nil
	}
	if next.Eval == "" && next.Origin("app") == "default" && missing(next.App) {
		return nil, fmt.Errorf("there is no %s; name the application, as in: thralld path/to/app.psgi", next.App)
	}
	p := plan(next, d.folder)
	p.Workers = room
	return d.workers.Prepare(ctx, p)
}

// restore brings the settings before a reload back, after its workers have been
// rolled back; unless a later reload has put others in force.
func (d *daemon) restore(before, after *config.Config) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.config() != after || len(d.changes(before)) == 0 {
		return
	}
	front, err := d.prepareFront(before, before.Listeners())
	if err != nil {
		d.log.Error("settings of before the reload could not be restored; correct thrall.toml and reload", zap.Error(err))
		return
	}
	d.watch(before)
	front.Commit()
	d.inForce(before)
	d.workers.Configure(supervisorSettings(before))
}
