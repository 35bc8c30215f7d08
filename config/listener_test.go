package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListenersHaveWhatConcernsThem(t *testing.T) {
	cfg := load(t, write(t, `
listen = [":80", "/run/a.sock", "@a", "fd:3", "systemd:web"]
socket_mode = "600"
socket_owner = "web"
socket_group = "www"
backlog = 9
reuse_port = true
tcp_keepalive = 0

[[listener]]
address = ":81"

[[listener]]
address = "/run/b.sock"
mode = "0666"
group = "33"
`))
	fifteen := seconds(15)
	want := []Listener{
		{Address: ":80", Backlog: 9, ReusePort: true, IPv6: true},
		{Address: "/run/a.sock", Mode: "600", Owner: "web", Group: "www", Backlog: 9, TCPKeepalive: fifteen, IPv6: true},
		{Address: "@a", Backlog: 9, TCPKeepalive: fifteen, IPv6: true},
		{Address: "fd:3", IPv6: true},
		{Address: "systemd:web", IPv6: true},
		{Address: ":81", TCPKeepalive: fifteen, IPv6: true},
		{Address: "/run/b.sock", Mode: "0666", Group: "33", TCPKeepalive: fifteen, IPv6: true},
	}
	if diff := cmp.Diff(want, cfg.Listeners()); diff != "" {
		t.Error(diff)
	}
	for i, inherited := range []bool{false, false, false, true, true, false, false} {
		if got := want[i].HandedOver(); got != inherited {
			t.Errorf("%s was handed over: %v", want[i].Address, got)
		}
	}
}

func TestNoListenerTakesIPv6WhenItIsOff(t *testing.T) {
	file := write(t, "listen = [':80']\nipv6 = false\n[[listener]]\naddress = ':81'\nipv6 = true\n")
	for _, l := range load(t, file).Listeners() {
		if l.IPv6 {
			t.Errorf("%s does", l.Address)
		}
	}
	file = write(t, "listen = [':80']\n[[listener]]\naddress = ':81'\nipv6 = false\n")
	if all := load(t, file).Listeners(); !all[0].IPv6 || all[1].IPv6 {
		t.Errorf("only the first one does: got %+v", all)
	}
}

func TestKeyThatDoesNothingForAnAddressIsRefused(t *testing.T) {
	file := write(t, `
[[listener]]
address = "127.0.0.1:80"
mode = "660"
owner = "web"
backlog = 10

[[listener]]
reuse_port = true
tcp_keepalive = 0
address = "/run/a.sock"

[[listener]]
address = "systemd:web"
group = "web"
backlog = 10
reuse_port = true
ipv6 = false
tcp_keepalive = 5
`)
	refused(t, file+`:4: mode: is for unix sockets at a path, which "127.0.0.1:80" is not; remove it
`+file+`:5: owner: is for unix sockets at a path, which "127.0.0.1:80" is not; remove it
`+file+`:9: reuse_port: is for TCP ports that thralld opens, which "/run/a.sock" is not; remove it
`+file+`:10: tcp_keepalive: is for TCP, which "/run/a.sock" is not; remove it
`+file+`:15: group: is for unix sockets at a path, which "systemd:web" is not; remove it
`+file+`:16: backlog: is for sockets that thralld opens, which "systemd:web" is not; remove it
`+file+`:17: reuse_port: is for TCP ports that thralld opens, which "systemd:web" is not; remove it
`+file+`:18: ipv6: is for TCP ports that thralld opens, which "systemd:web" is not; remove it`, file)
}

func TestSettingOfTheWholeFileThatConcernsNoAddressIsRefused(t *testing.T) {
	file := write(t, "backlog = 3\nsocket_mode = '600'\n[[listener]]\naddress = ':80'\n")
	const why = "is for listen, socket, host and port, and all addresses are in [[listener]]; write it below those that it is for"
	refused(t, file+":1: backlog: "+why+"\n"+file+":2: socket_mode: "+why, file)
	if _, err := Load(file, []Setting{{Key: "port", Value: "81", Origin: "--port"}}); err != nil {
		t.Errorf("with a port on the command line: %v", err)
	}
}

func TestOriginOfAListenerIsThatOfItsKey(t *testing.T) {
	file := write(t, "listen = [':80', '/run/a']\nsocket_owner = 'web'\n[[listener]]\naddress = '/run/b'\nowner = 'web'\n")
	cfg := load(t, file)
	for _, test := range []struct {
		i                 int
		key, origin, name string
	}{
		{1, "owner", file + ":2", "socket_owner"},
		{1, "address", file + ":1", "listen"},
		{2, "owner", file + ":5", "owner"},
		{2, "address", file + ":4", "address"},
		{2, "group", "default", "group"},
	} {
		if origin, name := cfg.ListenerOrigin(test.i, test.key); origin != test.origin || name != test.name {
			t.Errorf("%s of listener %d: got %s, %s", test.key, test.i, origin, name)
		}
	}
	cfg = load(t, "", Setting{Key: "socket", Value: "/run/c", Origin: "--socket"})
	if origin, name := cfg.ListenerOrigin(0, "address"); origin != "--socket" || name != "socket" {
		t.Errorf("got %s, %s", origin, name)
	}
}
