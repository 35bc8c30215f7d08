package server

import (
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// store is where outboxes keep what their clients have not read yet.
type store struct {
	create func() (*os.File, error) // makes a file that is gone when it is closed
	limit  int64                    // of all files together, in bytes
	log    *zap.Logger
	usage  *usage
}

// usage is what all outboxes of a server use together.
type usage struct {
	mu      sync.Mutex
	spooled int64         // bytes in files
	freed   chan struct{} // closed when there are fewer; nil: nobody waits for that
	holding int           // responses whose workers wait
	held    int64         // the same, since the server began
	told    time.Time     // when that was logged last
}

// reserve takes room for n bytes; if there is none, it returns what is closed when it is
// worth asking again.
func (s *store) reserve(n int64) (room <-chan struct{}) {
	u := s.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.spooled+n <= s.limit {
		u.spooled += n
		return nil
	}
	if u.freed == nil {
		u.freed = make(chan struct{})
	}
	return u.freed
}

// free gives room back.
func (s *store) free(n int64) {
	u := s.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	u.spooled -= n
	if n > 0 && u.freed != nil {
		close(u.freed)
		u.freed = nil
	}
}

// tellEvery is how often it is logged that workers wait for clients.
const tellEvery = time.Minute

// hold notes that a worker waits for a client, and release that it goes on. The first
// time of a response counts.
func (s *store) hold(first bool) {
	u := s.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	u.holding++
	if first {
		u.held++
	}
	now := time.Now()
	if s.limit == 0 || !u.told.IsZero() && now.Sub(u.told) < tellEvery {
		return
	}
	u.told = now
	s.log.Warn("workers wait for slow clients: max_spool is reached",
		zap.Int("responses", u.holding), zap.Int64("spooled", u.spooled), zap.Int64("max_spool", s.limit))
}

func (s *store) release() {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	s.usage.holding--
}
