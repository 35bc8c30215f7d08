package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// bound is a listener with the words that it was opened by.
type bound struct {
	net.Listener
	address string
	how     ListenOptions // but for what may change while it is open

	introduces atomic.Bool // ListenOptions.ProxyProtocol, of the change in force
	tls        atomic.Bool // ListenOptions.TLS, of the change in force
}

// introduces reports whether proxies introduce the connections of a listener.
func introduces(l net.Listener) bool {
	b, ok := l.(*bound)
	return ok && b.introduces.Load()
}

// lineup is what a change listens on.
type lineup struct {
	keep []stay   // listeners that are open already
	open []*bound // new ones
}

// stay is a listener that stays open, and is to have other options.
type stay struct {
	*bound
	next ListenOptions
	undo func() // takes back what had to be tried before; never nil
}

// fill divides the listeners that are wanted into those in have, and those that it
// opens. An address that is named twice needs two listeners, as port 0 may have. If
// anything fails, the error names every such address, and the lineup has to be
// discarded.
func (c *lineup) fill(have []*bound, want []Listener, handed []HandedOver) error {
	free := slices.Clone(have)
	errs := []error{unnamed(handed, want)}
	for _, w := range want {
		if strings.HasPrefix(w.Address, byName) {
			errs = append(errs, c.takeOver(free, w, handed))
			continue
		}
		if i := slices.IndexFunc(free, func(b *bound) bool { return b.address == w.Address && !b.lost() }); i >= 0 {
			errs = append(errs, c.stays(free[i], w.ListenOptions))
			free = slices.Delete(free, i, i+1)
			continue
		}
		l, err := Listen(w.Address, w.ListenOptions)
		if err != nil {
			errs = append(errs, explain(err, w.Address, have))
			continue
		}
		c.open = append(c.open, &bound{Listener: l, address: w.Address, how: w.ListenOptions})
	}
	return errors.Join(errs...)
}

// stays keeps a listener, if it can have the options.
func (c *lineup) stays(b *bound, next ListenOptions) error {
	s := stay{b, next, func() {}}
	err := b.suits(next)
	if unix, ok := b.Listener.(*unixsocket.Listener); ok && err == nil && next.Access != b.how.Access {
		s.undo, err = unix.SetAccess(next.Access)
	}
	c.keep = append(c.keep, s)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", b.address, err)
	}
	return nil
}

// takeOver listens on the sockets that were handed over under a name.
func (c *lineup) takeOver(have []*bound, want Listener, handed []HandedOver) error {
	these, err := handedOver(want.Address, handed)
	for _, l := range these {
		is := func(b *bound) bool { return b.Listener == net.Listener(l) }
		switch i := slices.IndexFunc(have, is); {
		case slices.ContainsFunc(c.open, is) || slices.ContainsFunc(c.keep, func(s stay) bool { return is(s.bound) }):
			return fmt.Errorf("listen on %s: it is named twice", want.Address)
		case i >= 0:
			c.keep = append(c.keep, stay{have[i], want.ListenOptions, func() {}})
		default:
			c.open = append(c.open, &bound{Listener: l, address: want.Address, how: want.ListenOptions})
			l.keepAlive.Store(int64(want.KeepAlive))
		}
	}
	return err
}

// commit puts the options in force that the listeners are to have, and returns all of
// them.
func (c *lineup) commit() []*bound {
	all := make([]*bound, 0, len(c.keep)+len(c.open))
	for _, s := range c.keep {
		s.set(s.next)
		all = append(all, s.bound)
	}
	all = append(all, c.open...)
	for _, b := range all {
		b.introduces.Store(b.how.ProxyProtocol)
		b.tls.Store(b.how.TLS)
	}
	return all
}

// discard closes what has been opened, and takes back what has been changed.
func (c *lineup) discard() {
	for _, s := range slices.Backward(c.keep) {
		s.undo()
	}
	for _, b := range c.open {
		b.giveUp()
	}
}

// set changes what can be changed while the listener is open, and cannot fail.
func (b *bound) set(next ListenOptions) {
	switch l := b.Listener.(type) {
	case *inherited:
		l.keepAlive.Store(int64(next.KeepAlive))
	case *adopted:
		l.keepAlive.Store(int64(next.KeepAlive))
	default:
		if next.KeepAlive != b.how.KeepAlive {
			keepAlive(l, next.KeepAlive)
		}
		if next.Backlog != b.how.Backlog {
			setBacklog(l, next.Backlog)
		}
	}
	b.how = next
}

// lost reports whether nobody can reach the listener any more, as somebody has
// removed or replaced its socket's file.
func (b *bound) lost() bool {
	unix, ok := b.Listener.(*unixsocket.Listener)
	return ok && !unix.InPlace()
}

// suits returns an error if a listener cannot have the options while it is open: a
// port cannot be opened anew then.
func (b *bound) suits(next ListenOptions) error {
	host, _, tcp := splitPort(b.address)
	if tcp && host == byNumber {
		return nil
	}
	if err := checkBacklog(next.Backlog); err != nil {
		return err
	}
	_, file := b.Listener.(*unixsocket.Listener)
	switch {
	case file && !b.how.Keeps(next.Access):
		return errors.New("the mode and the owners that a socket has by itself are only given to a new one; name them, or restart")
	case !tcp:
		return nil
	case next.ReusePort != b.how.ReusePort:
		return errors.New("whether others may have the same port cannot change while it is open; this needs a restart")
	case next.IPv6 == b.how.IPv6:
		return nil
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Is4():
		return nil
	case err == nil:
		return errIPv6Off
	}
	return errors.New("whether an address takes IPv6 cannot change while it is open; this needs a restart")
}

// explain adds to a failure what only the present listeners tell: that the port is
// open under another address.
func explain(err error, address string, have []*bound) error {
	_, port, _ := splitPort(address)
	if !errors.Is(err, errInUse) {
		return err
	}
	for _, b := range have {
		if held, ok := b.Addr().(*net.TCPAddr); ok && strconv.Itoa(held.Port) == port {
			return fmt.Errorf("%w, as %s; to open the same port as another address needs a restart", err, b.address)
		}
	}
	return err
}

// fields returns what a log line says about the listener.
func (b *bound) fields() []zap.Field {
	fields := []zap.Field{zap.String("address", b.Addr().String())}
	if b.tls.Load() {
		fields = append(fields, zap.Bool("tls", true))
	}
	return fields
}

// giveUp closes a listener on which nothing was accepted, so that everything is as
// it was before it was opened.
func (b *bound) giveUp() {
	switch l := b.Listener.(type) {
	case *inherited:
		l.giveBack()
	case *adopted: // stays with the process
	default:
		_ = b.Close()
	}
}

// without returns the listeners of all that do not stay.
func without(all []*bound, some []stay) []*bound {
	return slices.DeleteFunc(slices.Clone(all), func(b *bound) bool {
		return slices.ContainsFunc(some, func(s stay) bool { return s.bound == b })
	})
}
