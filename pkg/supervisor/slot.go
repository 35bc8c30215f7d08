package supervisor

import (
	"fmt"
	"sync/atomic"
	"time"
)

// slot is a worker's place: its socket pair and its log pipe. Workers come and
// go, the slot stays for as long as its generation. Nothing of it has a name on
// the file system, so nobody else on the machine can reach the worker.
type slot struct {
	number     int
	generation int
	threads    int // requests that its workers run at a time; 0 and 1 mean one

	wire   wire        // what the dispatcher uses of socket
	socket *socketWire // nil in tests that need no kernel
	logs   *logPipe

	// pid is the worker's, 0 when there is none.
	pid atomic.Int64

	dispatchState // guarded by dispatcher.mu
}

// newSlot makes the descriptors of a slot; onLine gets what its workers print.
func newSlot(number, generation, threads int, onLine func(s *slot, line, request string)) (*slot, error) {
	s := &slot{number: number, generation: generation, threads: threads}
	var err error
	if s.socket, err = newSocketWire(); err != nil {
		return nil, fmt.Errorf("make the socket pair of a worker: %w", err)
	}
	s.wire = s.socket
	if s.logs, err = newLogPipe(func(line, request string) { onLine(s, line, request) }); err != nil {
		s.socket.close()
		return nil, fmt.Errorf("make the log pipe of a worker: %w", err)
	}
	s.logs.printers = threads
	return s, nil
}

// threaded reports whether the slot's workers run several requests at a time. Then
// nothing is sent ahead: each request that is sent has a thread to run it.
func (s *slot) threaded() bool { return s.threads > 1 }

// quit tells the slot's worker to end after what it has read: one frame for each
// thread, as each may be waiting for one. A dead worker needs none.
func (s *slot) quit() {
	for range max(s.threads, 1) {
		_ = s.wire.send(quitFrame)
	}
}

func (s *slot) close() {
	s.socket.close()
	s.logs.close()
}

// dispatchState is what the dispatcher knows of the worker in a slot.
type dispatchState struct {
	ready    bool            // the worker takes requests
	dead     <-chan struct{} // closed when the worker has ended
	held     bool            // nothing is sent ahead: it streams, cleans up, or takes long
	cleaning []*call         // whose responses are out, and whose cleanup handlers run
	sent     []*call         // sent and not finished; the first one, or with threads each one, is being run
	bytes    int             // what the frames in sent add up to, with threads those that may be unread
	since    time.Time       // when the first of sent became the first, with threads the first that may be unread
	served   int             // requests sent to the worker and not taken back
	limit    int             // how many it may be sent; 0: any number
	estimate time.Duration   // what a request takes, by experience
	took     time.Duration   // all requests
	measured effort          // when the crowd was measured last
}
