package supervisor

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkerWaitsForASlowReaderUntilSomebodyIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		leave func(s *stream, cancel, die func())
		whole bool // the reader gets what was pushed
	}{
		"the worker":         {func(_ *stream, _, die func()) { die() }, true},
		"the client":         {func(_ *stream, cancel, _ func()) { cancel() }, false},
		"who reads the body": {func(s *stream, _, _ func()) { _ = s.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				dead, pushed := make(chan struct{}), make(chan struct{})
				s := newStream(ctx, dead, func() {})
				go func() { // ends when the last piece is taken or dropped
					for range streamDepth + 3 {
						s.push([]byte("piece"))
					}
					s.end(nil)
					close(pushed)
				}()
				synctest.Wait()
				select {
				case <-pushed:
					t.Fatal("nobody waited for the reader")
				default:
				}
				test.leave(s, cancel, func() { close(dead) })
				<-pushed
				pieces := 0
				for {
					if _, err := s.Next(); err != nil {
						if test.whole && !errors.Is(err, io.EOF) {
							t.Errorf("at the end: %v", err)
						}
						break
					}
					pieces++
				}
				if test.whole && pieces != streamDepth+3 {
					t.Errorf("%d pieces, want %d", pieces, streamDepth+3)
				}
			})
		})
	}
}

func TestRequestThatAStoppedWorkerDoesNotReadIsRunByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2)
		h.train(20 * time.Microsecond)
		close(h.workers[0].died) // it reads no more, and nobody knows
		began := time.Now()
		h.serve("a", time.Microsecond)
		if took := time.Since(began); took > lonePatience+patience {
			t.Errorf("answered after %v", took)
		}
		began = time.Now()
		h.serve("b", time.Microsecond)
		if took := time.Since(began); took > patience/2 {
			t.Errorf("the next one was answered after %v", took)
		}
		h.expectRan("1:a", "1:b")
	})
}

func TestResponseThatCrossesTheClientsLeavingIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 1)
		ctx, leave := context.WithCancel(t.Context())
		outcome := h.order(ctx, "streams", time.Hour)
		s := h.workers[0].slot
		h.dispatcher.mu.Lock()
		c := s.sent[0]
		h.dispatcher.mu.Unlock()
		leave()
		<-outcome //nolint:errcheck // it is the client's leaving
		h.workers[0].answer(c.id, 0, time.Microsecond)
		c.stream.push(make([]byte, 1))
		for range 2 * streamDepth { // would wait for ever if anybody were expected to read
			c.stream.push(make([]byte, 1))
		}
	})
}

func TestCloseEndsWhoWaitsForThePieceOfAStream(t *testing.T) {
	abandoned := 0
	s := newStream(context.Background(), nil, func() { abandoned++ })
	ended := make(chan error, 1)
	go func() { // ends with Close
		_, err := s.Next()
		ended <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the body looks complete: %v", err)
	}
	if abandoned != 1 {
		t.Errorf("abandoned %d times", abandoned)
	}
}
