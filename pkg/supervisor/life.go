package supervisor

// state is where a worker stands in its life.
type state int

const (
	booting  state = iota // forked; the app is being loaded
	ready                 // takes requests
	retiring              // gets no new request, finishes what it has, ends
	ending                // was sent TERM
	killed                // was sent KILL
	gone                  // ended and reaped; its slot is free
)

func (s state) String() string {
	return [...]string{"booting", "ready", "retiring", "ending", "killed", "gone"}[s]
}

// event is what can happen to a worker.
type event int

const (
	booted  event = iota // it said that the app is loaded
	retire               // it is not wanted any more
	leaving              // it said that it ends by itself (harakiri)
	overdue              // the time for its state has run out
	force                // everything has to end now
	exited               // the kernel said that it ended
)

func (e event) String() string {
	return [...]string{"booted", "retire", "leaving", "overdue", "force", "exited"}[e]
}

// effect is what the supervisor then does, once.
type effect int

const (
	nothing  effect = iota
	admit           // hand it to the dispatcher
	quit            // take it from the dispatcher and let it finish
	withdraw        // take it from the dispatcher; it ends by itself
	term            // send TERM
	kill            // send KILL
	bury            // log how it ended, free its slot
)

func (e effect) String() string {
	return [...]string{"-", "admit", "quit", "withdraw", "TERM", "KILL", "bury"}[e]
}

// next is the life of a worker, as a table, which the package's example prints. What a
// state does not expect changes nothing: a timer that fires late, or a message
// that crosses an order on its way, is harmless.
func next(s state, e event) (state, effect) {
	if e == exited && s != gone {
		return gone, bury
	}
	switch s {
	case booting:
		switch e {
		case booted:
			return ready, admit
		case retire:
			return ending, term // it runs no request: nothing is lost
		case overdue, force:
			return killed, kill // an app that hangs while loading heeds no TERM
		}
	case ready:
		switch e {
		case retire:
			return retiring, quit
		case leaving:
			return retiring, withdraw
		case force:
			return ending, term
		}
	case retiring:
		switch e {
		case overdue, force:
			return ending, term
		}
	case ending:
		switch e {
		case overdue, force:
			return killed, kill
		}
	case killed, gone:
	}
	return s, nothing
}
