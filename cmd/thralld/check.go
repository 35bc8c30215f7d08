package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
)

// check goes the way of a start as far as one worker that has loaded the app,
// and ends there. The worker runs as the user that the daemon would become. That
// the configuration is sound is known when it is called.
func check(ctx context.Context, in *invocation, cfg *config.Config) error {
	in.level.SetLevel(level(cfg))
	log := newLogger(cfg, in.std, in.level)
	in.logNotices(log)
	who, err := decide(cfg)
	if err != nil {
		return err
	}
	who.setEnviron()
	if err := tryApp(ctx, in, cfg, who, log); err != nil {
		return err
	}
	name := in.file
	if name == "" {
		name = "no " + defaultFile
	}
	return in.say(name + ": ok")
}

// tryApp boots one worker and ends it: whether the app loads is then known. It opens
// no listener, as a daemon may have those of the configuration; what a start does before
// it becomes another user, as to read the keys of certificates, is done before here, too.
func tryApp(ctx context.Context, in *invocation, cfg *config.Config, who *identity, log *zap.Logger) error {
	d, err := newDaemon(in, cfg, log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)), newAppLogger(cfg, in.std, in.level), func() {})
	if err != nil {
		return err
	}
	d.settle = func() error { return settleAs(cfg, who, log) }
	front, err := d.prepareFront(cfg, nil)
	if err == nil {
		defer front.Discard()
		new(reminder).remind(log, front.Certificates(), time.Now())
		candidate, failed := d.prepareApp(ctx, cfg, true, 1)
		if err = failed; err == nil {
			candidate.Drop()
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(cfg.StopTimeout))
	defer cancel()
	return errors.Join(err, d.workers.Stop(stopping))
}
