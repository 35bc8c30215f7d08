package main

import (
	"io/fs"
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
// able to remove it. In a folder that others than root can change, where root touches
// nothing, it is opened as that user.
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

// rootsAlone reports whether nobody but root can put another file in the place of one of
// root's in a folder. One that is not there yet will be root's.
func rootsAlone(folder string) bool {
	info, err := os.Stat(folder)
	if err != nil {
		return true
	}
	const others = 0o022
	return info.Sys().(*syscall.Stat_t).Uid == 0 && (info.Mode().Perm()&others == 0 || info.Mode()&fs.ModeSticky != 0)
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
