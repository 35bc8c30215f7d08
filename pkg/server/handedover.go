package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// byName begins the address of the sockets that were handed over under a name.
const byName = "systemd:"

// HandedOver is a listening socket that systemd has opened and handed over under a
// name, as a .socket unit gives it (FileDescriptorName=). Several may have one name.
type HandedOver struct {
	Name     string
	listener *adopted
}

// Adopt takes over the sockets that systemd has handed over: the files of
// sd_listen_fds_with_names(3), each with its name. It closes the files; the sockets
// stay open with the process, whatever it listens on, and their files are never
// removed. The error names all that are not fit to listen on.
func Adopt(files []*os.File) ([]HandedOver, error) {
	var all []HandedOver
	var errs []error
	for _, f := range files {
		l, err := adopt(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("systemd has handed over %q: %w", f.Name(), err))
			continue
		}
		all = append(all, HandedOver{f.Name(), &adopted{Listener: l}})
	}
	return all, errors.Join(errs...)
}

func adopt(f *os.File) (net.Listener, error) {
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fits := false
	if err := raw.Control(func(fd uintptr) { fits = accepts(int(fd)) }); err != nil {
		return nil, err
	}
	if !fits {
		return nil, errors.New("it is no socket that listens; its unit needs ListenStream= and Accept=no")
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, cause(err)
	}
	return l, nil
}

// handedOver returns the sockets of an address, which has to have some.
func handedOver(address string, all []HandedOver) (these []*adopted, err error) {
	name := strings.TrimPrefix(address, byName)
	var names []string
	for _, h := range all {
		if h.Name == name {
			these = append(these, h.listener)
		}
		if !slices.Contains(names, h.Name) {
			names = append(names, h.Name)
		}
	}
	switch {
	case these != nil:
		return these, nil
	case names == nil:
		return nil, fmt.Errorf("listen on %s: systemd has handed no socket over; "+
			"thralld has to be started by the service of a .socket unit", address)
	}
	return nil, fmt.Errorf("listen on %s: systemd has handed over no socket of that name, but %s", address, strings.Join(names, ", "))
}

// unnamed returns an error for each socket that was handed over and that no listener
// names: its clients would wait for ever.
func unnamed(all []HandedOver, listeners []Listener) error {
	var errs []error
	for _, h := range all {
		address := byName + h.Name
		if !slices.ContainsFunc(listeners, func(l Listener) bool { return l.Address == address }) {
			errs = append(errs, fmt.Errorf("systemd has handed over %s as %q, and no listener names it; "+
				"listen on %s, too, or take it out of its .socket unit", h.listener.Addr(), h.Name, address))
		}
	}
	return errors.Join(errs...)
}
