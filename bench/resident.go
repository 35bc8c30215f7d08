package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	settleLimit = 30 * time.Second
	settleStep  = 300 * time.Millisecond
	settled     = 0.005 // so small a change of memory is none
)

// loadedMemory measures all processes of a server with ten workers of a framework, the app loaded once
// and loaded by each.
func loadedMemory(ctx context.Context, j *job) (figures, error) {
	result := figures{}
	for _, way := range []struct {
		metric  metric
		loading loading
	}{{loadedOnce, loadOnce}, {loadedEach, loadEach}} {
		err := j.with(ctx, func(at *place) { at.loading = way.loading }, func(s *server) error {
			if _, err := s.settle(ctx); err != nil {
				return err
			}
			if seen := requests(s, 10, 300); seen.failed > 0 {
				return fmt.Errorf("%d requests failed: %w", seen.failed, seen.err)
			}
			bytes, err := s.settle(ctx)
			result[way.metric] = bytes / 1e6
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return result, nil
}

// settle waits until the server uses no more and no less memory, as when all workers have loaded the
// app, and returns how much.
func (s *server) settle(ctx context.Context) (float64, error) {
	deadline := time.Now().Add(settleLimit)
	last, same := 0.0, 0
	for {
		bytes, err := memory(tree(s.command.Process.Pid))
		if err != nil {
			return 0, err
		}
		if same++; math.Abs(bytes-last) > settled*bytes {
			same = 0
		}
		if last = bytes; same == 3 {
			return bytes, nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("its memory does not settle in %s", settleLimit)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(settleStep):
		}
	}
}
