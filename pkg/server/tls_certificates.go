package server

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// certificates are those of a configuration, as their files say now.
//
// A handshake that finds the last look at the files a second old looks at them again.
// That needs no watch by the kernel, which has few of them and none on some file
// systems, follows links wherever they are turned to, and costs a busy server a few
// system calls each second, and an idle one nothing.
type certificates struct {
	opts    TLS
	log     *zap.Logger
	inForce atomic.Pointer[chosen]

	// Who is about to look at the files, and only that one goroutine, holds looking.
	looking atomic.Bool
	looked  atomic.Int64 // when that was last, in ns since 1970
	refused []stamp      // the files that have been tried in vain; guarded by looking

	every time.Duration // between two looks
	quiet time.Duration // for which changed files are left to be written
}

// The times of certificates that are not under test.
const (
	lookEvery  = time.Second
	quietAfter = time.Second
)

// stamp tells whether a file is another one than before.
type stamp struct {
	inode   uint64
	size    int64
	changed time.Time // its inode: the kernel sets it, whatever times a copy brings
}

// newCertificates reads all files. The error holds everything that is wrong with them.
// What was in force before, which may be nil, stands in for files that this process
// may not read any more, as it is not root now.
func newCertificates(opts TLS, log *zap.Logger, before *certificates) (*certificates, error) {
	c := &certificates{opts: opts, log: log, every: lookEvery, quiet: quietAfter}
	var old *chosen
	if before != nil {
		old = before.inForce.Load()
	}
	now, stayed, err := loadChosen(opts, old, func(err error) bool { return errors.Is(err, fs.ErrPermission) })
	if err != nil {
		return nil, err
	}
	if stayed != nil {
		log.Warn("certificates cannot be read again; what was read before stays", zap.Error(stayed))
	}
	c.inForce.Store(now)
	c.looked.Store(time.Now().UnixNano())
	return c, nil
}

// current returns what a handshake that begins now goes by.
func (c *certificates) current() *chosen {
	now := time.Now()
	if now.UnixNano()-c.looked.Load() >= int64(c.every) && c.looking.CompareAndSwap(false, true) {
		c.renew(now)
		c.looked.Store(now.UnixNano())
		c.looking.Store(false)
	}
	return c.inForce.Load()
}

// renew reads the files again if they have changed. A pair that is broken now stays as
// it was.
func (c *certificates) renew(now time.Time) {
	old := c.inForce.Load()
	files := stamps(c.opts)
	if slices.Equal(files, old.files) || slices.Equal(files, c.refused) {
		return
	}
	if slices.ContainsFunc(files, func(f stamp) bool { return now.Sub(f.changed) < c.quiet }) {
		return // whoever writes a certificate is about to write its key
	}
	next, stayed, err := loadChosen(c.opts, old, func(error) bool { return true })
	if err != nil { // there is nothing that old could not stand in for
		stayed, next = err, old
	}
	c.refused = nil
	if stayed != nil {
		c.refused = files
		c.log.Error("changed certificates refused; those before stay", zap.Error(stayed))
	}
	c.inForce.Store(next)
	for i, cert := range next.list() {
		if !slices.EqualFunc(next.pairs[i].Certificate, old.pairs[i].Certificate, slices.Equal) {
			c.log.Info("certificate renewed", zap.Strings("names", cert.Names), zap.Time("not_after", cert.NotAfter))
		}
	}
}

// stamps are those of all files, in one order.
func stamps(opts TLS) []stamp {
	var all []stamp
	for _, p := range opts.Pairs {
		all = append(all, stampOf(p.CertFile), stampOf(p.KeyFile))
	}
	return append(all, stampOf(opts.ChainFile), stampOf(opts.ClientCAFile))
}

// stampOf is zero for a file that is not there.
func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{size: info.Size(), changed: info.ModTime()}
	}
	return stamp{stat.Ino, stat.Size, time.Unix(stat.Ctim.Unix())}
}
