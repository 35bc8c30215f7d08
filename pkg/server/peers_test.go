package server

import (
	"net"
	"net/netip"
	"testing"
)

func TestPeersAreFoundByAddressNetworkAndWord(t *testing.T) {
	for _, test := range []struct{ set, in, out string }{
		{"192.0.2.1", "192.0.2.1 ::ffff:192.0.2.1", "192.0.2.2 ::1"},
		{"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"10.0.0.0/8", "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3", "9.255.255.255 11.0.0.0 ::a00:1"},
		{"10.1.2.3/8", "10.9.9.9", "11.0.0.0"},
		{"2001:db8::/32", "2001:db8:ffff::1", "2001:db9:: 32.1.13.184"},
		{"fe80::/10", "fe80::1%eth0", "fec0::1"},
		{"0.0.0.0/0", "192.0.2.1 ::ffff:192.0.2.1", "2001:db8::1"},
		{"loopback", "127.0.0.1 127.255.0.1 ::1", "128.0.0.1 10.0.0.1"},
		{"private", "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fd00::1", "172.32.0.1 127.0.0.1 169.254.1.1 192.0.2.1"},
		{"unix", "", "127.0.0.1 ::1 0.0.0.0"},
	} {
		p, err := parsePeers([]string{test.set})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			addrs string
			in    bool
		}{{test.in, true}, {test.out, false}} {
			for _, text := range words(want.addrs) {
				addr := netip.MustParseAddr(text)
				if p.has(addr) != want.in || p.hasEnd(net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 1))) != want.in {
					t.Errorf("%s has %s: want %v", test.set, text, want.in)
				}
			}
		}
		if p.hasEnd(&net.UnixAddr{Net: "unix"}) != (test.set == "unix") {
			t.Errorf("%s and unix peers", test.set)
		}
	}
}

func TestEmptySetHasNobody(t *testing.T) {
	p, err := parsePeers(nil)
	if err != nil || p != nil || p.has(netip.MustParseAddr("127.0.0.1")) || p.hasEnd(&net.UnixAddr{}) || p.hasEnd(&net.TCPAddr{}) {
		t.Errorf("%v, %v", p, err)
	}
}

func TestMalformedPeersAreRefused(t *testing.T) {
	for _, word := range []string{
		"", "localhost", "example.org", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "1.2.3.4:80", "[::1]", "fe80::1%eth0",
		"fe80::1%eth0/64", "::ffff:10.0.0.0/104", "Unix", "10.0.0.1 ", "*", "all",
	} {
		if _, err := parsePeers([]string{"127.0.0.1", word}); err == nil {
			t.Errorf("%q is taken", word)
		}
	}
}
