package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// Listener says where to listen, and how.
type Listener struct {
	// Address has one of the forms that [Listen] takes, or is systemd:NAME for all
	// sockets that were handed over under that name.
	Address string
	ListenOptions
}

// ListenOptions say how to listen. What does not concern an address is not looked at.
type ListenOptions struct {
	// IPv6 allows IPv6 addresses of TCP; without it, :PORT and names mean IPv4 only.
	IPv6 bool
	// Backlog is how many connections may wait to be accepted; clients beyond it wait
	// for their kernel to try again. Zero is as many as the machine allows, which is
	// net.core.somaxconn. A socket that was handed over keeps its own.
	Backlog int
	// ReusePort lets other sockets of the same user have the same TCP port; the kernel
	// deals the connections out to all of them (SO_REUSEPORT).
	ReusePort bool
	// KeepAlive is after how much silence on a TCP connection the kernel asks whether
	// the client's machine is still there, and how often it asks again: after nine
	// questions without an answer the connection is gone. It counts in seconds, up to
	// 32767. Zero never asks.
	KeepAlive time.Duration
	// TLS has connections to the address begin with the handshake of TLS, as
	// Options.TLS says, which must not be nil then. A change of it counts for the
	// connections that are accepted from then on.
	TLS bool
	// ProxyProtocol has every connection begin with a header of the PROXY protocol,
	// version 1 or 2, from one of Options.TrustedProxies; all others are closed. A change
	// of it counts for the connections that are accepted from then on.
	ProxyProtocol bool
	// Access says who may connect to the unix socket at a path.
	Access
}

// Access says who may connect to a unix socket: the mode and the owners of its file.
type Access = unixsocket.Access

// ID is the number of a user or a group; the zero ID is none.
type ID = unixsocket.ID

// Reasons not to open an address that more than one place knows.
var (
	errInUse   = errors.New("already in use")
	errIPv6Off = errors.New("this is an IPv6 address, and ipv6 is off")
)

// Listen opens a listener on an address in one of these forms:
//
//	127.0.0.1:5000, example.org:5000, [::1]:5000
//	:5000             all addresses of the machine, IPv6 too if it may be used
//	0.0.0.0:5000      all of IPv4, and [::]:5000 all of IPv6, so that both may stand
//	                  side by side
//	/run/app.sock     a unix socket; a path without a slash is one, too
//	@name             an abstract unix socket; a NUL may stand for the @
//	fd:3              the listening socket, of TCP or unix, that the process was
//	                  started with as descriptor 3; its file is never removed
//
// A unix socket that nobody listens on any more is replaced; whatever else is in
// its place is left alone. Its file is removed when the listener is closed, unless
// somebody has put another one there. The errors are for people: they say which
// address, why, and who has it where the kernel tells.
func Listen(addr string, opts ListenOptions) (net.Listener, error) {
	var l net.Listener
	var err error
	switch host, port, tcp := splitPort(addr); {
	case addr == "":
		err = errors.New("the address is empty")
	case addr[0] == '@' || addr[0] == 0:
		addr = "@" + addr[1:]
		l, err = listenAbstract(addr, opts)
	case tcp && host == byNumber:
		l, err = listenInherited(port, opts)
	case tcp:
		l, err = listenTCP(host, port, opts)
	default:
		l, err = listenUnix(addr, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// splitPort splits HOST:PORT, or says that addr has another form.
func splitPort(addr string) (host, port string, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || strings.Contains(addr, "/") {
		return "", "", false
	}
	host, port = addr[:i], addr[i+1:]
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), port, true
}

func listenTCP(host, port string, opts ListenOptions) (net.Listener, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return nil, fmt.Errorf("port %q: want a number from 0 to 65535", port)
	case !opts.IPv6 && strings.Contains(host, ":"):
		return nil, errIPv6Off
	}
	network := "tcp"
	switch ip, err := netip.ParseAddr(host); {
	case !opts.IPv6, err == nil && ip.Unmap().Is4():
		network = "tcp4"
	case err == nil:
		network = "tcp6" // package net would take 0.0.0.0 and [::] for both
	}
	config := net.ListenConfig{KeepAlive: -1} // it is asked of the listening socket instead
	if opts.ReusePort {
		config.Control = reusePort
	}
	l, err := config.Listen(context.Background(), network, net.JoinHostPort(host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is %w%s", number, errInUse, unixsocket.By(portOwner(uint16(number))))
	case errors.Is(err, syscall.EACCES) && number < 1024:
		return nil, fmt.Errorf("no permission for port %d: ports below 1024 need the capability CAP_NET_BIND_SERVICE; "+
			"or take a higher port", number)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is no address of this machine", host)
	case err != nil:
		return nil, cause(err)
	}
	keepAlive(l, opts.KeepAlive)
	return withBacklog(l, opts.Backlog)
}

func listenAbstract(addr string, opts ListenOptions) (net.Listener, error) {
	l, err := net.Listen("unix", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		owner, _ := unixsocket.Probe(addr)
		return nil, fmt.Errorf("this abstract socket is %w%s", errInUse, unixsocket.By(owner))
	case err != nil:
		return nil, cause(err)
	}
	return withBacklog(l, opts.Backlog)
}

func listenUnix(path string, opts ListenOptions) (net.Listener, error) {
	l, err := unixsocket.Listen(path, opts.Access)
	if err != nil {
		return nil, err
	}
	return withBacklog(l, opts.Backlog)
}

// cause returns what the kernel said, without the names of Go's functions and the
// address, which the message has already.
func cause(err error) error {
	var dns *net.DNSError
	var address *net.AddrError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("%s: %s", dns.Name, dns.Err)
	case errors.As(err, &address):
		return fmt.Errorf("%s: %s", address.Addr, address.Err)
	}
	return unixsocket.Reason(err)
}
