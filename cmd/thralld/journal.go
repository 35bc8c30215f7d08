package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/config"
)

// A journal is all that the daemon writes of itself: its log, with what the app
// prints, on standard error or in a file, and the access log.
type journal struct {
	daemon *zap.Logger // what thralld says
	app    *zap.Logger // what the app prints

	errors *logFile    // nil: standard error
	access *accessLog  // also if lines go nowhere
	file   *zap.Logger // writes to errors alone; nil without it
	early  *gate       // standard error, until a daemon in the background serves; else nil

	mu     sync.Mutex
	begun  bool // the daemon serves
	stderr bool // standard error is errors, too
}

// openJournal opens the log files for who writes them. A daemon that somebody waits
// for logs to standard error, too, until it serves. least is set to the level of the
// configuration, and may be changed later.
func openJournal(cfg *config.Config, std stdio, least zap.AtomicLevel, writer *identity) (*journal, error) {
	least.SetLevel(level(cfg))
	j := new(journal)
	var err error
	if cfg.ErrorLog != "" {
		if j.errors, err = openLogFile(cfg.ErrorLog, writer); err != nil {
			return nil, err
		}
	}
	access, err := firstAccessFile(cfg.AccessLog, writer)
	if err != nil {
		j.close()
		return nil, err
	}
	j.openLoggers(cfg, std, least)
	j.access = newAccessLog(access, j.daemon)
	return j, nil
}

func (j *journal) openLoggers(cfg *config.Config, std stdio, least zap.AtomicLevel) {
	if j.errors == nil {
		j.daemon, j.app = newLogger(cfg, std, least), newAppLogger(cfg, std, least)
		return
	}
	file := stdio{err: j.errors}
	j.daemon, j.app = newLogger(cfg, file, least), newAppLogger(cfg, file, least)
	j.file = j.daemon
	if std.parent != nil {
		j.early = &gate{to: std.err}
		std.err = j.early
		j.daemon, j.app = beside(j.daemon, newLogger(cfg, std, least)), beside(j.app, newAppLogger(cfg, std, least))
	}
}

// beside makes a logger that writes to both.
func beside(one, other *zap.Logger) *zap.Logger {
	return one.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewTee(core, other.Core())
	}))
}

// failed puts the reason of a daemon that does not come to serve into its log file,
// where it would be looked for later, and returns it.
func (j *journal) failed(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil && j.file != nil && !j.begun {
		j.file.Error("start failed", zap.Error(err))
	}
	return err
}

// serving tells who waits for the daemon that it serves, if anybody does. From then
// on standard error is the log file, where Go's own last words go.
func (j *journal) serving(parent *os.File) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun = true
	if parent == nil {
		return nil
	}
	j.early.shut()
	j.stderr = true
	if err := j.takeStderr(); err != nil {
		return err
	}
	_, err := parent.Write([]byte{served})
	return errors.Join(err, parent.Close())
}

func (j *journal) takeStderr() error {
	j.errors.mu.Lock()
	defer j.errors.mu.Unlock()
	return os.NewSyscallError("dup3", unix.Dup3(int(j.errors.file.Fd()), unix.Stderr, 0))
}

// reopenOn opens the log files anew for each signal, until ended is closed.
func (j *journal) reopenOn(signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case <-signals:
			j.reopen()
		case <-ended:
			return
		}
	}
}

func (j *journal) reopen() {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	if j.errors != nil {
		errs = append(errs, j.errors.reopen())
	}
	errs = append(errs, j.access.reopen())
	if j.stderr {
		errs = append(errs, j.takeStderr())
	}
	if err := errors.Join(errs...); err != nil {
		j.daemon.Error("log files not reopened, the old ones stay in use", zap.Error(err))
		return
	}
	j.daemon.Info("log files reopened")
}

// close writes the last lines of the access log, and closes the files.
func (j *journal) close() {
	if j.access != nil {
		j.access.close()
	}
	if j.errors != nil {
		j.errors.close()
	}
}

// A gate passes on what is written to it until it is shut.
type gate struct {
	mu sync.Mutex
	to io.Writer // nil once it is shut
}

// Write implements io.Writer.
func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.to == nil {
		return len(p), nil
	}
	return g.to.Write(p)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = nil
}
