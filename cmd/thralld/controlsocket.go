package main

import (
	"net"
	"os"
	"syscall"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/control"
)

// listenControl opens the control socket. Where nobody chose its place, a daemon that
// cannot have it runs without: it may be the second one of the same configuration.
//
// The socket is the user's that the daemon becomes: who stops as that user must be
// able to remove it. In a folder of that user's, where root touches nothing, it is opened
// as that user.
func (d *daemon) listenControl(cfg *config.Config, who *identity) (net.Listener, error) {
	path := controlPath(d.in.file, cfg)
	l, err := control.Listen(path)
	if err == nil && who.switches {
		if err = os.Lchown(path, who.uid, who.gid); err != nil {
			_ = l.Close()
		}
	}
	if err != nil && cfg.Control == "" {
		d.log.Warn("no control socket: thralld reload, status, stop and trace cannot reach this daemon; choose one with the key control",
			zap.Error(err))
		return nil, nil
	}
	return l, err
}

// belongsTo reports whether a folder is that user's own.
func belongsTo(folder string, uid int) bool {
	info, err := os.Stat(folder)
	return err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == uid
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
