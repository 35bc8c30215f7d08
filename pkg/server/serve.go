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

// task is one request on its way through the server.
type task struct {
	set      *settings // those in force when it began
	x        exchange
	id       string
	start    time.Time
	informer informer

	unread bool // the body, or a part of it, is still to come
	begun  bool // the response's head is out
	failed bool // the app did, and the response stands in for its own
	status int

	worker, generation int // who answered; zero while nobody has
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
	t := &task{set: set, x: x, id: s.ids.next(), start: time.Now(), unread: x.request().length != 0}
	defer set.access.watch(t)()
	t.informer.x = t.x
	err := t.attempt(ctx)
	t.informer.close()
	t.report(err)
	switch {
	case err == nil:
		return true
	case errors.Is(err, errClientLeft):
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
	at, err := locate(r, t.set.mount)
	if err != nil {
		return err
	}
	p, _ := parcels.Get().(*parcel)
	b, err := t.set.receiver.receive(t.x, &p.buf)
	if err != nil {
		return err
	}
	defer b.discard()
	t.unread = false

	p.req = psgi.Request{
		ID: t.id, Line: requestLine(r.method, at.uri), Env: p.req.Env,
		Body: b.inline, SpoolFile: b.file, Inform: t.informer.inform,
	}
	p.req.Env.Reset()
	environ(&p.req.Env, r, at, call{id: t.id, software: t.set.software, received: b.size})
	resp, err := t.set.App.Call(ctx, &p.req)
	if err != nil {
		return gone(ctx, err) // p is not used again: the call may not have let go of it
	}
	if err := t.respond(ctx, resp); err != nil {
		return err
	}
	parcels.Put(p)
	return nil
}

// parcel is what a request is packed in for the app; they are used again.
type parcel struct {
	req psgi.Request
	buf []byte
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

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
