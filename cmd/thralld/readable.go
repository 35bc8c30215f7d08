package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/config"
)

// checkReadable says so when the user that the daemon has become cannot read the
// app, or run the perl that was found before. Perl would only say "Permission denied",
// and another perl of a later folder in PATH would miss modules. What does not exist is
// for perl to tell.
func checkReadable(cfg *config.Config, id *identity, perl string) error {
	if !id.switches {
		return nil
	}
	var errs []error
	if obstacle := obstacleTo(perl, unix.X_OK); perl != "" && obstacle != "" {
		errs = append(errs, fmt.Errorf("%s cannot be run by user %s: %s", perl, id.name, obstacle))
	}
	for _, file := range toRead(cfg, os.Getenv("PERL5LIB")) {
		needed := uint32(unix.R_OK)
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			needed = unix.X_OK // perl opens files in it, and does not list it
		}
		if obstacle := obstacleTo(file, needed); obstacle != "" {
			errs = append(errs, fmt.Errorf("%s cannot be read by user %s: %s", file, id.name, obstacle))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, errors.New("let this user do it, set user = \"...\" to another one or, if you mean it, "+
			"user = \"root\" and allow_root = true"))
	}
	return errors.Join(errs...)
}

// warnOfKeys says so when the user that the daemon has become cannot read again what it
// has read as root: a renewed certificate would go unnoticed.
func warnOfKeys(cfg *config.Config, id *identity, log *zap.Logger) {
	if !cfg.SpeaksTLS() || !id.switches {
		return
	}
	for _, file := range slices.Concat(cfg.SSLKeyFile, cfg.SSLCertFile, []string{cfg.SSLCAFile, cfg.SSLClientCAFile}) {
		if obstacle := obstacleTo(file, unix.R_OK); file != "" && obstacle != "" {
			log.Warn("certificate or key cannot be read again by this user: when it is renewed, restart",
				zap.String("file", file), zap.String("user", id.name), zap.String("obstacle", obstacle),
				zap.String("hint", "let one of the user's groups read it"))
		}
	}
}

// toRead lists what perl reads for sure: the app, and the folders of modules. One of
// them that is closed keeps perl from finding any module.
func toRead(cfg *config.Config, perl5lib string) (files []string) {
	if app := appFile(cfg); filepath.IsAbs(app) {
		files = append(files, app, filepath.Join(filepath.Dir(app), "lib")) // which the runtime adds
	}
	for _, dir := range cfg.Include {
		if !slices.Contains(files, dir) {
			files = append(files, dir)
		}
	}
	for _, dir := range filepath.SplitList(perl5lib) {
		if filepath.IsAbs(dir) {
			files = append(files, dir)
		}
	}
	return files
}

// obstacleTo says what keeps this process from that kind of access to a file, or "".
func obstacleTo(file string, needed uint32) string {
	if !errors.Is(unix.Access(file, needed), unix.EACCES) {
		return ""
	}
	for _, dir := range foldersTo(file) {
		if errors.Is(unix.Access(dir, unix.X_OK), unix.EACCES) {
			return "the folder " + dir + " is closed to it"
		}
	}
	return "its mode does not allow it"
}

// foldersTo lists the folders on the way to an absolute path, the outermost first.
func foldersTo(path string) (folders []string) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		folders = append([]string{dir}, folders...)
		if dir == "/" {
			return folders
		}
	}
}
