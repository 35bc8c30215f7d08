package server

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestRequestIDIsTheSameEverywhere(t *testing.T) {
	ids := make(chan string, 2)
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		ids <- req.ID
		ids <- req.Env.Map()["thralld.request_id"]
		return whole(200, ""), nil
	}))
	s.dial().get("/").wantStatus(t, 200)
	id := <-ids
	if inEnv := <-ids; len(id) < 16 || inEnv != id {
		t.Errorf("ID %q, in the environment %q", id, inEnv)
	}
	if got := s.logged("request served").ContextMap()["request_id"]; got != id {
		t.Errorf("logged %q, want %q", got, id)
	}
}

func TestRequestIDsAreUnique(t *testing.T) {
	a, b := newRequestIDs(), newRequestIDs()
	seen := make(map[string]bool)
	for range 1000 {
		seen[a.next()], seen[b.next()] = true, true
	}
	if len(seen) != 2000 {
		t.Errorf("%d different ones of 2000", len(seen))
	}
}

func TestEveryErrorHasItsStatus(t *testing.T) {
	for _, o := range outcomes {
		if got := outcomeOf(fmt.Errorf("wrapped: %w", o.err)); got != o {
			t.Errorf("%v: %+v, want %+v", o.err, got, o)
		}
		if o.status == 503 != (o.retry > 0) {
			t.Errorf("%v: status %d with Retry-After %d", o.err, o.status, o.retry)
		}
		if got := statusOf(refusedBy(refusal(o.err, ""))); got != o.status {
			t.Errorf("%v: reads back as %d", o.err, got)
		}
	}
	if got := statusOf(errors.New("anything else")); got != 500 {
		t.Errorf("an unknown error is a %d", got)
	}
}
