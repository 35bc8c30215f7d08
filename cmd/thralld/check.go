package main

import (
	"context"
	"fmt"

	"github.com/thralld/thralld/config"
)

// check goes the way of a start as far as one worker that has loaded the app,
// and ends there. The worker runs as the user that the daemon would become. That
// the configuration is sound is known when it is called.
func check(ctx context.Context, in *invocation, cfg *config.Config) error {
	log := newLogger(cfg, in.std)
	in.logNotices(log)
	who, err := decide(cfg)
	if err != nil {
		return err
	}
	who.setEnviron()
	if err := settleAs(cfg, who, log); err != nil {
		return err
	}
	if err := tryApp(ctx, in, cfg, log); err != nil {
		return err
	}
	name := in.file
	if name == "" {
		name = "no " + defaultFile
	}
	_, err = fmt.Fprintln(in.std.out, name+": ok")
	return err
}
