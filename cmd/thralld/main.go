package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// stdio is where a command writes.
type stdio struct {
	out, err    io.Writer
	terminal    bool     // err is a terminal
	outTerminal bool     // out is a terminal
	parent      *os.File // who waits until the daemon serves; nil: nobody, it is in front
}

// stopping is how a command learns that it shall end.
type stopping struct {
	graceful context.Context  // done: finish what is running
	force    <-chan struct{}  // closed: end at once
	others   <-chan os.Signal // those that ask for something else; nil in tests
	reopen   <-chan os.Signal // what asks for the log files to be opened anew; nil in tests
}

func main() {
	// Whoever reads the log may go away: then a write of it fails, and no more. A
	// handler does it, as an ignored signal would be ignored in the workers, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	streams := stdio{os.Stdout, os.Stderr, term.IsTerminal(int(os.Stderr.Fd())), term.IsTerminal(int(os.Stdout.Fd())), waitingParent()}
	os.Exit(run(stopSignals(), os.Args[1:], os.Environ(), streams))
}

// stopSignals turns the first TERM, INT or QUIT into a graceful stop, and the
// second into one at once, and passes the others on that mean something.
func stopSignals() stopping {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	ctx, cancel := context.WithCancel(context.Background())
	force := make(chan struct{})
	go relay(signals, cancel, force) // ends after the second signal, or with the process
	others := make(chan os.Signal, 16)
	signal.Notify(others, syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU)
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGUSR1)
	return stopping{ctx, force, others, reopen}
}

func relay(signals <-chan os.Signal, graceful context.CancelFunc, force chan<- struct{}) {
	<-signals
	graceful()
	<-signals
	close(force)
}
