package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// Listen opens the control socket. Only its owner may connect, from the first
// moment. The folder is made, for the owner alone, when only it is missing. A
// socket that nobody listens on any more is replaced; the file is removed when the
// listener is closed, unless somebody has put another one there. The errors are
// for people: they say where, why, and who has it.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	var inUse unixsocket.InUse
	switch {
	case errors.As(err, &inUse):
		return nil, fmt.Errorf("control socket %s is in use%s: a thralld with this configuration is running already",
			path, unixsocket.By(inUse.PID))
	case err != nil:
		return nil, fmt.Errorf("open control socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	folder := filepath.Dir(path)
	if !filepath.IsAbs(path) {
		return nil, errors.New("want an absolute path")
	}
	switch err := os.Mkdir(folder, 0o700); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no folder %s to make %s in", filepath.Dir(folder), filepath.Base(folder))
	case err != nil && !errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("make folder %s: %w", folder, unixsocket.Reason(err))
	}
	if err := trusted(folder); err != nil {
		return nil, err
	}
	l, err := unixsocket.Listen(path, unixsocket.Access{Mode: 0o600})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// trusted refuses a folder of somebody else, as another user could have made
// /tmp/thralld-1000 to have the socket there under control. One whose files are
// each their owner's, as /tmp itself, will do.
func trusted(folder string) error {
	for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} { // a link, and where it leads
		info, err := look(folder)
		if err != nil {
			return unixsocket.Reason(err)
		}
		owner := info.Sys().(*syscall.Stat_t).Uid
		if owner != 0 && int(owner) != os.Geteuid() && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("folder %s belongs to another user, with the id %d, who could put another socket there", folder, owner)
		}
	}
	return nil
}
