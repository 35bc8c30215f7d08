package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// task is one request on its way through the server. Tasks are used again.
type task struct {
	set     *settings // those in force when it began
	x       exchange
	id      string
	start   time.Time
	counted counted    // x, if there is an access log
	visit   visit      // what its line says, if there is one
	told    *forwarded // what trusted proxies say of it; nil where there are none

	unread bool // the body, or a part of it, is still to come
	begun  bool // the response's head is out
	failed bool // the app did, and the response stands in for its own
	status int

	worker, generation int // who answered; zero while nobody has

	// What the app gets. While it is lent, the app's side may still look at it.
	lent     bool
	req      psgi.Request
	buf      []byte // of the body
	informer informer
}

var tasks = sync.Pool{New: func() any {
	t := new(task)
	t.req.Inform = t.informer.inform
	return t
}}

// newTask returns the task for a request that has arrived on x.
func (s *Server) newTask(set *settings, x exchange) *task {
	t, _ := tasks.Get().(*task)
	r := x.request()
	t.set, t.x, t.start = set, x, time.Now()
	t.unread = r.length != 0
	believed := set.proxies.believes(r.endpoints)
	if believed {
		t.id = givenID(r.header)
	}
	if t.id == "" {
		t.id = s.ids.next()
	}
	if believed {
		t.heed(r)
	}
	t.informer.open(x)
	if set.access != nil {
		t.counted = counted{exchange: x}
		t.x = &t.counted
	}
	return t
}

// free gives a task that has ended to the next request.
func (t *task) free() {
	if t.lent {
		return
	}
	env, buf, inform := t.req.Env, t.buf, t.req.Inform
	env.Reset()
	t.set, t.x, t.counted, t.told, t.id = nil, nil, counted{}, nil, ""
	t.begun, t.failed, t.status, t.worker, t.generation = false, false, 0, 0, 0
	t.req, t.buf = psgi.Request{Env: env, Inform: inform}, buf
	tasks.Put(t)
}

// heed takes what trusted proxies say of the request, and of what it does not take it
// tells those who look for it.
func (t *task) heed(r *request) {
	told := t.set.proxies.read(r.header, func(field, value, why string) {
		if entry := t.set.Log.Check(zap.DebugLevel, "proxy not believed"); entry != nil {
			entry.Write(append(t.fields(), zap.Stringer("peer", r.remote),
				zap.String("field", field), zap.String("value", value[max(0, len(value)-200):]), zap.String("reason", why))...)
		}
	})
	if !told.isEmpty() {
		t.told = &told
	}
}

// clientAddress is that of who sent the request, or "".
func (t *task) clientAddress() string {
	if t.told != nil && t.told.client.IsValid() {
		return t.told.client.Addr().String()
	}
	return t.x.request().remoteAddr
}

// fields returns what a log line says about the task.
func (t *task) fields() []zap.Field {
	r := t.x.request()
	fields := []zap.Field{
		zap.String("request_id", t.id), zap.String("method", r.method), zap.String("target", r.target),
	}
	if t.generation > 0 {
		fields = append(fields, zap.Int("worker", t.worker), zap.Int("generation", t.generation))
	}
	return fields
}

// serve answers one request by the settings in force when it began. It returns false when the connection must be cut: the
// response is not whole, or there is nobody to read it.
func (s *Server) serve(ctx context.Context, set *settings, x exchange) bool {
	t := s.newTask(set, x)
	whole := t.serve(ctx)
	set.access.note(t)
	t.free()
	return whole
}

func (t *task) serve(ctx context.Context) bool {
	err := t.attempt(ctx)
	t.informer.close()
	t.report(err)
	switch {
	case err == nil:
		return true
	case errors.Is(err, errClientLeft), errors.Is(err, errRelayed):
		return false
	case t.begun:
		_ = t.x.flush() // the client gets what there is
		return false
	}
	t.refuse(err)
	return true
}

// attempt takes the task through all its steps. A panic in any of them is this
// request's failure and nobody else's.
func (t *task) attempt(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			t.set.Log.Error("panic while serving", append(t.fields(),
				zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))...)
		}
	}()
	r := t.x.request()
	if r.flaw != nil {
		return r.flaw
	}
	at, err := locate(r, t.set.mount)
	if errors.Is(err, errNotMounted) { // files may be there nevertheless
		if served, failure := t.serveStatic(ctx, at); served {
			return failure
		}
	}
	if err != nil {
		return err
	}
	t.set.access.located(t, at)
	if served, err := t.serveStatic(ctx, at); served {
		return err
	}
	b, err := t.set.receiver.receive(t.x, &t.buf)
	if err != nil {
		return err
	}
	defer b.discard()
	t.unread = false

	t.req.ID, t.req.Line = t.id, requestLine(r, at.uri)
	t.req.Body, t.req.SpoolFile = b.inline, b.file
	environ(&t.req.Env, r, at, call{id: t.id, software: t.set.software, received: b.size, told: t.told, sendfile: t.set.sendfile != nil})
	t.set.access.calling(t)
	t.lent = true
	if asksForUpgrade(r) {
		return t.callOffering(ctx)
	}
	resp, err := t.set.App.Call(ctx, &t.req)
	if err != nil {
		return gone(ctx, err) // and the app's side may not have let go of the request
	}
	err = t.respond(ctx, resp)
	t.lent = err != nil
	return err
}

// report logs how a task ended.
func (t *task) report(err error) {
	log := t.set.Log
	switch {
	case err == nil && t.failed:
		log.Error("app failed", append(t.fields(), zap.Int("status", t.status))...)
	case err == nil:
		if entry := log.Check(zap.DebugLevel, "request served"); entry != nil {
			entry.Write(append(t.fields(), zap.Int("status", t.status), zap.Duration("duration", time.Since(t.start)))...)
		}
	case errors.Is(err, errClientLeft):
		log.Debug("client left", t.fields()...)
	case errors.Is(err, errRelayed):
		log.Debug("connection taken by the app is over", append(t.fields(), zap.Duration("duration", time.Since(t.start)))...)
	case t.begun:
		log.Error("response cut", append(t.fields(), zap.Int("status", t.status), zap.Error(err))...)
	case errors.Is(err, errContract):
		log.Error("app broke the contract", append(t.fields(), zap.Error(err))...)
	case statusOf(err) >= 500:
		log.Warn("request failed", append(t.fields(), zap.Int("status", statusOf(err)), zap.Error(err))...)
	default:
		log.Debug("request refused", append(t.fields(), zap.Int("status", statusOf(err)), zap.Error(err))...)
	}
}
