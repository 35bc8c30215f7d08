package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/internal/unixsocket"
)

// Daemon is what a control socket controls. Its methods may be called at the same
// time.
type Daemon interface {
	// Reload makes a new generation and returns when it has replaced all others; or
	// with the reason, Perl's own message if there is one, when it failed or was
	// rolled back. It calls report, which does not block, as it proceeds. It logs
	// its outcome, as its caller may be gone. It returns soon when ctx is done, which
	// is when the listener is closed.
	Reload(ctx context.Context, report func(Progress)) error

	// Status does not wait for anything.
	Status() Status

	// Stop asks for a graceful stop and returns at once.
	Stop()

	// Trace says where the worker with that process id is in its Perl code, or why
	// that cannot be told. ctx ends after 30 seconds.
	Trace(ctx context.Context, pid int) (string, error)
}

// Serve answers clients until the listener is closed, and then returns when their
// requests have been answered. Connections over which a stop was asked for stay
// open: they end with the process, and so tell their clients.
func Serve(l net.Listener, d Daemon, log *zap.Logger) {
	if log == nil {
		log = zap.NewNop()
	}
	newService(d, log).serve(l)
}

// A service is one control socket that is being served.
type service struct {
	daemon  Daemon
	log     *zap.Logger
	silence time.Duration
	uid     int
	peer    func(net.Conn) (uid int, err error)
	places  chan struct{} // an item for each client
	reloads chan struct{} // an item for each of them that has asked for a reload
	running sync.WaitGroup
	ctx     context.Context // done when the listener is closed
}

func newService(d Daemon, log *zap.Logger) *service {
	return &service{
		daemon:  d,
		log:     log,
		silence: silence,
		uid:     os.Geteuid(),
		peer:    peerUID,
		places:  make(chan struct{}, mostClients),
		reloads: make(chan struct{}, mostReloads),
	}
}

func peerUID(c net.Conn) (int, error) {
	peer, err := unixsocket.Peer(c)
	if err != nil {
		return 0, err
	}
	return int(peer.Uid), nil
}

func (s *service) serve(l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	defer s.running.Wait()
	defer cancel()
	s.ctx = ctx
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors left, for one
			if pause == 0 {
				s.log.Warn("control socket: accept failed", zap.Error(err))
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		select {
		case s.places <- struct{}{}:
			s.running.Add(1)
			go s.client(c) // ends when its request is answered, within silence if there is none
		default:
			s.refuse(c, "too many clients at a time")
		}
	}
}

// refuse tells why and closes. It does not block: so short a line has room in the
// socket of a new connection.
func (s *service) refuse(c net.Conn, why string) {
	defer c.Close()
	_ = s.tell(c, answer{Done: true, Error: why})
}

// client serves one connection.
func (s *service) client(c net.Conn) {
	defer s.running.Done()
	defer func() { <-s.places }()
	uid, err := s.peer(c)
	switch {
	case err != nil:
		s.log.Warn("control socket: client unknown", zap.Error(err))
		c.Close()
		return
	case uid != 0 && uid != s.uid:
		s.log.Warn("control socket: client refused", zap.Int("uid", uid))
		s.refuse(c, fmt.Sprintf("only root and the user of the daemon, with the id %d, are heard; yours is %d", s.uid, uid))
		return
	}
	r, err := s.read(c)
	switch {
	case err != nil:
		s.refuse(c, err.Error())
	case r.Do == "stop":
		s.stop(c)
	default:
		defer c.Close()
		s.answer(c, r)
	}
}

// read reads a request's line.
func (s *service) read(c net.Conn) (r request, err error) {
	_ = c.SetReadDeadline(time.Now().Add(s.silence)) // fails on a closed connection only
	var line []byte
	for buffer := make([]byte, mostRequest); ; {
		n, err := c.Read(buffer[len(line):])
		line = buffer[:len(line)+n]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end]
			break
		}
		switch {
		case len(line) == mostRequest:
			return r, fmt.Errorf("a request has at most %d bytes", mostRequest)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return r, fmt.Errorf("no request within %v", s.silence)
		case errors.Is(err, io.EOF):
			return r, errors.New("a request ends with a newline")
		case err != nil:
			return r, err
		}
	}
	strict := json.NewDecoder(bytes.NewReader(line))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&r); err != nil {
		return r, fmt.Errorf("the request is not understood: %w", err)
	}
	if _, err := strict.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("the request is not understood: more than one value")
	}
	return r, nil
}

// answer does what is asked and tells the outcome. A client that has gone is no
// concern of the daemon.
func (s *service) answer(c net.Conn, r request) {
	switch r.Do {
	case "status":
		status := s.daemon.Status().whole()
		_ = s.tell(c, answer{Done: true, Status: &status})
	case "reload":
		select {
		case s.reloads <- struct{}{}:
			defer func() { <-s.reloads }()
			s.reload(c, r.NoWait)
		default:
			_ = s.tell(c, answer{Done: true, Error: "too many reloads at a time"})
		}
	case "trace":
		ctx, cancel := context.WithTimeout(s.ctx, traceTime)
		defer cancel()
		text, err := s.daemon.Trace(ctx, r.PID)
		_ = s.tell(c, outcome(answer{Trace: text}, err))
	default:
		_ = s.tell(c, answer{Done: true, Error: fmt.Sprintf("the request is not understood: do %q", r.Do)})
	}
}

// reload has the daemon reload. The client is told of the progress as far as it
// keeps up.
func (s *service) reload(c net.Conn, noWait bool) {
	if noWait {
		_ = s.tell(c, answer{Done: true})
		c.Close()
		_ = s.daemon.Reload(s.ctx, func(Progress) {}) // it logs its outcome
		return
	}
	progress, ended := make(chan Progress, 1), make(chan error, 1)
	go s.runReload(progress, ended) // ends when the reload has, which is waited for below
	for latest := progress; ; {
		select {
		case p := <-latest:
			if s.tell(c, answer{Progress: &p}) != nil {
				latest = nil // it is gone, and needs to know no more
			}
		case err := <-ended:
			select {
			case p := <-latest:
				_ = s.tell(c, answer{Progress: &p})
			default:
			}
			_ = s.tell(c, outcome(answer{}, err))
			return
		}
	}
}

// runReload keeps the latest progress only, so that no client holds up a reload.
func (s *service) runReload(latest chan Progress, ended chan<- error) {
	var one sync.Mutex
	ended <- s.daemon.Reload(s.ctx, func(p Progress) {
		one.Lock()
		defer one.Unlock()
		select {
		case <-latest:
		default:
		}
		latest <- p // there is room: nobody else sends
	})
}

// stop has the daemon stop, and keeps the connection open.
func (s *service) stop(c net.Conn) {
	_ = s.tell(c, answer{PID: os.Getpid()})
	go keepOpen(c) // ends when the client leaves, else with the process
	s.daemon.Stop()
}

// keepOpen closes a connection when its client does.
func keepOpen(c net.Conn) {
	_ = c.SetReadDeadline(time.Time{}) // fails on a closed connection only
	_, _ = io.Copy(io.Discard, c)
	c.Close()
}

func outcome(a answer, err error) answer {
	a.Done = true
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// tell sends a line. A client that does not take it is as good as gone.
func (s *service) tell(c net.Conn, a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_ = c.SetWriteDeadline(time.Now().Add(s.silence)) // fails on a closed connection only
	_, err = c.Write(append(line, '\n'))
	return err
}
