package main

import (
	"context"

	"github.com/thralld/thralld/config"
)

// live is the life of a daemon, in front or in the background: what it logs to and whom
// it becomes is decided before it serves.
func live(ctx context.Context, in *invocation, cfg *config.Config) error {
	who, err := decide(cfg)
	if err != nil {
		return err
	}
	handed, err := handedOver()
	if err != nil {
		return err
	}
	switch {
	case !cfg.Daemonize:
		in.std.parent = nil // somebody else has set the variable
	case len(handed) > 0:
		return mistaken(cfg, "daemonize", "systemd has handed sockets over, which it does to a process that it watches; leave daemonize to it")
	case in.std.parent == nil:
		return goBackground(ctx, in.stop.force)
	}
	who.setEnviron()
	logs, err := openJournal(cfg, in.std, in.level, who)
	if err != nil {
		return err
	}
	defer logs.close()
	ended := make(chan struct{})
	defer close(ended)
	go logs.reopenOn(in.stop.reopen, ended) // ends with live
	return logs.failed(serve(ctx, in, cfg, who, handed, logs))
}
