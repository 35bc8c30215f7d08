package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/server"
	"github.com/thralld/thralld/pkg/supervisor"
)

// serve runs the app until a stop is asked for, as the user that it becomes. Everything
// that can fail comes first: when it returns an error before the log says "ready",
// nothing is left behind.
func serve(ctx context.Context, in *invocation, cfg *config.Config, who *identity, handed []server.HandedOver, logs *journal) error {
	log := logs.daemon
	defer func() { _ = log.Sync() }()
	in.logNotices(log)
	pid, err := writePID(cfg.PID)
	if err != nil {
		return err
	}
	defer pid.remove()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d, err := newDaemon(in, cfg, log, logs.app, stop, handed...)
	if err != nil {
		return err
	}
	d.access, d.ending, d.who = logs.access, ctx.Done(), who
	controller, err := d.start(ctx, cfg, who)
	if err != nil {
		d.end()
		if ctx.Err() != nil {
			log.Info("stopped before it was ready")
			return nil
		}
		return err
	}

	// From here on only time, signals and clients of the control socket end the daemon.
	log.Info("ready", zap.String("app", appName(cfg)), zap.Int("workers", cfg.Workers), zap.String("version", version))
	if err := logs.serving(in.std.parent); err != nil {
		log.Error("who waits for the daemon to serve cannot be told", zap.Error(err))
	}
	endControl := d.serveControl(controller)
	failed := d.run(ctx)
	d.end()
	endControl()
	log.Info("stopped")
	return failed
}

// newDaemon makes a daemon that runs nothing yet. It has to be ended.
func newDaemon(in *invocation, cfg *config.Config, log, appLog *zap.Logger, stop context.CancelFunc, handed ...server.HandedOver) (*daemon, error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	workers, err := supervisor.New(supervisor.Options{
		Settings: supervisorSettings(cfg), Log: log, AppLog: appLog, ReapOrphans: true,
	})
	if err != nil {
		return nil, err
	}
	return &daemon{
		in: in, folder: folder, started: time.Now(), log: log, stop: stop,
		app: &facade{App: workers}, front: server.New(httpEngine(cfg), handed...), workers: workers, wishes: newWishes(),
	}, nil
}

// start puts the first configuration in force, as the user that the daemon becomes, and
// returns the control socket; or it leaves nothing behind but what end ends.
func (d *daemon) start(ctx context.Context, cfg *config.Config, who *identity) (controller net.Listener, err error) {
	asUser := who.switches && !rootsAlone(filepath.Dir(controlPath(d.in.file, cfg)))
	if !asUser {
		if controller, err = d.listenControl(cfg, who); err != nil {
			return nil, err
		}
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	d.settle = func() (err error) {
		if err = settleAs(cfg, who, d.log); err == nil && asUser {
			controller, err = d.listenControl(cfg, who)
		}
		return err
	}
	_, err = d.apply(ctx, cfg, wish{what: newCode})
	d.settle = nil
	if err != nil {
		if controller != nil {
			_ = controller.Close()
		}
		return nil, err
	}
	return controller, nil
}

// end ends the front first, so that the requests it has are answered, and then the
// workers. What is not done after stop_timeout is cut; a force does it at once.
func (d *daemon) end() {
	d.unwatch()
	cfg := d.config()
	if cfg == nil { // it never served
		d.workers.Kill()
		_ = d.front.Shutdown(context.Background()) // no connection has been accepted
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(cfg.StopTimeout))
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() { // ends with this function
		select {
		case <-d.in.stop.force:
			d.log.Warn("stopping at once")
			cancel()
			d.workers.Kill()
		case <-ended:
		}
	}()
	if err := d.front.Shutdown(ctx); err != nil {
		d.log.Warn("requests were cut", zap.Error(err))
	}
	if err := d.workers.Stop(ctx); err != nil {
		d.log.Warn("workers were ended while they ran a request", zap.Error(err))
	}
}
