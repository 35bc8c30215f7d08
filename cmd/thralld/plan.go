package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/psgi"
	"github.com/thralld/thralld/pkg/server"
	"github.com/thralld/thralld/pkg/supervisor"
)

// What a configuration means to the packages that do the work.

func serverOptions(cfg *config.Config) server.Options {
	o := server.Options{
		Timeout:          time.Duration(cfg.Timeout),
		HeaderTimeout:    time.Duration(cfg.HeaderTimeout),
		MinRate:          int64(cfg.MinRate),
		MaxConnections:   cfg.MaxConnections,
		KeepaliveTimeout: time.Duration(cfg.KeepaliveTimeout),
		MaxKeepaliveReqs: cfg.MaxKeepaliveReqs,
		MaxHeaderBytes:   int(cfg.MaxHeaderBytes),
		MaxBodyBytes:     int64(cfg.MaxBodyBytes),
		MaxSpool:         int64(cfg.MaxSpool),
		SpoolDir:         cfg.SpoolDir,
		ServerSoftware:   cfg.ServerSoftware,
		TrustedProxies:   cfg.TrustedProxies,
		ForwardedHeaders: cfg.ForwardedHeaders,
		RequestIDHeader:  cfg.RequestIDHeader,
		Mount:            cfg.Path,
		Compression:      server.Compression{Codings: cfg.Compress, Types: cfg.CompressTypes, MinBytes: int64(cfg.CompressMinBytes)},
		TLS:              tlsOptions(cfg),
		H2C:              cfg.H2C,
	}
	o.AccessFormat, _ = server.ParseAccessFormat(cfg.AccessLogFormat) // load has told its mistakes
	if cfg.KeepaliveTimeout == 0 {
		o.MaxKeepaliveReqs = 1 // the key's zero is no keeping at all
	}
	for _, s := range cfg.Static {
		o.Static = append(o.Static, server.StaticMount(s))
	}
	for _, s := range cfg.Sendfile {
		o.Sendfile = append(o.Sendfile, server.SendfileDir(s))
	}
	return o
}

// tlsOptions is how listeners that speak TLS do so: nil without ssl, so that files which
// nobody needs are not read.
func tlsOptions(cfg *config.Config) *server.TLS {
	if !cfg.SpeaksTLS() {
		return nil
	}
	o := &server.TLS{
		ChainFile: cfg.SSLCAFile, ClientCAFile: cfg.SSLClientCAFile,
		MinVersion: tls.VersionTLS12, HTTP2: cfg.HTTP2,
	}
	for i, cert := range cfg.SSLCertFile { // the configuration has checked that each has its key
		o.Pairs = append(o.Pairs, server.KeyPair{CertFile: cert, KeyFile: cfg.SSLKeyFile[i]})
	}
	if cfg.SSLMinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	switch cfg.SSLVerifyMode {
	case config.VerifyPeer:
		o.Verify = server.VerifyGiven
	case config.VerifyRequired:
		o.Verify = server.VerifyRequired
	case config.VerifyNone:
	}
	return o
}

func supervisorSettings(cfg *config.Config) supervisor.Settings {
	return supervisor.Settings{
		Workers:            cfg.Workers,
		MinWorkers:         cfg.MinWorkers,
		MaxQueue:           cfg.MaxQueue,
		QueueTimeout:       time.Duration(cfg.QueueTimeout),
		RetireTimeout:      time.Duration(cfg.StopTimeout),
		SpawnInterval:      time.Duration(cfg.SpawnInterval),
		ErrRespawnInterval: time.Duration(cfg.ErrRespawnInterval),
		Probation:          time.Duration(cfg.Probation),
		MaxRequests:        cfg.MaxReqsPerChild,
		MinRequests:        cfg.MinReqsPerChild,
		MaxLifetime:        time.Duration(cfg.MaxLifetime),
		MaxMemory:          int64(cfg.MaxMemory),
		RequestTimeout:     time.Duration(cfg.RequestTimeout),
		SlowRequest:        time.Duration(cfg.SlowRequest),
		Housekeeping:       time.Duration(cfg.MainThreadDelay),
	}
}

// plan is what a generation of that configuration runs, on a daemon that was started
// in folder. Links are followed now: a deployment that moves the link "current" to
// another release changes what the next generation runs, and not what a worker
// runs that this one spawns later.
func plan(cfg *config.Config, folder string) supervisor.Plan {
	dir := workingFolder(folder)
	include := make([]string, len(cfg.Include))
	for i, path := range cfg.Include {
		include[i] = resolved(path)
	}
	return supervisor.Plan{
		Boot: psgi.Boot{
			App:               resolved(appFile(cfg)),
			Eval:              cfg.Eval,
			Env:               cfg.Env,
			Include:           include,
			Modules:           cfg.Modules,
			DefaultMiddleware: cfg.DefaultMiddleware,
			Quiet:             cfg.Quiet,
			Preload:           cfg.Preload,
			Threads:           cfg.Threads,
			ThreadStackSize:   int64(cfg.ThreadStackSize),
		},
		Perl:         cfg.Perl,
		Env:          perlEnv(os.Environ(), cfg.Env, dir),
		Dir:          dir,
		StartTimeout: time.Duration(cfg.StartTimeout),
		Workers:      cfg.Workers,
		Swift:        developing(cfg),
	}
}

// workingFolder is where the Perl processes work: where a daemon was started, whose link
// may lead elsewhere by now. It is "", for where this process is, if its user may not
// enter that: who was root there has come in and stays.
func workingFolder(folder string) string {
	dir := resolved(folder)
	if err := unix.Access(dir, unix.X_OK); err != nil {
		return ""
	}
	return dir
}

// resolved is the path without links. What is not there, or is no path, stays as it
// is: it is for perl to say what is wrong with it.
func resolved(path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// developing reports whether the app is reloaded when its files change.
func developing(cfg *config.Config) bool { return cfg.Reload || len(cfg.ReloadDirs) > 0 }

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

// perlEnv is the environment of the Perl processes that work in dir, or where this one
// does if that is "": this one's, without what is addressed to thralld alone.
func perlEnv(env []string, plackEnv, dir string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "SERVER_STARTER_PORT", "PLACK_ENV":
			return true
		}
		return strings.HasPrefix(name, "LISTEN_")
	})
	for i, entry := range env {
		switch name, value, _ := strings.Cut(entry, "="); name {
		case "PWD":
			if dir != "" {
				env[i] = "PWD=" + dir
			}
		case "PERL5LIB":
			folders := strings.Split(value, ":")
			for i, folder := range folders {
				folders[i] = resolved(folder)
			}
			env[i] = "PERL5LIB=" + strings.Join(folders, ":")
		}
	}
	return append(env, "PLACK_ENV="+plackEnv)
}

// httpEngine is the engine that the configuration names.
func httpEngine(cfg *config.Config) server.Engine {
	if cfg.HTTPEngine == "net/http" {
		return server.NetHTTP
	}
	return server.OwnEngine
}
