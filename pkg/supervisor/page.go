package supervisor

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// page is a response that came in one frame, as most do, and what its parts are kept
// in. When its owner has closed it, all of it is used for another one, but the text of
// the header.
type page struct {
	response psgi.Response
	body     []byte // what Next has not returned yet
	memory   []byte // of body
	fields   [8]psgi.Field
}

// keepMost bounds the memory that a page or a call keeps for the next one.
const keepMost = 16 << 10

var pages = sync.Pool{New: func() any { return new(page) }}

func (p *page) Next() ([]byte, error) {
	piece := p.body
	if p.body = nil; len(piece) == 0 {
		return nil, io.EOF
	}
	return piece, nil
}

func (p *page) Close() error {
	memory := p.memory[:0]
	if cap(memory) > keepMost {
		memory = nil
	}
	*p = page{memory: memory}
	pages.Put(p)
	return nil
}

// arrival is a page that a worker has sent, on its way to the caller.
type arrival struct {
	id    uint32
	flags psgi.Flags
	took  time.Duration
	page  *page
	call  *call // set when it has been found
	kept  bool  // the call is not over: cleanup handlers run
	left  bool  // nobody wants it any more
}

// isPage reports whether a frame carries all of a response.
func isPage(f psgi.Frame) bool {
	return f.Type == psgi.TypeHead && f.Flags&(psgi.FlagEnd|psgi.FlagFile) == psgi.FlagEnd
}

// arrive copies a page out of its frame.
func (s *slot) arrive(f psgi.Frame) (arrival, error) {
	p := pages.Get().(*page)
	head, err := f.HeadIn(p.fields[:0])
	if err != nil {
		_ = p.Close()
		return arrival{}, err
	}
	p.memory = append(p.memory[:0], head.Body...)
	p.body = p.memory
	p.response = psgi.Response{
		Status: head.Status, Header: head.Header, Body: p, Whole: true,
		Failed: f.Flags&psgi.FlagFailed != 0, Worker: s.number, Generation: s.generation,
		PID: int(s.pid.Load()), AppTime: head.AppTime,
	}
	return arrival{id: f.ID, flags: f.Flags, took: head.AppTime, page: p}, nil
}

// takePages finishes the calls that pages have arrived for, all at one time, and
// answers them. It ends early before a page that answers none, and returns how many
// it has taken.
func (d *dispatcher) takePages(s *slot, list []arrival) (taken int) {
	d.mu.Lock()
	now := time.Now()
	for i := range list {
		a := &list[i]
		if a.call = s.find(a.id); a.call == nil || a.call.stream != nil {
			break
		}
		a.kept, a.left = a.flags&psgi.FlagCleanup != 0, a.call.abandoned
		d.complete(s, a.call, a.flags, a.took, now)
		taken++
	}
	if taken > 0 {
		d.feed()
	}
	d.mu.Unlock()

	// Who asks again at once finds the worker idle.
	for _, a := range list[:taken] {
		if a.left {
			_ = a.page.Close()
		} else {
			a.call.settle(answer{response: &a.page.response, over: !a.kept})
		}
	}
	return taken
}

// receivePage takes in a page that has come by itself.
func (d *dispatcher) receivePage(s *slot, f psgi.Frame) error {
	a, err := s.arrive(f)
	if err != nil {
		return err
	}
	if d.takePages(s, []arrival{a}) == 0 {
		_ = a.page.Close()
		return fmt.Errorf("%w: no request %d is waiting for a head", psgi.ErrFrame, f.ID)
	}
	return nil
}
