package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 20 * time.Second // for a server to answer for the first time
	stopLimit  = 5 * time.Second  // for one to end; then it is killed
	lookEvery  = time.Millisecond // while we wait for another process there is no event to wait for
)

// server is a peer that runs.
type server struct {
	peer    *peer
	at      place
	command *exec.Cmd
	log     *os.File      // what it prints
	ended   chan struct{} // closed when its first process has ended
	began   time.Time
	// answered is the time from the start of the process to the first answer.
	answered time.Duration
}

// start starts a peer, and returns when it has answered a request. The server ends with stop, which has
// to be called.
func start(ctx context.Context, p *peer, at place) (*server, error) {
	if p.prepare != nil {
		if err := p.prepare(at); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", p.name, err)
		}
	}
	argv := p.command(at)
	log, err := os.CreateTemp("", "bench-log-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	os.Remove(log.Name())
	s := &server{peer: p, at: at, log: log, ended: make(chan struct{})}
	s.command = exec.Command(argv[0], argv[1:]...)
	s.command.Stdout, s.command.Stderr = log, log
	s.command.Env = append(environment(os.Environ()), "BENCH_FILE="+filepath.Join(at.folder, largeFile))
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us; we stop it
	s.began = time.Now()
	if err := s.command.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go s.wait() // ends when the server does, which stop sees to
	if err := s.firstAnswer(ctx); err != nil {
		err = fmt.Errorf("start %s: %w; it printed: %s", p.name, err, s.printed())
		s.stop()
		return nil, err
	}
	s.answered = time.Since(s.began)
	return s, nil
}

// environment leaves out what is about another server than the one to be started.
func environment(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "PLACK_ENV", "PLACK_SERVER", "PLACK_QUIET", "MOJO_MODE", "DANCER_ENVIRONMENT",
			"SERVER_STARTER_PORT", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET":
		default:
			kept = append(kept, variable)
		}
	}
	return kept
}

func (s *server) wait() {
	_ = s.command.Wait() // servers differ in what they say when they are told to end
	close(s.ended)
}

func (s *server) firstAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		visitor := newVisitor(s.at.address(), false)
		_, err := visitor.get("/")
		visitor.leave()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-time.After(lookEvery):
		}
	}
}

// stop ends the server with all of its processes, and returns when they are gone.
func (s *server) stop() {
	processes := tree(s.command.Process.Pid)
	_ = s.command.Process.Signal(s.peer.stop) // it may have ended by itself
	deadline := time.Now().Add(stopLimit)
	for _, p := range processes {
		for p.alive() {
			if time.Now().After(deadline) {
				_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may just have ended
			}
			time.Sleep(lookEvery)
		}
	}
	<-s.ended
	s.log.Close()
}

// printed is the end of what the server has printed.
func (s *server) printed() string {
	const most = 2000
	text := make([]byte, most)
	info, err := s.log.Stat()
	if err != nil {
		return ""
	}
	n, _ := s.log.ReadAt(text, max(0, info.Size()-most))
	return strings.TrimSpace(string(text[:n]))
}

// freePort is a port that nobody listens on, the next one each time: what closed connections leave
// behind in the kernel is about ports, and no server should inherit it from another.
func (b *bench) freePort() (int, error) {
	for range 1000 {
		b.port++
		if b.port >= b.firstPort+100 {
			b.port = b.firstPort
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err != nil {
			continue
		}
		return b.port, listener.Close()
	}
	return 0, fmt.Errorf("no free port from %d to %d", b.firstPort, b.firstPort+99)
}
