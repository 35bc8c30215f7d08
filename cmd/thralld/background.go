package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/thralld/thralld/config"
)

// backgroundVariable is set for a daemon in the background: it holds the number of
// the descriptor on which its parent waits for the byte served.
const backgroundVariable = "THRALLD_BACKGROUND"

const served = 1

// checkBackground says what does not go together with daemonize.
func checkBackground(cfg *config.Config) error {
	if !cfg.Daemonize {
		return nil
	}
	if cfg.ErrorLog == "" || stream(cfg.ErrorLog) != nil {
		return mistaken(cfg, "daemonize", "needs error_log = \"FILE\", or the log would be lost")
	}
	if stream(cfg.AccessLog) == os.Stdout {
		return mistaken(cfg, "access_log", "got %q, which leads nowhere with daemonize; want a file, or stderr for error_log", cfg.AccessLog)
	}
	for i, l := range cfg.Listeners() {
		if l.HandedOver() {
			origin, _ := cfg.ListenerOrigin(i, "address")
			return mistaken(cfg, "daemonize", "the listener %s (%s) was handed over by a process that watches this one; leave daemonize to it",
				l.Address, origin)
		}
	}
	return nil
}

// goBackground starts this program again, as a daemon in a session of its own, and
// blocks until it serves. It returns an error, an exitStatus if the daemon has said
// why, when it has ended before. What the daemon says until it serves goes to this
// process's standard error; a graceful or forced stop is passed on.
//
// The daemon keeps the environment and the working directory: unlike others it does
// not go to /, as an app may look for its files where it was started.
func goBackground(ctx context.Context, force <-chan struct{}) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("go into the background: %w", err)
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("go into the background: %w", err)
	}
	defer ours.Close()
	daemon := &exec.Cmd{
		Path:        program,
		Args:        os.Args,
		Env:         append(os.Environ(), backgroundVariable+"=3"), // the first of ExtraFiles
		Stderr:      os.Stderr,
		ExtraFiles:  []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = daemon.Start()
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("go into the background: %w", err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go passOn(ctx, force, daemon.Process, ended) // ends with goBackground
	if n, _ := ours.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	return outcomeOf(daemon.Wait())
}

// passOn passes the wish to stop on to the daemon, as long as it is waited for.
func passOn(ctx context.Context, force <-chan struct{}, daemon *os.Process, ended <-chan struct{}) {
	for _, stop := range []<-chan struct{}{ctx.Done(), force} {
		select {
		case <-stop:
			_ = daemon.Signal(syscall.SIGTERM) // it may have ended
		case <-ended:
			return
		}
	}
}

// outcomeOf makes an error of how a daemon ended that has not come to serve.
func outcomeOf(err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return errors.New("stopped before it served")
	case errors.As(err, &exit) && exit.Exited():
		return exitStatus(exit.ExitCode())
	}
	return fmt.Errorf("the daemon ended before it served: %w", err)
}

// An exitStatus is the error of a command that has said already what is wrong.
type exitStatus int

func (e exitStatus) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// waitingParent returns where to tell a parent that the daemon serves, or nil
// without one. The variable is of no concern to anybody else.
func waitingParent() *os.File {
	text := os.Getenv(backgroundVariable)
	_ = os.Unsetenv(backgroundVariable) // fails for names that are none
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= syscall.Stderr {
		return nil
	}
	return os.NewFile(uintptr(fd), "parent")
}
