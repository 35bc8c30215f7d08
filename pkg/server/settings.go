package server

import (
	"errors"
	"net"

	"go.uber.org/zap"
)

// settings are Options in the form that requests are served by. They never change:
// a request that has begun keeps those it began with, while the server swaps its
// pointer for new ones.
type settings struct {
	Options
	mount    string
	software string     // for the environment; never empty
	access   *accessLog // nil: none
	spool    *spool
	receiver receiver

	certificates *certificates // nil: there is no TLS
}

// newSettings fills in what opts leave out. The spool is that of the settings so
// far if it is for the same place, so that a change makes no new folder.
func newSettings(opts Options, now *settings) *settings {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.MaxHeaderBytes <= 0 {
		opts.MaxHeaderBytes = defaultMaxHeader
	}
	next := &settings{Options: opts, mount: mountPoint(opts.Mount), software: opts.ServerSoftware, access: newAccessLog(opts.AccessLog)}
	if next.software == "" {
		next.software = "thralld"
	}
	if now != nil && now.SpoolDir == opts.SpoolDir {
		next.spool = now.spool
	} else {
		next.spool = &spool{base: opts.SpoolDir}
	}
	next.receiver = receiver{create: next.spool.create, remove: next.spool.remove, limit: opts.MaxBodyBytes}
	return next
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
	server *Server
	next   *settings
	keep   []*bound // the listeners that are open already and stay
	open   []*bound // those that are new
	tls    bool     // whether those that stay speak TLS from now on
	done   bool
}

// Prepare does all that can fail in serving by opts on these addresses, beside
// what is running and without touching it: it makes the spool folder, reads the
// certificates, and opens the addresses that are not open yet; clients that connect to them wait for
// Commit. An address of the present ones, in the same words, keeps its listener
// with all who wait in its queue. [Listen] has the forms of an address. The error
// holds everything that is wrong, and then nothing is left behind.
//
// There is one Change at a time: until it is committed or discarded, Prepare fails.
func (s *Server) Prepare(opts Options, addresses []string, how ListenOptions) (*Change, error) {
	now, have, err := s.claim()
	if err != nil {
		return nil, err
	}
	c := &Change{server: s, next: newSettings(opts, now), tls: how.TLS}
	c.keep, c.open, err = openAll(have, addresses, how)
	err = errors.Join(err, c.next.readCertificates(now, how.TLS)) // root may read keys that the user of the daemon may not
	if err == nil && opts.Opened != nil {
		err = opts.Opened()
	}
	_, spoolErr := c.next.spool.ready()
	if err := errors.Join(err, spoolErr); err != nil {
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
	s.listeners = append(c.keep, c.open...)
	for _, b := range c.keep {
		b.tls.Store(c.tls)
	}
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
	for _, b := range c.open {
		b.giveUp()
	}
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
