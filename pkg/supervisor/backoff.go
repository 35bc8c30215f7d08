package supervisor

import "time"

const (
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 30 * time.Second
)

// backoff is how long to wait before the next worker is spawned, after so many
// failures in a row: twice as long each time, from 100 ms to 30 s, and at least
// the configured interval. Jitter, from 0 up to 1, takes off at most half, so
// that machines that failed together do not come back together.
func backoff(failures int, least time.Duration, jitter float64) time.Duration {
	if failures == 0 {
		return 0
	}
	d := longestBackoff
	if shift := failures - 1; shift < 16 {
		d = min(d, firstBackoff<<shift)
	}
	d -= time.Duration(jitter * float64(d) / 2)
	return max(d, least)
}
