package main

import (
	"errors"
	"io/fs"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/server"
)

// listeners is what a configuration says to listen on, with the numbers of the users and
// groups that it names. The error is of all that this machine does not know.
func listeners(cfg *config.Config, here accounts) ([]server.Listener, error) {
	configured := cfg.Listeners()
	list := make([]server.Listener, len(configured))
	var errs []error
	for i, l := range configured {
		mode, _ := strconv.ParseUint(l.Mode, 8, 32) // the configuration has checked it
		list[i] = server.Listener{Address: l.Address, ListenOptions: server.ListenOptions{
			IPv6:      l.IPv6,
			Backlog:   l.Backlog,
			ReusePort: l.ReusePort,
			KeepAlive: time.Duration(l.TCPKeepalive),

			ProxyProtocol: l.ProxyProtocol,
			TLS:           l.SSL,
			Access:        server.Access{Mode: fs.FileMode(mode)},
		}}
		var ok bool
		if list[i].Owner, ok = here.owner(l.Owner); !ok {
			errs = append(errs, unknownTo(cfg, i, "owner", "user", l.Owner))
		}
		if list[i].Group, ok = here.ownerGroup(l.Group); !ok {
			errs = append(errs, unknownTo(cfg, i, "group", "group", l.Group))
		}
	}
	return list, errors.Join(errs...)
}

// owner finds the number of a user; one that the machine does not know may be a number.
func (here accounts) owner(name string) (id server.ID, ok bool) {
	if name == "" {
		return id, true
	}
	text := name
	if u, err := here.user(name); err == nil {
		text = u.Uid
	}
	id.Number, id.Given = number(text)
	return id, id.Given
}

// ownerGroup is owner for a group.
func (here accounts) ownerGroup(name string) (id server.ID, ok bool) {
	if name == "" {
		return id, true
	}
	text := name
	if g, err := here.group(name); err == nil {
		text = g.Gid
	}
	id.Number, id.Given = number(text)
	return id, id.Given
}

// unknownTo is the mistake of a listener whose socket is to be somebody's whom the
// machine does not know.
func unknownTo(cfg *config.Config, i int, key, what, name string) error {
	origin, key := cfg.ListenerOrigin(i, key)
	return mistakenAt(origin, key, "no %s named %s on this machine", what, name)
}

// handedOver takes over the sockets that systemd has handed to this process, if it has
// (LISTEN_FDS), and removes the variables that tell of them.
func handedOver() ([]server.HandedOver, error) {
	return server.Adopt(activation.Files(true))
}
