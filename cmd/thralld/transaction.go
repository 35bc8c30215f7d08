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
	front, err := d.prepareListening(next)
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

// prepareListening prepares the server for a configuration, with its listeners.
func (d *daemon) prepareListening(cfg *config.Config) (*frontChange, error) {
	on, err := listeners(cfg, machine())
	if err != nil {
		return nil, err
	}
	return d.prepareFront(cfg, on)
}

// frontChange is a change of the server, with the access log that comes with it.
type frontChange struct {
	*server.Change
	log  *accessLog
	file *accessFile // nil: it stays
}

func (d *daemon) prepareFront(cfg *config.Config, on []server.Listener) (*frontChange, error) {
	change := &frontChange{log: d.access}
	options := serverOptions(cfg)
	options.App, options.Log, options.Opened = d.app, d.log, d.settle
	if d.access != nil {
		var err error
		if change.file, err = d.access.prepare(cfg.AccessLog); err != nil {
			return nil, mistaken(cfg, "access_log", "%v", err)
		}
		if cfg.AccessLog != "" {
			options.AccessLog = d.access
		}
	}
	var err error
	if change.Change, err = d.front.Prepare(options, on); err != nil {
		change.closeFile()
		return nil, err
	}
	return change, nil
}

// Commit puts the change in force. The file comes first: what it gets of the old format
// is of requests that began before.
func (c *frontChange) Commit() {
	if c.file != nil {
		c.log.exchange(c.file)
		c.file = nil
	}
	c.Change.Commit()
}

// Discard drops the change; after Commit it does nothing.
func (c *frontChange) Discard() {
	c.closeFile()
	c.Change.Discard()
}

func (c *frontChange) closeFile() {
	if c.file != nil {
		c.file.close()
		c.file = nil
	}
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
	front, err := d.prepareListening(before)
	if err != nil {
		d.log.Error("settings of before the reload could not be restored; correct thrall.toml and reload", zap.Error(err))
		return
	}
	d.watch(before)
	front.Commit()
	d.inForce(before)
	d.workers.Configure(supervisorSettings(before))
}
