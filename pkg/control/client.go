package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// patience is how long a client waits for what a daemon answers at once.
const patience = 10 * time.Second

// A Client is connected to a daemon, for one request: one of its methods is called
// once, and then Close.
type Client struct {
	conn  net.Conn
	lines *bufio.Reader
	pid   int // of the daemon, or 0 if the kernel does not tell
}

// Dial connects to the first of the paths where a daemon listens. The error is for
// people: it says that there is none, or why it may not be spoken to.
func Dial(paths ...string) (*Client, error) {
	var hidden []string
	for _, path := range paths {
		conn, err := (&net.Dialer{Timeout: patience}).Dial("unix", path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
			continue
		case errors.Is(err, fs.ErrPermission) && isHidden(path):
			hidden = append(hidden, path)
			continue
		case err != nil:
			return nil, refused(path, err)
		}
		c := &Client{conn: conn, lines: bufio.NewReader(conn)}
		if peer, err := unixsocket.Peer(conn); err == nil {
			c.pid = int(peer.Pid)
		}
		return c, nil
	}
	return nil, nobody(paths, hidden)
}

// isHidden reports whether a path is in a folder that may not be looked into.
func isHidden(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrPermission)
}

// nobody says that nothing listens on the paths, of which this user may not look
// at those that are hidden.
func nobody(paths, hidden []string) error {
	seen := slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return slices.Contains(hidden, path) })
	const none = "no thralld is running with this configuration"
	switch {
	case len(hidden) == 0:
		return fmt.Errorf("%s: nothing listens on %s; if another user runs it, ask as that user, or say where with --control",
			none, strings.Join(seen, ", nor on "))
	case len(seen) == 0:
		return fmt.Errorf("no permission to look at %s, where thralld would listen", strings.Join(hidden, " and "))
	}
	return fmt.Errorf("%s that this user may see: nothing listens on %s, and %s is hidden from it", none,
		strings.Join(seen, ", nor on "), strings.Join(hidden, " and "))
}

// refused says why somebody who listens, or may, cannot be spoken to.
func refused(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to talk to the thralld at %s: only root and the user it runs as may%s", path, owner(path))
	case len(path) > unixsocket.Longest:
		return fmt.Errorf("control socket %s: the path has %d bytes, and the kernel takes %d", path, len(path), unixsocket.Longest)
	}
	return fmt.Errorf("connect to control socket %s: %w", path, unixsocket.Reason(err))
}

// owner says whose a file is, if that can be seen.
func owner(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", and it belongs to the user with the id %d", info.Sys().(*syscall.Stat_t).Uid)
}

// Close ends the connection. A reload that has begun goes on.
func (c *Client) Close() error { return c.conn.Close() }

// Reload has the daemon read its configuration and code anew, and returns when all
// its workers are replaced. It calls progress, unless that is nil, as they are. The
// error is the daemon's when the reload failed or was rolled back; it is ctx's when
// that ended first, and the reload goes on. With noWait it returns at once, and
// only the daemon's log and its status tell how it went.
func (c *Client) Reload(ctx context.Context, noWait bool, progress func(Progress)) error {
	return c.ask(ctx, request{Do: "reload", NoWait: noWait}, func(a answer) {
		if a.Progress != nil && progress != nil {
			progress(*a.Progress)
		}
	})
}

// Status asks the daemon what it does. It waits for at most ten seconds.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, c.unanswered(patience))
	defer cancel()
	var status Status
	err := c.ask(ctx, request{Do: "status"}, func(a answer) {
		if a.Status != nil {
			status = *a.Status
		}
	})
	return status, err
}

// Trace asks where the worker with that process id is in its Perl code. It waits
// for at most forty seconds.
func (c *Client) Trace(ctx context.Context, pid int) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, traceTime+patience, c.unanswered(traceTime+patience))
	defer cancel()
	var text string
	err := c.ask(ctx, request{Do: "trace", PID: pid}, func(a answer) { text += readable(a.Trace) })
	return text, err
}

// Stop has the daemon stop, and returns its process id when it has ended. That
// takes as long as its requests do, and no longer than its stop_timeout. When ctx
// ends first the error is ctx's, and the stop goes on.
func (c *Client) Stop(ctx context.Context) (pid int, err error) {
	heard := false
	err = c.ask(ctx, request{Do: "stop"}, func(a answer) {
		heard = true
		pid = a.PID
	})
	if heard && errors.Is(err, errEnded) {
		err = nil
	}
	return pid, err
}

var errEnded = errors.New("thralld ended before it had answered")

// ask sends a request, and calls heard with each line of the answer until the last
// one, whose error it returns.
func (c *Client) ask(ctx context.Context, r request, heard func(answer)) error {
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })() // wakes what follows
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// A daemon that does not want to hear it has closed, and left its reason.
	_, _ = c.conn.Write(append(line, '\n'))
	for {
		line, err := c.lines.ReadBytes('\n')
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return errEnded
		case err != nil:
			return fmt.Errorf("read the answer of thralld: %w", err)
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("the answer is not understood, is it a thralld that listens there? %w", err)
		}
		if a.Error != "" {
			return errors.New(readable(a.Error))
		}
		heard(a)
		if a.Done {
			return nil
		}
	}
}

func (c *Client) unanswered(after time.Duration) error {
	who := "thralld"
	if c.pid != 0 {
		who = fmt.Sprintf("thralld (process %d)", c.pid)
	}
	return fmt.Errorf("%s has not answered within %v; one that is starting answers when its app is loaded", who, after)
}
