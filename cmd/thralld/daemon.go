package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/server"
	"github.com/thralld/thralld/pkg/supervisor"
)

// daemon is what runs, and what a reload changes.
type daemon struct {
	in      *invocation
	folder  string    // where it was started; a link in it may lead elsewhere by now
	who     *identity // whom it has become
	started time.Time
	log     *zap.Logger
	app     *facade
	front   *server.Server
	workers *supervisor.Supervisor
	access  *accessLog         // nil: nothing is served
	stop    context.CancelFunc // asks for a graceful stop
	ending  <-chan struct{}    // closed when one has been asked for; nil: never
	settle  func() error       // gives up what only opening listeners needs, once; nil: it is done
	records records
	wishes  *wishes
	expiry  reminder

	inEffect atomic.Pointer[config.Config] // nil before the first apply

	changing sync.Mutex // held while a configuration is being put in force
	latest   *reload    // the last one that began a roll; guarded by changing

	watching watching
}

// config is the configuration in force, or nil before there is one.
func (d *daemon) config() *config.Config { return d.inEffect.Load() }

// inForce notes that a configuration is in force, and applies what is the daemon's own.
func (d *daemon) inForce(cfg *config.Config) {
	d.inEffect.Store(cfg)
	d.in.level.SetLevel(level(cfg))
}

// showBroken lets a developer see in the browser why the app could not be loaded. In
// production nobody is to see that, and the code of before answers.
func (d *daemon) showBroken(err error) {
	if cfg := d.config(); developing(cfg) && cfg.Env == "development" {
		d.app.show(err)
	}
}
