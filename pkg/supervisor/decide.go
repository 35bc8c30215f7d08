package supervisor

import "time"

// view is what the supervisor knows when it decides what to do next.
type view struct {
	now       time.Time
	wanted    int       // workers that should be there
	alive     int       // workers that boot or take requests
	free      int       // slots without a worker
	notBefore time.Time // no worker is spawned earlier, as some have failed
}

// decide says whether to spawn a worker now, or when to ask again; the zero time
// means that only an event can change the answer. It has no other input than v.
func decide(v view) (spawn bool, again time.Time) {
	switch {
	case v.alive >= v.wanted || v.free == 0:
		return false, time.Time{}
	case v.now.Before(v.notBefore):
		return false, v.notBefore
	}
	return true, time.Time{}
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
