package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"

	"go.uber.org/zap"
)

// A wish is a reload that somebody wants.
type wish struct {
	why   string
	what  scope
	room  int  // for how many workers, of the configuration in force; 0: it is read again
	saved bool // a developer has saved something: an app that is being loaded is out of date
}

// wishes holds at most one wish: what comes while one waits is one with it, so that
// ten signals in a row are one reload or two.
type wishes struct {
	mu      sync.Mutex
	waiting *wish
	give    context.CancelCauseFunc // gives the wish up that is being fulfilled; nil: there is none
	come    chan struct{}           // capacity one
}

// errOutdated is the error of a reload that was given up for what was saved later.
var errOutdated = errors.New("something was saved while the app was being loaded")

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
	if next.saved && w.give != nil {
		w.give(errOutdated)
	}
	select {
	case w.come <- struct{}{}:
	default:
	}
}

// take returns the wish that waits, and the context in which it is to be fulfilled;
// false: there is none, as it came in time to be part of the one before.
func (w *wishes) take(ctx context.Context) (context.Context, wish, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		return ctx, wish{}, false
	}
	next := *w.waiting
	w.waiting = nil
	ctx, w.give = context.WithCancelCause(ctx)
	return ctx, next, true
}

// fulfilled ends what take has begun.
func (w *wishes) fulfilled() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.give(nil)
	w.give = nil
}

// fulfil makes one reload after the other until ctx is done.
func (d *daemon) fulfil(ctx context.Context) {
	for {
		select {
		case <-d.wishes.come:
			if loading, next, ok := d.wishes.take(ctx); ok {
				d.reload(loading, next, nil)
				d.wishes.fulfilled()
			}
		case <-ctx.Done():
			return
		}
	}
}

// run does what signals and wishes ask for. It returns when a stop has been
// asked for, or with the error of a listener that has failed.
func (d *daemon) run(ctx context.Context) error {
	var reloads sync.WaitGroup
	defer reloads.Wait()
	reloads.Go(func() { d.fulfil(ctx) })
	reloads.Go(func() { d.watchExpiry(ctx) })
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

// adjust makes it so many workers more or fewer, until the next reload. A generation
// without room for another one is replaced by one that has it.
func (d *daemon) adjust(by int) {
	before := d.workers.Status().Wanted
	if after := d.workers.Adjust(by); by < 0 || after > before {
		return
	}
	d.wishes.add(wish{why: "SIGTTIN", what: newCode, room: before + by})
}
