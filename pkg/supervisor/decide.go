package supervisor

import (
	"slices"
	"time"
)

// linger is how long a worker that was told to end counts as there, so that at
// most one more than wanted is alive. One that takes longer is running a long
// request: the roll goes on around it.
const linger = 2 * time.Second

// member is what decide knows of a worker.
type member struct {
	generation int
	state      state
	born       time.Time
	told       time.Time // when it was told to end; zero: it was not
	idle       bool      // it runs nothing
	due        bool      // it will soon reach a limit: its successor is wanted
	spent      bool      // it may go as soon as there are enough others
}

// view is what the supervisor knows when it decides what to do next.
type view struct {
	now       time.Time
	wanted    int // workers that should be ready
	target    int // the generation that they should be of; 0: none yet
	candidate int // the generation that has to prove itself with one worker; 0: none
	swift     bool
	interval  time.Duration // between two spawns, and between two retirements
	spawned   time.Time     // the last spawn
	retired   time.Time     // the last retirement
	notBefore time.Time     // no worker of target is spawned earlier, as some have failed
	free      int           // slots of target without a worker
	freeTrial int           // the same of candidate
	members   []member
}

// action is what decide wants to be done.
type action int

const (
	wait       action = iota // for an event, or until a time
	spawnOne                 // a worker of target
	spawnTrial               // the worker of candidate
	retireOne                // the member that is named
)

func (a action) String() string {
	return [...]string{"wait", "spawn", "spawn trial", "retire"}[a]
}

// decision is an action, with the member that it is for, and for wait the time at
// which to ask again although nothing has happened; zero: never.
type decision struct {
	do     action
	member int
	again  time.Time
}

// decide says what to do next to come closer to what should be: wanted workers,
// all of target. It is asked again after each action. The same rules serve start,
// respawn, growth, roll, supersession and rollback:
//
//   - A worker that still boots and is of no use any more goes at once.
//   - More ready than wanted: one goes, the oldest generation first, one per
//     interval. A swift roll lets all others go as soon as target has one.
//   - A candidate without a worker gets one.
//   - Fewer of target than wanted: one comes, one per interval. One that is due
//     does not count: its successor comes before it goes.
//   - Who has ended is buried before another comes: how long to wait depends on why.
//
// The package's example prints what is decided in which situation. Never more than one beyond wanted is alive, so a worker comes before another
// goes, and capacity does not dip.
func decide(v view) decision {
	c := v.count()
	if at, ok := v.useless(); ok {
		return decision{do: retireOne, member: at}
	}
	out := decision{member: -1}
	if at, ok := v.surplus(c); ok {
		if v.swift || !v.now.Before(v.retired.Add(v.interval)) {
			return decision{do: retireOne, member: at}
		}
		out.again = v.retired.Add(v.interval)
	}

	do, due := wait, time.Time{}
	switch {
	case v.trialWaits(c):
		do, due = spawnTrial, v.spawned.Add(v.interval)
	case v.target != 0 && c.current < v.wanted && v.free > 0 && !c.unburied:
		do, due = spawnOne, later(v.spawned.Add(v.interval), v.notBefore)
	}
	if ceiling := v.wanted + 1; do != wait && c.alive >= ceiling && (!v.swift || do != spawnOne) {
		do, due = wait, c.lingers // one has to go first: an event, or the end of its lingering
	}
	if do != wait && !v.now.Before(due) {
		return decision{do: do, member: -1}
	}
	out.again = sooner(out.again, due)
	return out
}

// count is what decide needs of all members together.
type count struct {
	alive    int       // processes that count against the ceiling
	ready    int       // workers that serve
	fresh    int       // those of them that are of target and not due
	current  int       // fresh ones and those that boot
	trial    int       // workers of candidate
	lingers  time.Time // when the next one stops counting as alive
	unburied bool      // one of target has ended, and it is not known why
}

func (v view) count() count {
	var c count
	for _, m := range v.members {
		switch {
		case m.state == gone:
			c.alive++ // until it is known why: then notBefore is known, too
			c.unburied = c.unburied || m.generation == v.target
			continue
		case m.state != booting && m.state != ready:
			if end := m.told.Add(linger); v.now.Before(end) {
				c.alive++
				c.lingers = sooner(c.lingers, end)
			}
			continue
		}
		c.alive++
		switch {
		case m.generation == v.candidate:
			c.trial++
		case m.state == ready:
			c.ready++
			if m.generation == v.target && !m.due {
				c.fresh++
				c.current++
			}
		case m.generation == v.target:
			c.current++
		}
	}
	return c
}

// useless finds a worker that boots for a generation which is not wanted any more.
func (v view) useless() (at int, ok bool) {
	at = slices.IndexFunc(v.members, func(m member) bool {
		return m.state == booting && m.generation != v.target && m.generation != v.candidate
	})
	return at, at >= 0
}

// trialWaits reports whether the candidate should get its worker now.
func (v view) trialWaits(c count) bool {
	return v.candidate != 0 && c.trial == 0 && v.freeTrial > 0
}

// surplus finds the worker to retire when there are more than wanted. One that is
// due has a successor then and is left to reach its limit, which may take hours:
// unless somebody needs its place.
func (v view) surplus(c count) (at int, ok bool) {
	at = -1
	crowded := v.trialWaits(c) || c.ready > v.wanted+1
	for i, m := range v.members {
		may := m.generation != v.target || m.spent || m.due && crowded
		if m.state != ready || m.generation == v.candidate || !may {
			continue
		}
		if at < 0 || v.goesBefore(m, v.members[at]) {
			at = i
		}
	}
	switch {
	case at < 0:
	case c.ready > v.wanted, v.swift && c.fresh > 0 && v.members[at].generation != v.target:
		return at, true
	}
	if c.fresh <= v.wanted {
		return 0, false
	}
	at = -1
	for i, m := range v.members { // too many of target: an idle one, the youngest
		if m.state != ready || m.generation != v.target || m.due {
			continue
		}
		if at < 0 || m.idle && !v.members[at].idle || m.idle == v.members[at].idle && m.born.After(v.members[at].born) {
			at = i
		}
	}
	return at, at >= 0
}

// goesBefore orders those that may go: other generations than target first, the
// oldest of them first, in one generation the spent ones, then who was born first.
func (v view) goesBefore(a, b member) bool {
	if a.generation != b.generation {
		if (a.generation == v.target) != (b.generation == v.target) {
			return b.generation == v.target
		}
		return a.generation < b.generation
	}
	if a.spent != b.spent {
		return a.spent
	}
	return a.born.Before(b.born)
}

// later and sooner choose between two times. To sooner the zero time is never.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// matureAge is how long a worker has to live for its crash to count as the first
// of a row.
const matureAge = 10 * time.Second

// failuresAfter counts failures in a row when a worker that was born at that time
// has failed. Workers that were born before the last failure was known belong to
// that failure: ten that die together count as one.
func failuresAfter(failures int, last, born, now time.Time) int {
	switch {
	case now.Sub(born) >= matureAge:
		return 0
	case born.After(last):
		return failures + 1
	}
	return max(failures, 1)
}
