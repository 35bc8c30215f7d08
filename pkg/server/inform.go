package server

import (
	"sync"

	"github.com/thralld/thralld/pkg/psgi"
)

// informer passes informational responses on while there is nothing final. The
// app's side calls it from a goroutine of its own, at worst after the call.
type informer struct {
	mu sync.Mutex
	x  exchange // nil once the final response has begun
}

// inform sends an informational response, if the client can be sent it. Not all
// can: HTTP/1.0 has none, 101 would end HTTP, 100 is the engine's, and fields are
// held to the same rules as those of a final response.
func (i *informer) inform(status int, h psgi.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.x == nil || !informs(i.x.request().proto, status, h) {
		return
	}
	i.x.inform(status, h)
}

// open lets informational responses go to x.
func (i *informer) open(x exchange) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.x = x
}

// close returns when no informational response can be sent any more.
func (i *informer) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.x = nil
}

func informs(proto string, status int, h psgi.Header) bool {
	const anyFinal = 200 // Check knows only final statuses
	if proto == "HTTP/1.0" || status <= 101 || status > 199 || h.Check(anyFinal) != nil {
		return false
	}
	for _, f := range h {
		if isConnectionField(f.Name) {
			return false
		}
	}
	return true
}
