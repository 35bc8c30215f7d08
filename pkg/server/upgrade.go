package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/thralld/thralld/pkg/psgi"
)

// errRelayed means that the app has taken the connection over, and that it is over.
var errRelayed = errors.New("the app took the connection over")

// callOffering calls the app for a request that asks for an upgrade.
func (t *task) callOffering(ctx context.Context) error {
	x := t.x
	if t.counted.exchange != nil {
		x = t.counted.exchange
	}
	var r *relay // none where the engine has no connection to give
	call, end := context.WithCancel(ctx)
	defer end()
	if can, ok := x.(relayable); ok {
		var err error
		if r, err = offer(can, t.informer.close, end); err != nil {
			return err
		}
		t.req.Env.Set("psgix.io", r.name)
	}
	resp, err := t.set.App.Call(call, &t.req)
	switch {
	case r.withdraw():
		if err == nil { // nobody reads it: an app that goes on to stream must not wait for that
			t.set.access.answered(t, resp)
			_ = resp.Body.Close()
		}
		<-r.done
		t.begun, t.status, t.counted.bytes = true, statusUpgraded, r.sent
		return errRelayed
	case r != nil && errors.Is(err, psgi.ErrAborted):
		return fmt.Errorf("%w: the app neither answered nor wrote to psgix.io", errContract)
	case err != nil:
		return gone(ctx, err)
	}
	err = t.respond(ctx, resp)
	t.lent = err != nil
	return err
}

// statusUpgraded stands in the access log for what the app has answered by itself.
const statusUpgraded = 101

// asksForUpgrade reports whether a client wants another protocol (RFC 9110, 7.8).
func asksForUpgrade(r *request) bool {
	upgrade, ok := r.header.Get("Upgrade")
	if !ok || upgrade == "" || r.proto != "HTTP/1.1" {
		return false
	}
	for _, f := range r.header {
		if equalFold(f.Name, "connection") && hasToken(f.Value, "upgrade") {
			return true
		}
	}
	return false
}
