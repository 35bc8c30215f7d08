package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	slowClients = 500             // of each kind
	slowPace    = time.Second     // between two bytes
	slowLimit   = 8 * time.Second // for all to be served, as far as they will ever be
	probeLimit  = 2 * time.Second // for the answer of a probe
)

// slow measures what a probe sees while clients send and read a byte each second, and what they cost in memory.
func slow(ctx context.Context, j *job) (figures, error) {
	var result figures
	err := j.with(ctx, nil, func(s *server) error {
		crowd(ctx, s, 300*time.Millisecond).forget()
		lasts := time.Duration(j.seconds) * time.Second
		alone := probe(ctx, s, lasts)
		before, err := memory(tree(s.command.Process.Pid))
		if err != nil {
			return err
		}

		ctx, cancel := context.WithCancel(ctx)
		var clients sync.WaitGroup
		defer clients.Wait()
		defer cancel()
		answered := new(atomic.Int64)
		for range slowClients {
			clients.Go(func() { sendSlowly(ctx, s.at.address()) })
			clients.Go(func() { readSlowly(ctx, s.at.address(), answered) })
		}
		for until := time.Now().Add(slowLimit); answered.Load() < slowClients && time.Now().Before(until); {
			time.Sleep(lookEvery)
		}
		among := probe(ctx, s, lasts)
		after, err := memory(tree(s.command.Process.Pid))
		switch {
		case err != nil:
			return err
		case len(alone.latencies) == 0:
			return fmt.Errorf("no probe was answered: %w", alone.err)
		case len(among.latencies) == 0:
			return fmt.Errorf("%w: %d of %d slow readers were served after %s, and then nobody", errCannot, answered.Load(), slowClients, slowLimit)
		}
		result = figures{
			aloneP99:   milliseconds(quantile(alone.latencies, 0.99)),
			probeP99:   milliseconds(quantile(among.latencies, 0.99)),
			failures:   float64(among.failed),
			slowMemory: (after - before) / 1000 / (2 * slowClients),
		}
		return nil
	})
	return result, err
}

// probe makes one request after the other.
func probe(ctx context.Context, s *server, lasts time.Duration) *seen {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	v := newVisitor(s.at.address(), !s.peer.closes)
	v.limit = probeLimit
	defer v.leave()
	var all seen
	for ctx.Err() == nil {
		all.add(v.get("/"))
	}
	return together([]seen{all})
}

// sendSlowly sends a body, a byte at a time, until ctx ends or the server closes.
func sendSlowly(ctx context.Context, address string) {
	c, err := dialSlowly(ctx, address)
	if err != nil {
		return
	}
	defer c.Close()
	_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: "+address+"\r\nContent-Length: 1000000\r\n\r\n")
	for err == nil && pause(ctx) {
		_, err = io.WriteString(c, "x")
	}
}

// readSlowly reads a large response, a byte at a time, and counts itself when it has begun.
func readSlowly(ctx context.Context, address string, answered *atomic.Int64) {
	c, err := dialSlowly(ctx, address)
	if err != nil {
		return
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	one := make([]byte, 1)
	if _, err = io.WriteString(c, "GET /large HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err == nil {
		_, err = c.Read(one)
	}
	if err == nil {
		answered.Add(1)
	}
	for err == nil && pause(ctx) {
		_, err = c.Read(one)
	}
}

// dialSlowly connects as one does over a slow line: the kernels take in little that is not read. On the loopback they
// would hold megabytes.
func dialSlowly(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: slowLimit, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		failed := raw.Control(func(fd uintptr) {
			if err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400)
			}
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	return dialer.DialContext(ctx, "tcp", address)
}

// pause waits for the next byte's time; false: ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(slowPace):
		return true
	case <-ctx.Done():
		return false
	}
}
