package server

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// ListenOptions say how to listen.
type ListenOptions struct {
	// IPv6 allows IPv6 addresses; without it, :PORT means IPv4 only.
	IPv6 bool
	// TLS has connections to the address begin with the handshake of TLS, as
	// Options.TLS says, which must not be nil then. Another value takes effect for the
	// connections that are accepted after the Commit; the listener stays open.
	TLS bool
}

// Reasons not to open an address that more than one place knows.
var (
	errInUse   = errors.New("already in use")
	errIPv6Off = errors.New("this is an IPv6 address, and ipv6 is off")
)

// Listen opens a listener on an address in one of these forms:
//
//	127.0.0.1:5000, example.org:5000, [::1]:5000
//	:5000             all addresses of the machine, IPv6 too if it may be used
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
		l, err = listenAbstract(addr)
	case tcp && host == handedOver:
		l, err = listenInherited(port)
	case tcp:
		l, err = listenTCP(host, port, opts)
	default:
		l, err = unixsocket.Listen(addr, 0)
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
	case host == "systemd":
		return nil, fmt.Errorf("listeners by %s are not supported yet", host)
	case err != nil:
		return nil, fmt.Errorf("port %q: want a number from 0 to 65535", port)
	case !opts.IPv6 && strings.Contains(host, ":"):
		return nil, errIPv6Off
	}
	network := "tcp"
	if !opts.IPv6 {
		network = "tcp4"
	}
	l, err := net.Listen(network, net.JoinHostPort(host, port))
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
	return l, nil
}

func listenAbstract(addr string) (net.Listener, error) {
	l, err := net.Listen("unix", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		owner, _ := unixsocket.Probe(addr)
		return nil, fmt.Errorf("this abstract socket is %w%s", errInUse, unixsocket.By(owner))
	case err != nil:
		return nil, cause(err)
	}
	return l, nil
}

// cause returns what the kernel said, without the names of Go's functions and the
// address, which the message has already.
func cause(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Errorf("%s: %s", dns.Name, dns.Err)
	}
	return unixsocket.Reason(err)
}
