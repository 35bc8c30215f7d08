package main

import (
	"context"
	"sync"
	"time"
)

// seen is what visitors have seen of a server.
type seen struct {
	latencies []time.Duration
	failed    int
	err       error // the first failure
}

func (s *seen) add(latency time.Duration, err error) {
	if err == nil {
		s.latencies = append(s.latencies, latency)
		return
	}
	s.failed++
	if s.err == nil {
		s.err = err
	}
}

// forget is for a warm-up, of which nobody wants to know.
func (s *seen) forget() {}

func together(parts []seen) *seen {
	all := &seen{}
	for _, part := range parts {
		all.latencies = append(all.latencies, part.latencies...)
		all.failed += part.failed
		if all.err == nil {
			all.err = part.err
		}
	}
	return all
}

// each runs so many visitors beside each other, and returns when all have ended.
func each(s *server, many int, visit func(number int, v *visitor)) {
	var all sync.WaitGroup
	for number := range many {
		all.Go(func() {
			v := newVisitor(s.at.address(), !s.peer.closes)
			defer v.leave()
			visit(number, v)
		})
	}
	all.Wait()
}

// visitors are how many ask at a time, where wrk does not load: fewer than there are workers.
const visitors = 8

// crowd has visitors ask for / for as long as it is told, or until ctx ends.
func crowd(ctx context.Context, s *server, lasts time.Duration) *seen {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	return crowdUntil(ctx, s)
}

// crowdUntil has visitors ask for / until ctx ends.
func crowdUntil(ctx context.Context, s *server) *seen {
	parts := make([]seen, visitors)
	each(s, visitors, func(number int, v *visitor) {
		for ctx.Err() == nil {
			parts[number].add(v.get("/"))
		}
	})
	return together(parts)
}

// requests has visitors make so many requests in all, each its share.
func requests(s *server, many, total int) *seen {
	parts := make([]seen, many)
	each(s, many, func(number int, v *visitor) {
		for range total / many {
			parts[number].add(v.get("/"))
		}
	})
	return together(parts)
}
