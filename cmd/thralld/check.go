package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
)

// check goes the way of a start as far as one worker that has loaded the app,
// and ends there. That the configuration is sound is known when it is called.
func check(ctx context.Context, in *invocation, cfg *config.Config) error {
	log := newLogger(cfg, in)
	in.logNotices(log)
	if err := tryApp(ctx, in, cfg, log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))); err != nil {
		return err
	}
	name := in.file
	if name == "" {
		name = "no " + defaultFile
	}
	return in.say(name + ": ok")
}

// tryApp boots one worker and ends it: whether the app loads is then known. It opens
// no listener, as a daemon may have those of the configuration.
func tryApp(ctx context.Context, in *invocation, cfg *config.Config, log *zap.Logger) error {
	d, err := newDaemon(in, cfg, log, newAppLogger(cfg, in), func() {})
	if err != nil {
		return err
	}
	front, err := d.prepareFront(cfg, nil)
	if err == nil {
		defer front.Discard()
		candidate, failed := d.prepareApp(ctx, cfg, true, 1)
		if err = failed; err == nil {
			candidate.Drop()
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(cfg.StopTimeout))
	defer cancel()
	return errors.Join(err, d.workers.Stop(stopping))
}
