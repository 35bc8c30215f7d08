package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
)

// settleAs makes this process what its workers shall be: of another user, with another
// umask, and without what a parent left open. Listeners, log files and the pid file
// are open by then. There is no way back: when it fails, the process has to end.
func settleAs(cfg *config.Config, who *identity, log *zap.Logger) error {
	keepFromWorkers()
	if mask, err := strconv.ParseUint(cfg.Umask, 8, 32); err == nil { // the configuration has checked it
		syscall.Umask(int(mask))
	}
	perl, _ := exec.LookPath(cfg.Perl) // one that is not found is for the start to tell
	if err := who.become(); err != nil {
		return err
	}
	switch {
	case !who.switches:
	case !who.chosen:
		log.Warn("started as root, and became nobody", zap.String("user", who.name),
			zap.String("hint", `set user = "..." to choose; if root is meant, user = "root" and allow_root = true`))
	default:
		log.Info("became another user", zap.String("user", who.name), zap.Int("uid", who.uid), zap.Ints("groups", who.groups))
	}
	warnOfKeys(cfg, who, log)
	return checkReadable(cfg, who, perl)
}

// keepFromWorkers marks every descriptor that this process was born with, but for
// the standard streams, as its own: a listener or a secret that a parent left open
// is not for the app. The listeners that were handed over have been adopted by then:
// they are told from others by having no such mark.
func keepFromWorkers() {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // no /proc: what a parent left open stays open
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// decide finds out whom the daemon becomes, and all that is wrong on this machine with
// the keys of its own life. Nothing has changed when it returns.
func decide(cfg *config.Config) (*identity, error) {
	errs := []error{checkBackground(cfg)}
	for _, key := range []string{"pid", "error_log", "access_log"} {
		path, _ := cfg.Value(key).(string)
		if path == "" || stream(path) != nil {
			continue
		}
		if dir := filepath.Dir(path); missing(dir) {
			errs = append(errs, mistaken(cfg, key, "there is no folder %s", dir))
		}
	}
	_, err := listeners(cfg, machine())
	errs = append(errs, err)
	who, err := becoming(cfg, machine())
	return who, errors.Join(append(errs, err)...)
}

// mistaken is the error of a key whose value this machine does not bear, as that of a
// mistake in the configuration.
func mistaken(cfg *config.Config, key, format string, args ...any) error {
	return mistakenAt(cfg.Origin(key), key, format, args...)
}

// mistakenAt is mistaken for a key that may stand in a table.
func mistakenAt(origin, key, format string, args ...any) error {
	m := config.Mistake{Origin: origin, Key: key, Problem: fmt.Sprintf(format, args...)}
	switch {
	case m.Origin == "default":
		m.Origin, m.Key = key, ""
	case strings.HasPrefix(m.Origin, "--"):
		m.Key = ""
	}
	return config.Mistakes{m}
}
