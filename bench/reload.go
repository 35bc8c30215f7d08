package main

import (
	"context"
	"fmt"
	"time"
)

// reloading measures what visitors notice of a reload: first without one, then until all workers are new.
func reloading(limit time.Duration) func(ctx context.Context, j *job) (figures, error) {
	return func(ctx context.Context, j *job) (figures, error) { return reloadWithin(ctx, j, limit) }
}

func reloadWithin(ctx context.Context, j *job, limit time.Duration) (figures, error) {
	var result figures
	err := j.with(ctx, func(at *place) {
		at.reloads = true
		at.control = j.bench.folder + "/control"
	}, func(s *server) error {
		if _, err := s.settle(ctx); err != nil {
			return err
		}
		crowd(ctx, s, 500*time.Millisecond).forget()
		steady := crowd(ctx, s, time.Duration(j.seconds)*time.Second)

		old := tree(s.command.Process.Pid)[1:]
		done := make(chan error, 1)
		loaded, end := context.WithTimeout(ctx, limit)
		defer end()
		began := time.Now()
		took := time.Duration(0)
		go func() { // ends at the limit at the latest
			err := s.peer.reload(loaded, s)
			if err == nil {
				err = gone(loaded, old, limit)
			}
			took = time.Since(began)
			end()
			done <- err
		}()
		during := crowdUntil(loaded, s)
		if err := <-done; err != nil {
			return fmt.Errorf("reload: %w", err)
		}
		result = figures{
			reloadFailed: float64(steady.failed + during.failed),
			reloadTook:   took.Seconds(),
			steadyP99:    milliseconds(quantile(steady.latencies, 0.99)),
			reloadP99:    milliseconds(quantile(during.latencies, 0.99)),
		}
		return nil
	})
	return result, err
}

// gone waits until the processes have ended; limit is when ctx ends, to be told.
func gone(ctx context.Context, processes []process, limit time.Duration) error {
	for _, p := range processes {
		for p.alive() {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: after %s a worker from before serves on", errCannot, limit)
			case <-time.After(10 * lookEvery):
			}
		}
	}
	return nil
}
