package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/watch"
)

// watching is what is being watched. Each watcher has a goroutine that turns what it
// reports into wishes.
type watching struct {
	mu      sync.Mutex
	ended   bool
	file    *watch.Watcher // of thrall.toml; nil: it is not watched
	tree    *watch.Watcher // of the app; nil: it is not watched
	sources []string       // what tree watches
}

// watch watches what a configuration names. It is called before the app is loaded:
// what is saved while that goes on is not missed.
func (d *daemon) watch(cfg *config.Config) {
	d.watching.mu.Lock()
	defer d.watching.mu.Unlock()
	if d.watching.ended {
		return
	}
	err := errors.Join(d.watchFile(cfg), d.watchSources(cfg))
	if err != nil {
		d.log.Error("files are not watched", zap.Error(err))
	}
}

// watchFile watches thrall.toml. What has changed since it was read is a wish.
func (d *daemon) watchFile(cfg *config.Config) error {
	if !cfg.Watch || cfg.File() == "" || d.watching.file != nil {
		return nil
	}
	w, err := watch.File(cfg.File(), watch.Options{Log: d.log})
	if err != nil {
		return err
	}
	d.watching.file = w
	go func() { // ends when the watcher is closed
		for range w.Changes() {
			d.wishes.add(wish{why: "thrall.toml has changed"})
		}
	}()
	if now, err := d.in.read(d.folder); err != nil || len(config.Changes(cfg, now)) > 0 {
		d.wishes.add(wish{why: "thrall.toml has changed"})
	}
	return nil
}

// watchSources watches the app of a developer. A configuration that names another app
// has other sources.
func (d *daemon) watchSources(cfg *config.Config) error {
	wanted := sources(cfg)
	if !developing(cfg) || d.watching.tree != nil && slices.Equal(wanted, d.watching.sources) {
		return nil
	}
	w, err := watch.Tree(wanted, watch.Options{Log: d.log})
	if err != nil {
		return err
	}
	if d.watching.tree != nil {
		d.watching.tree.Close()
	}
	d.watching.tree, d.watching.sources = w, wanted
	go func() { // ends when the watcher is closed
		for change := range w.Changes() {
			d.wishes.add(wish{why: "changed: " + strings.Join(change.Paths, ", "), what: newCode, saved: true})
		}
	}()
	return nil
}

// unwatch ends the watching.
func (d *daemon) unwatch() {
	d.watching.mu.Lock()
	defer d.watching.mu.Unlock()
	d.watching.ended = true
	for _, w := range []*watch.Watcher{d.watching.file, d.watching.tree} {
		if w != nil {
			w.Close()
		}
	}
}

// sources are the files and folders whose change reloads a developer's app.
func sources(cfg *config.Config) []string {
	paths := append(append([]string(nil), cfg.Include...), cfg.ReloadDirs...)
	if app := appFile(cfg); filepath.IsAbs(app) {
		paths = append(paths, app, filepath.Join(filepath.Dir(app), "lib"))
	}
	return paths
}
