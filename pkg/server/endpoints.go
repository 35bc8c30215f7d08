package server

import (
	"net"
	"strconv"
	"strings"
)

// endpoints are the two ends of a connection, as the environment names them.
type endpoints struct {
	local, remote net.Addr

	// Of TCP; on a unix socket they are empty, but for remotePort.
	serverAddr, serverName, serverPort string
	remoteAddr, remotePort             string

	// Of a connection that a proxy has introduced: the ends are then those that it told.
	introduced bool
	peerAddr   string // the address of who is connected: the proxy, or remoteAddr
	hidden     bool   // the proxy speaks for somebody whom it did not name
}

// newEndpoints says between whom a connection is. A socket on the file system has no
// address: the server's name is then the one that the client used, and REMOTE_ADDR is
// empty, rather than an invented 127.0.0.1 that would make every client of a proxy pass
// for a local one.
func newEndpoints(local, remote net.Addr) *endpoints {
	e := &endpoints{local: local, remote: remote, remotePort: "0"}
	if tcp, ok := local.(*net.TCPAddr); ok {
		e.serverAddr, e.serverPort = tcp.IP.String(), strconv.Itoa(tcp.Port)
		e.serverName = bracket(e.serverAddr)
	}
	if tcp, ok := remote.(*net.TCPAddr); ok {
		e.remoteAddr, e.remotePort = tcp.IP.String(), strconv.Itoa(tcp.Port)
	}
	e.peerAddr = e.remoteAddr
	return e
}

// bracket writes an IPv6 address as a URI wants it, since apps join SERVER_NAME
// and SERVER_PORT by a colon (RFC 3875, 4.1.14).
func bracket(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}
