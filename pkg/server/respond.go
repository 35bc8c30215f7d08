package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// The ways in which a response that has begun can fail to end well.
var (
	errTooLong  = errors.New("the body is longer than its Content-Length")
	errTooShort = errors.New("the body is shorter than its Content-Length")
)

// respond sends what the app answered, and closes it. An error means that the
// answer was not sent, or not whole; once t.begun, the connection must be cut.
func (t *task) respond(ctx context.Context, resp *psgi.Response) error {
	t.worker, t.generation, t.failed = resp.Worker, resp.Generation, resp.Failed
	t.set.access.answered(t, resp)
	app := resp
	if t.set.sendfile != nil {
		var err error
		if resp, err = t.set.sendfile.follow(resp); err != nil {
			if errors.Is(err, errNoFile) {
				t.set.Log.Warn("file that the app has named is missing", t.fields()...)
			}
			return err
		}
	}
	holds := !resp.Whole // a worker, as long as not all has been taken from it
	unchunk(resp)
	body := resp.Body
	defer func() { _ = body.Close() }()

	r := t.x.request()
	method := r.method
	first, ended, err := firstPiece(method, resp)
	if err != nil {
		return gone(ctx, err)
	}
	p, err := makePlan(method, resp, first)
	if err != nil {
		return err
	}
	if len(p.dropped) > 0 {
		t.set.Log.Warn("response has what its status does not allow",
			append(t.fields(), zap.Int("status", resp.Status), zap.Strings("dropped", p.dropped))...)
	}
	if resp != app {
		p.meet(r)
	}
	if p.ranges {
		p.narrow(r, p.head.length)
	}
	if p.body = body; holds && !ended && p.head.body && resp.File == nil && p.parts == nil {
		p.box = newOutbox(body, t.set.store)
		p.body, body = p.box, p.box // from now on resp may be another one's
	}
	return t.send(ctx, &p, resp, first, ended)
}

// send sends a response as it is planned. Of its body, unless that is a file, the first piece
// has been read.
func (t *task) send(ctx context.Context, p *plan, resp *psgi.Response, first []byte, ended bool) error {
	promised := p.head.length
	coding := t.set.Compression.choose(t.x.request(), &p.head, resp.Stream)
	t.begin(p.head)
	switch {
	case !p.head.body:
		return nil
	case p.parts != nil:
		return p.sendParts(t.x, resp.File, first)
	case coding != "":
		return gone(ctx, t.compress(coding, p, promised, resp, first, ended))
	}
	return gone(ctx, p.sendBody(t.x, promised, resp, first, ended))
}

// sendBody sends a body, of which the first piece has been read. promised is what the app
// has said of its length.
func (p *plan) sendBody(x exchange, promised int64, resp *psgi.Response, first []byte, ended bool) error {
	if resp.File != nil {
		return sendFile(x, resp.File)
	}
	out := copier{x: x, box: p.box, left: promised, stream: resp.Stream}
	return out.run(p.body, first, ended)
}

// compress is sendBody through an encoder.
func (t *task) compress(coding string, p *plan, promised int64, resp *psgi.Response, first []byte, ended bool) error {
	x := compressing(t.x, coding)
	defer x.release(coding)
	if err := p.sendBody(x, promised, resp, first, ended); err != nil {
		return err
	}
	if x.end() != nil {
		return errClientLeft
	}
	return nil
}

// firstPiece reads ahead where the head may wait for it: what an app says first
// may still turn out to be a failure, and then the client gets a proper 500.
func firstPiece(method string, resp *psgi.Response) (piece []byte, ended bool, err error) {
	if resp.File != nil || !resp.Whole && (resp.Stream || method == "HEAD") {
		return nil, false, nil
	}
	piece, err = resp.Body.Next()
	if errors.Is(err, io.EOF) {
		return piece, true, nil
	}
	return piece, resp.Whole, err
}

// gone tells failures that follow from the client's leaving from others.
func gone(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errClientLeft
	}
	return err
}

// copier takes a body from the app to the client.
type copier struct {
	x      exchange
	box    *outbox // the body, unless all of it is there
	left   int64   // what the head has promised and is not yet sent; negative if nothing
	stream bool    // no piece waits for the next
}

func (c *copier) run(body psgi.Body, piece []byte, ended bool) error {
	if c.stream {
		if err := c.deliver(nil, true); err != nil {
			return err
		}
	}
	for {
		if err := c.send(piece); err != nil {
			return err
		}
		if ended {
			break
		}
		var err error
		piece, err = body.Next()
		if errors.Is(err, io.EOF) {
			ended = true
		} else if err != nil {
			return err
		}
	}
	if c.left > 0 {
		return fmt.Errorf("%w: %d bytes are missing", errTooShort, c.left)
	}
	return nil
}

// send sends a piece, or as much of it as the head has promised.
func (c *copier) send(piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	var excess error
	if c.left >= 0 {
		if int64(len(piece)) > c.left {
			piece, excess = piece[:c.left], errTooLong
		}
		c.left -= int64(len(piece))
	}
	if err := c.deliver(piece, c.stream || excess != nil); err != nil {
		return err
	}
	return excess
}

// deliver writes to the client, which may take its time.
func (c *copier) deliver(piece []byte, now bool) error {
	if c.box != nil {
		c.box.begin()
		defer c.box.end()
	}
	err := c.x.write(piece)
	if err == nil && now {
		err = c.x.flush()
	}
	if err != nil {
		return errClientLeft
	}
	return nil
}

// sendFile sends a body that is a file.
func sendFile(x exchange, f *psgi.File) error {
	n, err := x.sendFile(f)
	if err == nil && n < f.Length {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the file ends %d bytes early", errTooShort, f.Length-n)
	case err != nil:
		return errClientLeft
	}
	return nil
}

// refuse answers with the status that the table has for err.
func (t *task) refuse(err error) {
	o := outcomeOf(err)
	text := o.text()
	h := head{status: o.status, header: o.header(), length: int64(len(text))}
	h.body = t.x.request().method != "HEAD"
	h.last = t.unread || // what the client goes on sending is not read
		errors.Is(err, errMalformed) // nor what comes from one that may read HTTP in a way of its own
	t.begin(h)
	if h.body {
		_ = t.x.write([]byte(text))
	}
}

// begin adds what is the server's to a head, and sends it.
func (t *task) begin(h head) {
	if _, ok := h.header.Get("Server"); !ok && t.set.ServerSoftware != "" {
		h.header = append(h.header, psgi.Field{Name: "Server", Value: t.set.ServerSoftware})
	}
	if name := t.set.RequestIDHeader; name != "" {
		if _, ok := h.header.Get(name); !ok {
			h.header = append(h.header, psgi.Field{Name: name, Value: t.id})
		}
	}
	t.informer.close()
	t.begun, t.status = true, h.status
	t.set.access.begun(t, &h)
	t.x.begin(h)
}
