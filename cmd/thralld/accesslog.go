package main

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// An accessLog keeps lines in memory until they are written, all at once, so that no
// request waits for a disk. Lines that find no room are lost, and counted.
type accessLog struct {
	log      *zap.Logger
	patience time.Duration // how long close waits for the last lines
	wake     chan struct{} // capacity one: there is something to do
	ended    chan struct{} // closed when everything has been written that can be

	// These are touched only by run.
	file  *accessFile
	out   []byte // whole lines for file
	begun int    // how much of the first one it has already

	mu      sync.Mutex
	lines   []byte        // that come after out; for next if there is one
	before  []byte        // that come between: the last ones for file while there is a next
	next    *accessFile   // takes the place of file; nil: none does
	taken   chan struct{} // closed when next has; nil without it
	path    string        // of the last file that was asked for; "": lines go nowhere
	writing int64         // how many lines out has
	closing bool
	failure error // of the last write; nil: there was none, or it went well
	lost    int64 // lines
	told    int64 // of them, how many the log has told of
	telling bool  // tell is going to be called
	toldAt  time.Time

	opening sync.Mutex  // held while the file is being exchanged, so that path does not change
	flush   *time.Timer // wakes run some time after the first line has come
	tell    *time.Timer // calls report
}

const (
	accessRoom     = 1 << 20                // bytes of lines that wait, besides those that are being written
	accessEnough   = 64 << 10               // bytes that are written at once
	accessDelay    = 250 * time.Millisecond // how long fewer of them wait
	accessPatience = 5 * time.Second        // how long the end of the daemon waits for the last ones
	reopenPatience = time.Second            // how long a signal waits until the new file is in use
	tellEvery      = time.Minute
)

// newAccessLog makes a log that writes to file, and closes it. It has to be closed.
func newAccessLog(file *accessFile, log *zap.Logger) *accessLog {
	a := &accessLog{
		log: log, patience: accessPatience, file: file, path: file.path,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	a.flush, a.tell = time.AfterFunc(time.Hour, a.wakeUp), time.AfterFunc(time.Hour, a.report)
	a.flush.Stop()
	a.tell.Stop()
	go a.run() // ends some time after close
	return a
}

// Write takes a line. It never waits for the file, and never fails.
func (a *accessLog) Write(line []byte) (int, error) {
	a.mu.Lock()
	switch {
	case a.path == "": // of a request that began when there was a log
	case len(a.before)+len(a.lines)+len(line) > accessRoom:
		a.lose(1)
	default:
		if len(a.lines) == 0 {
			a.flush.Reset(accessDelay)
		}
		a.lines = append(a.lines, line...)
	}
	enough := len(a.lines) >= accessEnough && a.failure == nil // what has failed has a time of its own
	a.mu.Unlock()
	if enough {
		a.wakeUp()
	}
	return len(line), nil
}

// lose counts lines that are lost. Its caller holds mu.
func (a *accessLog) lose(n int64) {
	a.lost += n
	a.tellSoon()
}

func (a *accessLog) wakeUp() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run writes what there is, whenever it is woken.
func (a *accessLog) run() {
	defer close(a.ended)
	for {
		<-a.wake
		for a.writeOut() {
		}
		if a.isOver() {
			a.file.close()
			return
		}
	}
}

// writeOut writes the lines that have come, and exchanges the file if that is asked
// for. It reports whether there is more to do at once.
func (a *accessLog) writeOut() (again bool) {
	a.mu.Lock()
	exchange, late := a.next != nil, len(a.out) > 0
	switch { // with lines that are late none of those behind them are taken
	case exchange:
		a.out, a.before = append(a.out, a.before...), nil
	case !late:
		a.out, a.lines = a.lines, a.out
	}
	a.writing = count(a.out)
	a.mu.Unlock()

	written, err := a.file.write(a.out[a.begun:])
	a.keep(a.begun + written)
	if a.judge(err) {
		a.log.Info("access log is written again", zap.String("path", a.file.path))
	}

	a.mu.Lock()
	a.writing = count(a.out)
	if !exchange {
		defer a.mu.Unlock()
		return err == nil && len(a.lines) > 0 && (late || a.closing || len(a.lines) >= accessEnough)
	}
	before, taken := a.file, a.taken
	a.file, a.next, a.begun = a.next, nil, 0
	if a.path == "" && a.writing > 0 {
		a.lose(a.writing)
		a.out = a.out[:0]
	}
	a.mu.Unlock()
	before.close()
	close(taken)
	return true
}

func count(lines []byte) int64 { return int64(bytes.Count(lines, []byte{'\n'})) }

// keep forgets those lines of out that have been written whole, of so many bytes.
func (a *accessLog) keep(written int) {
	whole := bytes.LastIndexByte(a.out[:written], '\n') + 1
	a.out = append(a.out[:0], a.out[whole:]...)
	a.begun = written - whole
}

// judge takes note of how a write went; one that failed is tried again. It reports
// whether writes go well that did not.
func (a *accessLog) judge(err error) (mended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failure = err
		a.tellSoon()
		a.flush.Reset(accessDelay)
		return false
	}
	mended = a.failure != nil
	a.failure = nil
	return mended
}

// isOver reports whether the log has been closed and nothing more can be written. What
// is left then is lost.
func (a *accessLog) isOver() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing || a.failure == nil && (len(a.lines) > 0 || a.next != nil) {
		return false
	}
	a.loseRest()
	return true
}

// loseRest counts all lines that are left as lost. Its caller holds mu.
func (a *accessLog) loseRest() {
	if n := a.writing + count(a.before) + count(a.lines); n > 0 {
		a.lose(n)
	}
}

// prepare opens the file of that path, beside the one that is in use; nil: it is that.
func (a *accessLog) prepare(path string) (*accessFile, error) {
	a.opening.Lock()
	defer a.opening.Unlock()
	if path == a.path {
		return nil, nil
	}
	return openAccessFile(path)
}

// exchange puts a file in use that prepare has returned. It does not fail, nor wait for
// the file before.
func (a *accessLog) exchange(file *accessFile) {
	a.opening.Lock()
	defer a.opening.Unlock()
	a.use(file)
}

// use exchanges the file: lines that have come go to the one before, and those that come
// go to this one. The channel is closed when the one before has been written and closed.
// Its caller holds opening.
func (a *accessLog) use(file *accessFile) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.before, a.lines, a.taken = a.lines, nil, make(chan struct{})
	} else {
		a.next.close() // the one before is still being written
	}
	a.next, a.path = file, file.path
	a.wakeUp()
	return a.taken
}

// reopen opens the path anew. If that fails, the file that was open stays in use. If it
// is being written for long, which is the reason to rename many a file, its last lines
// follow.
func (a *accessLog) reopen() error {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.path == "" || stream(a.path) != nil {
		return nil
	}
	file, err := openAccessFile(a.path)
	if err != nil {
		return fmt.Errorf("re%w", err)
	}
	select {
	case <-a.use(file):
	case <-time.After(reopenPatience):
	}
	return nil
}

// close writes what there is, for a while.
func (a *accessLog) close() {
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	a.wakeUp()
	select {
	case <-a.ended:
	case <-time.After(a.patience):
		a.mu.Lock()
		a.loseRest()
		a.mu.Unlock()
	}
	a.flush.Stop()
	a.tell.Stop()
	a.report()
}

// lostLines is how many lines have been lost so far. Without a log it is none.
func (a *accessLog) lostLines() int64 {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

// tellSoon has the log told that something is wrong, once a minute. Its caller holds mu.
func (a *accessLog) tellSoon() {
	if !a.telling {
		a.telling = true
		a.tell.Reset(max(0, tellEvery-time.Since(a.toldAt)))
	}
}

// report tells the log what is wrong, if it is still.
func (a *accessLog) report() {
	a.mu.Lock()
	lost, err := a.lost-a.told, a.failure
	a.telling, a.told, a.toldAt = false, a.lost, time.Now()
	path, all := a.path, a.lost
	a.mu.Unlock()
	switch {
	case lost > 0:
		a.log.Error("lines of the access log are lost, as it cannot be written in time",
			zap.String("path", path), zap.Int64("lines", lost), zap.Int64("in_all", all), zap.Error(err))
	case err != nil:
		a.log.Error("access log cannot be written; lines wait in memory while there is room", zap.String("path", path), zap.Error(err))
	}
}
