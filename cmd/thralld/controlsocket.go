package main

import (
	"net"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/control"
)

// listenControl opens the control socket. Where nobody chose its place, a daemon that
// cannot have it runs without: it may be the second one of the same configuration.
func (d *daemon) listenControl(cfg *config.Config) (net.Listener, error) {
	l, err := control.Listen(controlPath(d.in.file, cfg))
	if err != nil && cfg.Control == "" {
		d.log.Warn("no control socket: thralld reload, status, stop and trace cannot reach this daemon; choose one with the key control",
			zap.Error(err))
		return nil, nil
	}
	return l, err
}

// serveControl answers clients of the control socket until the returned function is
// called. A nil listener has none.
func (d *daemon) serveControl(l net.Listener) (end func()) {
	if l == nil {
		return func() {}
	}
	served := make(chan struct{})
	go func() { // ends when the listener is closed
		control.Serve(l, d, d.log)
		close(served)
	}()
	return func() {
		_ = l.Close()
		<-served
	}
}
