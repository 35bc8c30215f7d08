package supervisor

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// A site in virtual time: the real dispatcher, workers that are only a queue and a
// clock, and clients that ask again as soon as they are answered. There is one event
// at a time, so that ten thousand requests take a moment, and what has become of the
// one before is looked at before each of them.

// wakeTime is what it costs to wake a worker that sleeps.
const wakeTime = 30 * time.Microsecond

// load is what the requests of a site cost.
type load struct {
	name  string
	usual []time.Duration // one in turn, give or take a half
	slow  time.Duration   // what some take instead
	every int             // how many there are for each of those; 0: none is slow
}

var loads = []load{
	{"20us", []time.Duration{20 * time.Microsecond}, 0, 0},
	{"200us", []time.Duration{200 * time.Microsecond}, 0, 0},
	{"2ms", []time.Duration{2 * time.Millisecond}, 0, 0},
	{"20ms", []time.Duration{20 * time.Millisecond}, 0, 0},
	{"20us to 20ms", []time.Duration{20e3, 200e3, 2e6, 20e6}, 0, 0},
	{"20us, 1% 500ms", []time.Duration{20 * time.Microsecond}, 500 * time.Millisecond, 100},
	{"20us, 10% 20ms", []time.Duration{20 * time.Microsecond}, 20 * time.Millisecond, 10},
	{"2ms, 1% 500ms", []time.Duration{2 * time.Millisecond}, 500 * time.Millisecond, 100},
}

// order is a request of the site.
type order struct {
	call  *call
	cost  time.Duration
	slow  bool
	asked time.Time
	sent  time.Time // when it was last put into a worker's queue
}

// site is a dispatcher with its clients and workers.
type site struct {
	d     *dispatcher
	rng   *rand.Rand
	load  load
	deaf  bool // nothing that was sent can be taken back
	total int  // requests that are still to be asked for

	workers []*clockwork

	mu      sync.Mutex // the dispatcher's timer sends, too
	events  agenda
	changed chan struct{} // capacity one: there is a new event
	orders  map[uint32]*order

	asked, sends, returned int
	waits                  []time.Duration // of those that are not slow, what they took beside their own cost
	faults                 []string
	longest                time.Duration // for which one was behind another while a worker was idle
}

// clockwork is a worker.
type clockwork struct {
	site    *site
	slot    *slot
	queue   []*order
	running *order
	began   time.Time // when running was
	waking  bool
	busy    time.Duration // in all
}

type agenda []happening

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(happening)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func newSite(l load, clients, workers, requests int, seed uint64) *site {
	s := &site{
		d: newDispatcher(zap.NewNop()), rng: rand.New(rand.NewPCG(seed, 3)), load: l, total: requests,
		changed: make(chan struct{}, 1), orders: make(map[uint32]*order),
	}
	s.d.maxQueue = clients
	for i := range workers {
		w := &clockwork{site: s}
		w.slot = &slot{number: i, generation: 1, wire: w}
		s.workers = append(s.workers, w)
		s.d.admit(w.slot, nil, 0)
	}
	for range clients {
		s.after(time.Duration(s.rng.IntN(1000))*time.Microsecond, s.ask)
	}
	return s
}

// after is called with mu held, or before anything happens.
func (s *site) after(d time.Duration, do func()) {
	heap.Push(&s.events, happening{time.Now().Add(d), do})
	wake(s.changed)
}

// run lets happen what is to happen until a client has nothing more to ask for, so
// that there were as many clients all the time, and returns how long that took.
func (s *site) run() time.Duration {
	began := time.Now()
	for s.total >= 0 {
		s.mu.Lock()
		var wait time.Duration
		if len(s.events) > 0 {
			if wait = time.Until(s.events[0].at); wait <= 0 {
				e := heap.Pop(&s.events).(happening)
				s.mu.Unlock()
				s.check()
				e.do()
				continue
			}
		} else {
			wait = time.Hour // the dispatcher has forgotten a request
		}
		s.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-s.changed:
			continue
		}
		if wait == time.Hour {
			s.fault("nothing happens any more")
			break
		}
	}
	s.d.stop()
	for _, w := range s.workers {
		if w.running != nil {
			w.busy += time.Since(w.began)
		}
	}
	return time.Since(began)
}

// ask is a client's next request.
func (s *site) ask() {
	if s.total--; s.total < 0 {
		return
	}
	o := &order{asked: time.Now(), cost: s.load.usual[s.asked%len(s.load.usual)]}
	o.cost += time.Duration((s.rng.Float64() - 0.5) * float64(o.cost))
	if s.asked++; s.load.every > 0 && s.rng.IntN(s.load.every) == 0 {
		o.cost, o.slow = s.load.slow, true
	}
	c, err := s.d.newCall(nil, &psgi.Request{}) //nolint:staticcheck // nobody leaves
	o.call = c
	s.mu.Lock()
	s.orders[c.id] = o
	s.mu.Unlock()
	if err == nil {
		err = s.d.submit(c)
	}
	if err != nil {
		s.fault(err.Error())
	}
}

func (w *clockwork) send(frame []byte) error {
	w.site.mu.Lock()
	defer w.site.mu.Unlock()
	f, _ := psgi.ParseFrame(frame)
	o := w.site.orders[f.ID]
	o.sent = time.Now()
	w.site.sends++
	w.queue = append(w.queue, o)
	if w.running == nil && !w.waking {
		w.waking = true
		w.site.after(wakeTime, w.begin)
	}
	return nil
}

func (w *clockwork) takeBack(bool) (ids []uint32) {
	w.site.mu.Lock()
	defer w.site.mu.Unlock()
	if w.site.deaf {
		return nil
	}
	for _, o := range w.queue {
		ids = append(ids, o.call.id)
	}
	w.site.returned += len(ids)
	w.queue = nil
	return ids
}

// begin reads the next request, if it is still there.
func (w *clockwork) begin() {
	w.site.mu.Lock()
	defer w.site.mu.Unlock()
	w.waking, w.running = false, nil
	if len(w.queue) == 0 {
		return
	}
	w.running, w.queue, w.began = w.queue[0], w.queue[1:], time.Now()
	w.site.after(w.running.cost, w.end)
}

// end answers, and reads the next one at once.
func (w *clockwork) end() {
	o, s := w.running, w.site
	w.busy += o.cost
	if !o.slow {
		s.waits = append(s.waits, time.Since(o.asked)-o.cost)
	}
	w.begin()
	us := uint32(o.cost.Microseconds())
	payload := []byte{0, 200, byte(us >> 24), byte(us >> 16), byte(us >> 8), byte(us), 0, 0, 0, 0}
	s.mu.Lock()
	delete(s.orders, o.call.id)
	s.mu.Unlock()
	err := s.d.receive(w.slot, psgi.Frame{Type: psgi.TypeHead, Flags: psgi.FlagEnd, ID: o.call.id, Payload: payload})
	if err != nil {
		s.fault(err.Error())
		return
	}
	a := <-o.call.answered
	_ = a.response.Body.Close()
	s.d.recycle(o.call)
	s.ask()
}

func (s *site) fault(text string) { s.faults = append(s.faults, text) }

// check holds the policy to its promise: no request waits while a worker is idle,
// neither in Go nor, for longer than patience, behind another one.
func (s *site) check() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.workers, func(w *clockwork) bool { return w.slot.isIdle() }) {
		return
	}
	if n := len(s.d.waiting); n > 0 && !s.d.crowd.isFull(s.running()) {
		s.fault(fmt.Sprintf("%d requests wait although a worker is idle", n))
	}
	for _, w := range s.workers {
		if w.running == nil {
			continue
		}
		for _, o := range w.queue {
			behind := min(time.Since(w.began), time.Since(o.sent))
			s.longest = max(s.longest, behind)
			if behind > patience {
				s.fault(fmt.Sprintf("a request was behind another one for %v although a worker was idle", behind))
			}
		}
	}
}

// running counts the workers that the bound of the crowd is about.
func (s *site) running() (n int) {
	justNow := time.Now().Add(-time.Microsecond) // the dispatcher's timer may be about to go off
	for _, w := range s.workers {
		if w.slot.counts(justNow) {
			n++
		}
	}
	return n
}

// outcome is what a history has come to.
type outcome struct {
	used          float64 // of what clients and workers could have done, were nothing ever waited for
	p50, p95, p99 time.Duration
	longest       time.Duration
	returned      float64 // of what was sent
	faults        []string
}

func (s *site) outcome() (o outcome) {
	clients := len(s.events)
	took := s.run()
	var busy time.Duration
	for _, w := range s.workers {
		busy += w.busy
	}
	o.used = float64(busy) / float64(took) / float64(min(clients, len(s.workers)))
	slices.Sort(s.waits)
	at := func(percent int) time.Duration { return s.waits[len(s.waits)*percent/100] }
	o.p50, o.p95, o.p99 = at(50), at(95), at(99)
	o.longest, o.faults, o.returned = s.longest, s.faults, float64(s.returned)/float64(s.sends)
	return o
}

// simulated is the outcome of a site.
func simulated(t *testing.T, l load, clients, workers, requests int, deaf bool) (o outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := newSite(l, clients, workers, requests, uint64(clients*1000+workers))
		s.deaf = deaf
		o = s.outcome()
	})
	return o
}

func TestNoRequestWaitsBehindAnotherWhileAWorkerIsIdleWhateverTheLoad(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-16s %7s %7s %6s %9s %9s %9s %9s %7s\n",
		"load", "clients", "workers", "used", "wait p50", "p95", "p99", "behind", "back")
	for _, l := range loads {
		for _, clients := range []int{1, 8, 32, 1000} {
			for _, workers := range []int{2, 10, 64} {
				o := simulated(t, l, clients, workers, max(500, clients*3/2), false)
				fmt.Fprintf(&table, "%-16s %7d %7d %5.1f%% %9v %9v %9v %9v %6.2f%%\n", l.name, clients, workers, 100*o.used,
					o.p50.Round(1000), o.p95.Round(1000), o.p99.Round(1000), o.longest.Round(1000), 100*o.returned)
				if len(o.faults) > 0 {
					t.Errorf("%s, %d clients, %d workers: %d faults, the first: %s", l.name, clients, workers, len(o.faults), o.faults[0])
				}
				if l.every == 0 && len(l.usual) == 1 && clients == 1000 && o.p99 > 3*o.p50 {
					t.Errorf("%s, %d clients, %d workers: p99 %v, more than thrice the median, %v", l.name, clients, workers, o.p99, o.p50)
				}
			}
		}
	}
	t.Log("\n" + table.String())
}

// A bound that is wrong, as the app has just begun to wait, must hold up nobody for long.
func TestNoRequestWaitsForWorkersThatAreSlowWhateverTheBound(t *testing.T) {
	for _, l := range loads {
		for _, bound := range []int{1, 3} {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(l, 32, 10, 400, 1)
				s.d.crowd.bound = bound
				o := s.outcome()
				if len(o.faults) > 0 {
					t.Errorf("%s, bound %d: %d faults, the first: %s", l.name, bound, len(o.faults), o.faults[0])
				}
				if l.name == "20ms" && o.used < 0.35 {
					t.Errorf("%s, bound %d: %.0f%% used; requests that take longer than %v make room", l.name, bound, 100*o.used, lonePatience)
				}
			})
		}
	}
}

// The load that breaks servers which queue on workers: if a tenth of all clients could
// wait behind a slow request, the quick ones would be as slow.
func TestOneSlowRequestInAHundredHoldsUpNobody(t *testing.T) {
	const clients, workers, requests = 8, 10, 12000
	usual := load{"20us", []time.Duration{20 * time.Microsecond}, 0, 0}
	mixed := usual
	mixed.slow, mixed.every = 500*time.Millisecond, 100
	without := simulated(t, usual, clients, workers, requests/10, false)
	with := simulated(t, mixed, clients, workers, requests, false)
	t.Logf("%.2f%% of the ideal throughput; quick requests wait for %v (p50), %v (p95), %v (p99), and without slow ones %v, %v, %v",
		100*with.used, with.p50, with.p95, with.p99, without.p50, without.p95, without.p99)
	if with.used < 0.99 {
		t.Errorf("%.2f%% of the ideal throughput, want 99%%", 100*with.used)
	}
	if most := without.p95*12/10 + 20*time.Microsecond/5; with.p95 > most {
		t.Errorf("the p95 of the quick ones is %v, want at most %v", with.p95, most)
	}
	for _, fault := range with.faults {
		t.Error(fault)
	}
}

func TestSimulationSeesWhatHappensWithoutTakingBack(t *testing.T) {
	o := simulated(t, loads[5], 8, 10, 2000, true)
	if len(o.faults) == 0 {
		t.Errorf("nothing can be taken back, and no fault is seen: %+v", o)
	}
}
