package server

import (
	"errors"
	"net"
	"slices"
	"time"

	"go.uber.org/zap"
)

// settings are Options in the form that requests are served by. They never change:
// a request that has begun keeps those it began with, while the server swaps its
// pointer for new ones.
type settings struct {
	Options
	mount         string
	headerTimeout time.Duration // zero is forever
	software      string        // for the environment; never empty
	access        *accessLog    // nil: none
	mounts        []*mount      // of static files, in the order in which they are tried
	sendfile      *sendfile     // nil: what the app says of files is not for the server
	spool         *spool
	receiver      receiver
	store         *store
	most          int           // connections
	proxies       *forwarding   // nil: none is trusted
	warned        *seldom       // of connections that were not introduced
	certificates  *certificates // nil: there is no TLS
}

// newSettings fills in what opts leave out. The spool is that of the settings so
// far if it is for the same place, so that a change makes no new folder.
func newSettings(opts Options, now *settings) (*settings, error) {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.MaxHeaderBytes <= 0 {
		opts.MaxHeaderBytes = defaultMaxHeader
	}
	next := &settings{Options: opts, mount: mountPoint(opts.Mount), software: opts.ServerSoftware, access: newAccessLog(opts.AccessLog, opts.AccessFormat), warned: new(seldom)}
	if next.headerTimeout = opts.HeaderTimeout; next.headerTimeout <= 0 || opts.Timeout > 0 && opts.Timeout < next.headerTimeout {
		next.headerTimeout = opts.Timeout
	}
	if next.software == "" {
		next.software = "thralld"
	}
	if now != nil && now.SpoolDir == opts.SpoolDir {
		next.spool = now.spool
	} else {
		next.spool = &spool{base: opts.SpoolDir}
	}
	next.store = &store{create: next.spool.unnamed, limit: opts.MaxSpool, log: opts.Log, usage: new(usage)}
	next.most = mostConnections(opts.MaxConnections)
	if now != nil {
		next.store.usage = now.store.usage
	}
	next.receiver = receiver{create: next.spool.create, remove: next.spool.remove, limit: opts.MaxBodyBytes}
	var err error
	next.proxies, err = newForwarding(opts.TrustedProxies, opts.ForwardedHeaders)
	return next, err
}

// openFolders opens those that files are sent from.
func (set *settings) openFolders() (err error) {
	var sendfileErr error
	set.mounts, err = openMounts(set.Static)
	set.sendfile, sendfileErr = openSendfile(set.Sendfile)
	return errors.Join(err, sendfileErr)
}

// readCertificates reads those of the options. Those of the settings so far stand in for
// what cannot be read any more.
func (set *settings) readCertificates(now *settings, needed bool) (err error) {
	if set.TLS == nil {
		if needed {
			return errors.New("a listener speaks TLS, and there are no certificates")
		}
		return nil
	}
	var before *certificates
	if now != nil {
		before = now.certificates
	}
	set.certificates, err = newCertificates(*set.TLS, set.Log, before)
	return err
}

// Change is another way to serve, prepared and not yet in force. Its owner ends it
// by Commit or by Discard; a Discard after that does nothing.
type Change struct {
	lineup
	server *Server
	next   *settings
	done   bool
}

// Prepare does all that can fail in serving by opts on these listeners, beside
// what is running and without touching it: it makes the spool folder, reads the
// certificates, opens the folders of files, and opens the addresses that are not open
// yet; clients that connect to them wait for Commit. An address of the present ones, in the same words, keeps its listener
// with all who wait in its queue, and gets other options where that can be done while
// it is open; who may connect to a unix socket changes at once, as it can fail, and
// changes back with Discard. All sockets that were handed over to the server have to be
// among the listeners. The error holds everything that is wrong, and then nothing is
// left behind.
//
// There is one Change at a time: until it is committed or discarded, Prepare fails.
func (s *Server) Prepare(opts Options, listeners []Listener) (*Change, error) {
	now, have, err := s.claim()
	if err != nil {
		return nil, err
	}
	next, wrong := newSettings(opts, now)
	c := &Change{server: s, next: next}
	err = errors.Join(wrong, c.fill(have, listeners, s.handed))
	speaks := slices.ContainsFunc(listeners, func(l Listener) bool { return l.TLS })
	err = errors.Join(err, c.next.readCertificates(now, speaks)) // root may read keys that the user of the daemon may not
	if err == nil && opts.Opened != nil {
		err = opts.Opened()
	}
	_, spoolErr := c.next.spool.ready()
	if err := errors.Join(err, spoolErr, c.next.openFolders()); err != nil {
		c.Discard()
		return nil, err
	}
	return c, nil
}

// claim makes the caller the only one who prepares a change, and returns what it
// would change.
func (s *Server) claim() (*settings, []*bound, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, nil, errors.New("prepare a change of the server: it was shut down")
	case s.changing:
		return nil, nil, errors.New("prepare a change of the server: another one is being prepared")
	}
	s.changing = true
	return s.settings.Load(), s.listeners, nil
}

// Commit puts the change in force; it cannot fail. Requests that begin from now on,
// on kept connections too, are served by its settings; those that run keep theirs,
// and no connection is closed, although one that waits for a request keeps the
// KeepaliveTimeout that it was given. The new listeners accept, and those that the
// change leaves out are closed: connections that they have accepted live on.
func (c *Change) Commit() {
	s := c.server
	s.mu.Lock()
	if c.done || s.closed {
		s.mu.Unlock()
		c.Discard()
		return
	}
	c.done, s.changing = true, false
	old, was := s.settings.Swap(c.next), s.listeners
	s.listeners = c.commit()
	for _, b := range c.open {
		go s.accept(b) // ends when b is closed
	}
	s.mu.Unlock()

	for _, b := range c.open {
		c.next.Log.Info("listening", b.fields()...)
	}
	for _, b := range without(was, c.keep) {
		_ = b.Close()
		c.next.Log.Info("not listening any more", zap.String("address", b.Addr().String()))
	}
	if old != nil && old.spool != c.next.spool {
		if err := old.spool.retire(); err != nil {
			c.next.Log.Warn("spool folder is left", zap.Error(err))
		}
	}
}

// Discard drops the change, with nothing left behind.
func (c *Change) Discard() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done {
		return
	}
	c.done, s.changing = true, false
	c.discard()
	if now := s.settings.Load(); s.closed || now == nil || now.spool != c.next.spool {
		_ = c.next.spool.retire() // a folder that cannot be removed is swept later
	}
}

// Failed receives the error of a listener that has failed by itself. What it had
// accepted lives on; the others go on.
func (s *Server) Failed() <-chan error { return s.failed }

func (s *Server) accept(l net.Listener) {
	if err := s.engine.serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		select {
		case s.failed <- err:
		default: // one is enough to act on
		}
	}
}
