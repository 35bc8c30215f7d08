package config

import (
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Listener is one [[listener]]: an address to listen on, and how.
type Listener struct {
	// Address has one of the forms that [Config.Listen] has.
	Address string `toml:"address" required:"true" arg:"ADDRESS" path:"listen" help:"where to listen: HOST:PORT, :PORT, a path, @NAME, fd:N or systemd:NAME"`

	// Mode is that of a unix socket's kindPath, in octal digits: to connect takes the right
	// to write. Empty is what the umask leaves of 777; with an owner or a group, 660.
	Mode string `toml:"mode" arg:"OCTAL" help:"mode of the unix socket, in octal"`

	// Owner is the name or number of the user whom a unix socket belongs to. Only root
	// can give it to another one. Empty leaves it to who opens it.
	Owner string `toml:"owner" arg:"USER" help:"user whom the unix socket belongs to"`

	// Group is the same for its group, which may be one that thralld is in.
	Group string `toml:"group" arg:"GROUP" help:"group that the unix socket belongs to"`

	// Backlog is how many connections may wait to be accepted. 0 is as many as the
	// machine allows, net.core.somaxconn; more than that is refused when it is opened.
	Backlog int `toml:"backlog" arg:"N" default:"0" max:"65535" help:"connections that may wait to be accepted"`

	// ReusePort lets other daemons of the same user listen on the same TCP port, if they
	// all say so.
	ReusePort bool `toml:"reuse_port" default:"false" help:"share the TCP port with other daemons"`

	// TCPKeepalive is the silence after which the kernel asks whether the client's
	// machine is there, and the time between two questions; nine without an answer end
	// the connection. 0 never asks.
	TCPKeepalive Duration `toml:"tcp_keepalive" arg:"TIME" default:"15s" max:"9h" help:"silence after which TCP asks for the client's machine"`

	// SSL has clients speak TLS, with the certificates of the whole file.
	SSL bool `toml:"ssl" default:"false" help:"speak TLS"`

	// ProxyProtocol has every connection begin with a header of the PROXY protocol, from
	// one of [Config.TrustedProxies]. Others are closed.
	ProxyProtocol bool `toml:"proxy_protocol" default:"false" help:"connections begin with a PROXY header of a trusted proxy"`

	// IPv6 lets :PORT and a name take IPv6 connections beside IPv4 ones, unless
	// [Config.IPv6] forbids it.
	IPv6 bool `toml:"ipv6" default:"true" help:"listen on IPv6 too"`
}

// A kind is a sort of address.
type kind int

const (
	kindTCP       kind = iota // HOST:PORT
	kindPath                  // a unix socket at a path
	kindAbstract              // @NAME
	kindInherited             // fd:N, systemd:NAME
)

// kind reads the sort from an address that has been checked.
func (l Listener) kind() kind {
	switch {
	case strings.HasPrefix(l.Address, abstractSign):
		return kindAbstract
	case strings.HasPrefix(l.Address, handedFD), strings.HasPrefix(l.Address, handedName):
		return kindInherited
	case strings.Contains(l.Address, "/"):
		return kindPath
	}
	return kindTCP
}

// HandedOver reports whether the socket is opened by another process, which starts this
// one.
func (l Listener) HandedOver() bool { return l.kind() == kindInherited }

// concerns says, of a key of [[listener]], which kinds it means something for, and what
// to say to the others.
var concerns = map[string]struct {
	kinds []kind
	what  string
}{
	"mode":          {[]kind{kindPath}, "is for unix sockets at a path"},
	"owner":         {[]kind{kindPath}, "is for unix sockets at a path"},
	"group":         {[]kind{kindPath}, "is for unix sockets at a path"},
	"backlog":       {[]kind{kindTCP, kindPath, kindAbstract}, "is for sockets that thralld opens"},
	"reuse_port":    {[]kind{kindTCP}, "is for TCP ports that thralld opens"},
	"tcp_keepalive": {[]kind{kindTCP, kindInherited}, "is for TCP"},
	"ipv6":          {[]kind{kindTCP}, "is for TCP ports that thralld opens"},
}

// table is the listener as a table of the configuration.
func (l *Listener) table() Table {
	kind, _ := findIn(Tables(), "listener")
	return Table{keys: kind.Keys, values: reflect.ValueOf(l).Elem()}
}

// idle lists the keys that have another value than their default and mean nothing for
// the address.
func (l *Listener) idle() (names []string) {
	var defaults Listener
	defaults.table().setDefaults()
	for _, k := range l.table().keys {
		c, limited := concerns[k.Name]
		if limited && !slices.Contains(c.kinds, l.kind()) && l.table().Value(k.Name) != defaults.table().Value(k.Name) {
			names = append(names, k.Name)
		}
	}
	return names
}

// judge finds what would be read and do nothing.
func (l *Listener) judge() map[string]string {
	if l.Address == "" {
		return nil
	}
	problems := map[string]string{}
	for _, name := range l.idle() {
		problems[name] = concerns[name].what + ", which " + got(l.Address) + " is not; remove it"
	}
	return problems
}

// topLevel names the keys of the whole file that are those of a [[listener]] for all
// other addresses.
var topLevel = map[string]string{
	"mode": "socket_mode", "owner": "socket_owner", "group": "socket_group",
	"backlog": "backlog", "reuse_port": "reuse_port", "tcp_keepalive": "tcp_keepalive", "proxy_protocol": "proxy_protocol",
	"ssl": "ssl",
}

// Listeners returns everything to listen on, at least one: Listen and Listener if they
// have any, else Socket if it is set, else Host and Port. An address with a slash is the
// path of a unix socket, one that begins with @ is an abstract unix socket, fd:N and
// systemd:NAME were handed over, all others are HOST:PORT for TCP, where an empty HOST
// is every address. What does not concern an address has its default.
func (c *Config) Listeners() []Listener {
	var list []Listener
	for _, address := range c.addresses() {
		l := Listener{
			Address: address, Mode: c.SocketMode, Owner: c.SocketOwner, Group: c.SocketGroup,
			Backlog: c.Backlog, ReusePort: c.ReusePort, TCPKeepalive: c.TCPKeepalive, ProxyProtocol: c.ProxyProtocol, SSL: c.SSL, IPv6: true,
		}
		var defaults Listener
		defaults.table().setDefaults()
		for _, name := range l.idle() {
			k, _ := findIn(l.table().keys, name)
			l.table().set(k, defaults.table().Value(name))
		}
		list = append(list, l)
	}
	list = append(list, c.Listener...)
	for i := range list {
		list[i].IPv6 = list[i].IPv6 && c.IPv6
	}
	return list
}

// SpeaksTLS reports whether a listener does.
func (c *Config) SpeaksTLS() bool {
	return slices.ContainsFunc(c.Listeners(), func(l Listener) bool { return l.SSL })
}

// addresses are those to listen on that are in no table.
func (c *Config) addresses() []string {
	switch {
	case len(c.Listen) > 0 || len(c.Listener) > 0:
		return c.Listen
	case c.Socket != "":
		return []string{c.Socket}
	default:
		host := strings.TrimSuffix(strings.TrimPrefix(c.Host, "["), "]")
		return []string{net.JoinHostPort(host, strconv.Itoa(c.Port))}
	}
}

// ListenerOrigin says where a key of one of [Config.Listeners] was set, and what it is
// called there: the owner of an address in listen is socket_owner.
func (c *Config) ListenerOrigin(i int, key string) (origin, name string) {
	if table := i - len(c.addresses()); table >= 0 {
		kind, _ := findIn(Tables(), "listener")
		return c.Tables(kind)[table].Origin(key), key
	}
	name = topLevel[key]
	if key == "address" {
		name = "listen"
		if len(c.Listen) == 0 {
			name = "socket"
		}
	}
	return c.Origin(name), name
}

// agreeOnListeners notes keys of the whole file that mean no address at all, as all are in
// tables, which have such keys of their own.
func (l *loader) agreeOnListeners() {
	if len(l.cfg.addresses()) > 0 {
		return
	}
	defaults := Default()
	for _, name := range slices.Sorted(maps.Values(topLevel)) {
		if l.cfg.Value(name) != defaults.Value(name) {
			l.mistakes = append(l.mistakes, l.cfg.mistaken(name,
				"is for listen, socket, host and port, and all addresses are in [[listener]]; write it below those that it is for"))
		}
	}
}
