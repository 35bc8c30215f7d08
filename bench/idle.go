package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	idleConnections = 10_000
	openers         = 64
	idleFailures    = 128             // so many, and the server cannot do it
	idleLimit       = 3 * time.Second // for the answer of one connection
)

// idle measures what an idle connection costs in memory, once each has had an answer.
func idle(ctx context.Context, j *job) (figures, error) {
	var result figures
	err := j.with(ctx, nil, func(s *server) error {
		crowd(ctx, s, 300*time.Millisecond).forget()
		before, err := memory(tree(s.command.Process.Pid))
		if err != nil {
			return err
		}
		all := make([]*visitor, idleConnections)
		defer func() {
			for _, v := range all {
				if v != nil {
					v.leave()
				}
			}
		}()
		open(ctx, s, all)
		kept := 0
		for _, v := range all {
			if v != nil && v.isOpen() {
				kept++
			}
		}
		if kept < idleConnections {
			return fmt.Errorf("%w: %d of %d connections were served and kept", errCannot, kept, idleConnections)
		}
		after, err := memory(tree(s.command.Process.Pid))
		result = figures{idleMemory: (after - before) / 1000 / idleConnections}
		return err
	})
	return result, err
}

// open has each visitor make a request and stay. It gives up when too many have failed.
func open(ctx context.Context, s *server, places []*visitor) {
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range openers {
		all.Go(func() {
			for ctx.Err() == nil && failed.Load() < idleFailures {
				number := int(next.Add(1)) - 1
				if number >= len(places) {
					return
				}
				v := newVisitor(s.at.address(), !s.peer.closes)
				v.limit = idleLimit
				if _, err := v.get("/"); err != nil {
					failed.Add(1)
					continue
				}
				places[number] = v
			}
		})
	}
	all.Wait()
}

// isOpen tells whether the server has kept the connection.
func (v *visitor) isOpen() bool {
	connection, ok := v.connection.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := connection.SyscallConn()
	if err != nil {
		return false
	}
	kept := false
	err = raw.Control(func(descriptor uintptr) {
		_, _, err := syscall.Recvfrom(int(descriptor), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		kept = err == syscall.EAGAIN
	})
	return err == nil && kept
}

// raiseLimit lets this process, and those that it starts, have enough open files for all connections.
func raiseLimit() error {
	const needed = idleConnections + 2000
	limit := syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("look up how many files may be open: %w", err)
	}
	if limit.Max < needed {
		limit.Max = needed // root may
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d files have to be open at a time, ulimit -Hn allows fewer: %w", needed, err)
	}
	return nil
}
