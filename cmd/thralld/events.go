package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/watch"
)

// A wish is a reload that somebody wants.
type wish struct {
	why  string
	what scope
	room int // for how many workers, of the configuration in force; 0: it is read again
}

// wishes holds at most one wish: what comes while one waits is one with it, so that
// ten signals in a row are one reload or two.
type wishes struct {
	mu      sync.Mutex
	waiting *wish
	come    chan struct{} // capacity one
}

func newWishes() *wishes { return &wishes{come: make(chan struct{}, 1)} }

func (w *wishes) add(next wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.waiting == nil:
		w.waiting = &next
	case next.what == newCode && next.room == 0:
		*w.waiting = next
	case next.room == 0 && w.waiting.room > 0:
		*w.waiting = wish{why: next.why, what: newCode} // one for room would not read the configuration
	}
	select {
	case w.come <- struct{}{}:
	default:
	}
}

func (w *wishes) take() wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := *w.waiting
	w.waiting = nil
	return next
}

// fulfil makes one reload after the other until ctx is done.
func (d *daemon) fulfil(ctx context.Context) {
	for {
		select {
		case <-d.wishes.come:
			next := d.wishes.take()
			d.reload(ctx, next, nil)
		case <-ctx.Done():
			return
		}
	}
}

// run does what signals and changed files ask for. It returns when a stop has been
// asked for, or with the error of a listener that has failed.
func (d *daemon) run(ctx context.Context) error {
	var reloads sync.WaitGroup
	defer reloads.Wait()
	reloads.Go(func() { d.fulfil(ctx) })
	for {
		select {
		case <-ctx.Done():
			d.log.Info("stopping")
			return nil
		case err := <-d.front.Failed():
			d.log.Error("stopping, as a listener failed", zap.Error(err))
			d.stop()
			return err
		case s := <-d.in.stop.others:
			d.heed(s)
		case <-changes(d.file):
			d.wishes.add(wish{why: "thrall.toml has changed"})
		case change := <-changes(d.tree):
			d.wishes.add(wish{why: "changed: " + strings.Join(change.Paths, ", "), what: newCode})
		}
	}
}

// heed does what a signal other than those to stop asks for.
func (d *daemon) heed(s os.Signal) {
	switch s {
	case syscall.SIGHUP:
		d.wishes.add(wish{why: "SIGHUP", what: newCode})
	case syscall.SIGTTIN:
		d.adjust(1)
	case syscall.SIGTTOU:
		d.adjust(-1)
	}
}

// watchFiles watches what a configuration names. It comes before the app is loaded: what
// changes meanwhile is not what was loaded.
func (d *daemon) watchFiles(cfg *config.Config) {
	var err error
	options := watch.Options{Log: d.log}
	if cfg.Watch && cfg.File() != "" {
		d.file, err = watch.File(cfg.File(), options)
	}
	if err == nil && developing(cfg) {
		d.tree, err = watch.Tree(sources(cfg), options)
	}
	if err != nil {
		d.log.Error("files are not watched", zap.Error(err))
	}
}

// unwatch ends what watchFiles has begun.
func (d *daemon) unwatch() {
	for _, w := range []*watch.Watcher{d.file, d.tree} {
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

// changes is a watcher's channel; that of none never has anything.
func changes(w *watch.Watcher) <-chan watch.Change {
	if w == nil {
		return nil
	}
	return w.Changes()
}

// adjust makes it so many workers more or fewer, until the next reload. A generation
// without room for another one is replaced by one that has it.
func (d *daemon) adjust(by int) {
	before := d.workers.Status().Wanted
	if after := d.workers.Adjust(by); by < 0 || after > before {
		return
	}
	d.wishes.add(wish{why: "SIGTTIN", what: newCode, room: before + by})
}
