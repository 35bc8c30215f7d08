package server

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// peers is a set of those that connections come from. Nil is the empty set.
type peers struct {
	networks []netip.Prefix
	unix     bool // all that come by a unix socket
}

// The words that stand for several addresses.
var peerWords = map[string][]netip.Prefix{
	"loopback": prefixes("127.0.0.0/8", "::1/128"),
	"private":  prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"), // RFC 1918, RFC 4193
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// parsePeers makes a set of addresses, networks such as 10.0.0.0/8, and the words
// loopback, private and unix. Of no words it is nil.
func parsePeers(words []string) (*peers, error) {
	if len(words) == 0 {
		return nil, nil
	}
	p := new(peers)
	for _, word := range words {
		known, ok := peerWords[word]
		switch {
		case word == "unix":
			p.unix = true
		case ok:
			p.networks = append(p.networks, known...)
		default:
			network, err := parseNetwork(word)
			if err != nil {
				return nil, fmt.Errorf("trusted proxy %.60q: want an address, a network such as 10.0.0.0/8, loopback, private or unix", word)
			}
			p.networks = append(p.networks, network)
		}
	}
	return p, nil
}

// parseNetwork reads a network, or one address as a network of its own.
func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		network, err := netip.ParsePrefix(text)
		if err == nil && network.Addr().Is4In6() {
			err = fmt.Errorf("%s: IPv4 has its own form", text) // it would match nothing
		}
		return network.Masked(), err
	}
	addr, err := netip.ParseAddr(text)
	if err == nil && addr.Zone() != "" {
		err = fmt.Errorf("%s: a zone", text)
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen()), err
}

// has reports whether an address is in the set.
func (p *peers) has(addr netip.Addr) bool {
	if p == nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, network := range p.networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// hasEnd reports whether the set has who is at that end of a connection.
func (p *peers) hasEnd(end net.Addr) bool {
	switch end := end.(type) {
	case *net.TCPAddr:
		return p.has(end.AddrPort().Addr())
	case *net.UnixAddr:
		return p != nil && p.unix
	}
	return false
}
