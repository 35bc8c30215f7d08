package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// bound is a listener with the words that it was opened by.
type bound struct {
	net.Listener
	address string
	how     ListenOptions
	tls     atomic.Bool // its connections speak TLS
}

// openAll divides the addresses into those of the listeners in have, and those that
// it opens. An address that is named twice needs two listeners, as port 0 may have.
// If anything fails, the error names every such address; what has been opened is
// returned nevertheless.
func openAll(have []*bound, addresses []string, how ListenOptions) (keep, open []*bound, err error) {
	free := slices.Clone(have)
	var errs []error
	for _, address := range addresses {
		if i := slices.IndexFunc(free, func(b *bound) bool { return b.address == address && !b.lost() }); i >= 0 {
			if err := free[i].suits(how); err != nil {
				errs = append(errs, fmt.Errorf("listen on %s: %w", address, err))
			}
			keep = append(keep, free[i])
			free = slices.Delete(free, i, i+1)
			continue
		}
		l, err := Listen(address, how)
		if err != nil {
			errs = append(errs, explain(err, address, have))
			continue
		}
		b := &bound{Listener: l, address: address, how: how}
		b.tls.Store(how.TLS)
		open = append(open, b)
	}
	return keep, open, errors.Join(errs...)
}

// lost reports whether nobody can reach the listener any more, as somebody has
// removed or replaced its socket's file.
func (b *bound) lost() bool {
	unix, ok := b.Listener.(*unixsocket.Listener)
	return ok && !unix.InPlace()
}

// suits returns an error if the options are others than those that the listener was
// opened with, and that makes a difference: a port cannot be opened anew while it is
// open.
func (b *bound) suits(how ListenOptions) error {
	host, _, tcp := splitPort(b.address)
	if !tcp || host == handedOver || how.IPv6 == b.how.IPv6 {
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
	if l, ok := b.Listener.(*inherited); ok {
		l.giveBack()
		return
	}
	_ = b.Close()
}

// without returns the listeners of all that are not in some.
func without(all, some []*bound) []*bound {
	return slices.DeleteFunc(slices.Clone(all), func(b *bound) bool { return slices.Contains(some, b) })
}
