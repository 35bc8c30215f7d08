package server

import (
	"bytes"
	"time"
)

// http1Raw is a connection of http1 on which HTTP has ended.
type http1Raw struct{ x *http1Exchange }

func (x *http1Exchange) hijack() (ahead []byte, client rawClient) {
	c := x.c
	c.engine.watches.stop(c)
	ahead = bytes.Clone(c.buf[c.pos:c.end])
	c.pos = c.end
	c.letGo()
	_ = c.SetReadDeadline(time.Time{}) // it may be silent for as long as it likes; TCP tells if it is gone
	return ahead, http1Raw{x}
}

func (r http1Raw) Read(p []byte) (int, error) { return r.x.c.Read(p) }

// Write fails when the client has read nothing for the server's Timeout.
func (r http1Raw) Write(p []byte) (int, error) {
	r.x.c.deadlines.write(r.x.c, r.x.set.Timeout)
	return r.x.c.send(p)
}

func (r http1Raw) linger() {
	_ = r.x.c.CloseWrite()
	_ = r.x.c.SetReadDeadline(time.Now().Add(linger)) // for who reads
}
