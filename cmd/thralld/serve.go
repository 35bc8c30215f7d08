package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/psgi"
	"github.com/thralld/thralld/pkg/server"
	"github.com/thralld/thralld/pkg/supervisor"
)

// serve runs the app until a stop is asked for, as the user that it becomes. Everything
// that can fail comes first: when it returns an error before the log says "ready",
// nothing is left behind.
func serve(ctx context.Context, in *invocation, cfg *config.Config, who *identity, logs *journal) error {
	log := logs.daemon
	defer func() { _ = log.Sync() }()
	in.logNotices(log)
	pid, err := writePID(cfg.PID)
	if err != nil {
		return err
	}
	defer pid.remove()
	listeners, err := listen(cfg)
	if err != nil {
		return err
	}
	if err := settleAs(cfg, who, log); err != nil {
		closeAll(listeners)
		return err
	}
	workers := supervisor.New(supervisorOptions(cfg, log, logs.app))
	options := serverOptions(cfg, log, workers)
	options.AccessLog = logs.accessWriter()
	front := server.New(options)
	if err := start(ctx, cfg, front, workers); err != nil {
		closeAll(listeners)
		if ctx.Err() != nil {
			log.Info("stopped before it was ready")
			return nil
		}
		return err
	}

	// From here on only time and signals end the daemon.
	served := make(chan error, 1)
	go func() { served <- front.Serve(context.WithoutCancel(ctx), listeners...) }() // ends with Shutdown
	for _, l := range listeners {
		log.Info("listening", zap.String("address", l.Addr().String()))
	}
	log.Info("ready", zap.String("app", appName(cfg)), zap.Int("workers", cfg.Workers), zap.String("version", version))
	if err := logs.serving(in.std.parent); err != nil {
		log.Error("who waits for the daemon to serve cannot be told", zap.Error(err))
	}

	failed := waitForStop(ctx, in.stop.reload, served, log)
	stop(in.stop.force, time.Duration(cfg.StopTimeout), front, workers, log)
	log.Info("stopped")
	return failed
}

// waitForStop returns when a stop has been asked for, or a listener has failed.
func waitForStop(ctx context.Context, reload <-chan os.Signal, served <-chan error, log *zap.Logger) error {
	for {
		select {
		case <-ctx.Done():
			log.Info("stopping")
			return nil
		case err := <-served:
			log.Error("stopping, as a listener failed", zap.Error(err))
			return err
		case <-reload:
			log.Warn("reload is not in this version of thralld; restart it to apply changes")
		}
	}
}

// stop ends the front first, so that the requests it has are answered, and then
// the workers. What is not done after the timeout is cut; a force does it at once.
func stop(force <-chan struct{}, timeout time.Duration, front *server.Server, workers *supervisor.Supervisor, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() { // ends with stop
		select {
		case <-force:
			log.Warn("stopping at once")
			cancel()
			workers.Kill()
		case <-ended:
		}
	}()
	if err := front.Shutdown(ctx); err != nil {
		log.Warn("requests were cut", zap.Error(err))
	}
	if err := workers.Stop(ctx); err != nil {
		log.Warn("workers were ended while they ran a request", zap.Error(err))
	}
}

// tryApp boots one worker and ends it: whether the app loads is then known.
func tryApp(ctx context.Context, in *invocation, cfg *config.Config, log *zap.Logger) error {
	options := supervisorOptions(cfg, log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)), newAppLogger(cfg, in.std))
	options.Trial = true
	workers := supervisor.New(options)
	front := server.New(serverOptions(cfg, log, workers))
	if err := start(ctx, cfg, front, workers); err != nil {
		return err
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(cfg.StopTimeout))
	defer cancel()
	return errors.Join(front.Shutdown(stopping), workers.Stop(stopping))
}

// start prepares the front and starts the workers, or leaves nothing behind.
func start(ctx context.Context, cfg *config.Config, front *server.Server, workers *supervisor.Supervisor) error {
	err := front.Prepare()
	if err == nil {
		err = startApp(ctx, cfg, workers)
	}
	if err != nil {
		return errors.Join(err, front.Shutdown(context.WithoutCancel(ctx)))
	}
	return nil
}

// startApp starts the workers, with a kind word for who is in the wrong folder.
func startApp(ctx context.Context, cfg *config.Config, workers *supervisor.Supervisor) error {
	if cfg.Eval == "" && cfg.Origin("app") == "default" && missing(cfg.App) {
		return fmt.Errorf("there is no %s; name the application, as in: thralld path/to/app.psgi", cfg.App)
	}
	return workers.Start(ctx)
}

func listen(cfg *config.Config) ([]net.Listener, error) {
	var listeners []net.Listener
	var errs []error
	for _, address := range cfg.Listeners() {
		l, err := server.Listen(address, server.ListenOptions{IPv6: cfg.IPv6})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		listeners = append(listeners, l)
	}
	if len(errs) > 0 {
		closeAll(listeners)
		return nil, errors.Join(errs...)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

func serverOptions(cfg *config.Config, log *zap.Logger, app psgi.App) server.Options {
	o := server.Options{
		App:              app,
		Log:              log,
		Timeout:          time.Duration(cfg.Timeout),
		KeepaliveTimeout: time.Duration(cfg.KeepaliveTimeout),
		MaxKeepaliveReqs: cfg.MaxKeepaliveReqs,
		MaxHeaderBytes:   int(cfg.MaxHeaderBytes),
		MaxBodyBytes:     int64(cfg.MaxBodyBytes),
		SpoolDir:         cfg.SpoolDir,
		ServerSoftware:   cfg.ServerSoftware,
		Mount:            cfg.Path,
	}
	if cfg.KeepaliveTimeout == 0 {
		o.MaxKeepaliveReqs = 1 // the key's zero is no keeping at all
	}
	return o
}

func supervisorOptions(cfg *config.Config, log, appLog *zap.Logger) supervisor.Options {
	return supervisor.Options{
		Boot: psgi.Boot{
			App:               appFile(cfg),
			Eval:              cfg.Eval,
			Env:               cfg.Env,
			Include:           cfg.Include,
			Modules:           cfg.Modules,
			DefaultMiddleware: cfg.DefaultMiddleware,
			Quiet:             cfg.Quiet,
			Preload:           cfg.Preload,
		},
		Perl:               cfg.Perl,
		Env:                perlEnv(os.Environ(), cfg.Env),
		Workers:            cfg.Workers,
		MaxQueue:           cfg.MaxQueue,
		QueueTimeout:       time.Duration(cfg.QueueTimeout),
		StartTimeout:       time.Duration(cfg.StartTimeout),
		ErrRespawnInterval: time.Duration(cfg.ErrRespawnInterval),
		Log:                log,
		AppLog:             appLog,
		ReapOrphans:        true,
	}
}

// appFile is the app to load: none when code was given and no file was named.
func appFile(cfg *config.Config) string {
	if cfg.Eval != "" && cfg.Origin("app") == "default" {
		return ""
	}
	return cfg.App
}

func appName(cfg *config.Config) string {
	if name := appFile(cfg); name != "" {
		return name
	}
	return "-e"
}

// perlEnv is the environment of the Perl processes: this one's, without what is
// addressed to thralld alone.
func perlEnv(env []string, plackEnv string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "SERVER_STARTER_PORT", "PLACK_ENV":
			return true
		}
		return strings.HasPrefix(name, "LISTEN_")
	})
	return append(env, "PLACK_ENV="+plackEnv)
}
