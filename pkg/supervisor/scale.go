package supervisor

import (
	"time"

	"go.uber.org/zap"
)

// idleWindow is how long workers must have been idle before some of them go.
const idleWindow = 10 * time.Second

// scale is how many workers the load asks for, between MinWorkers and Workers. It is
// of use only if MinWorkers is set.
type scale struct {
	wanted int
	idle   int       // the fewest idle workers that were seen since the window began
	since  time.Time // when that was
}

// reset keeps to new bounds. Where there was nothing to choose, it begins with all
// workers: those that are there may be busy.
func (c *scale) reset(o Settings) {
	c.wanted = min(max(c.wanted, o.MinWorkers, 1), o.Workers)
	if o.MinWorkers <= 0 {
		c.wanted = o.Workers
	}
	c.since = time.Time{}
}

// scaleUp wants another worker when a request waits for one, and no worker is on its
// way for that request.
func (s *Supervisor) scaleUp() {
	queued := s.dispatcher.queued()
	if s.settings.MinWorkers <= 0 || s.scale.wanted >= s.mostWorkers() || queued == 0 || s.dispatcher.idleWorkers() > 0 {
		return
	}
	coming := s.wantedWorkers()
	for _, w := range s.workers {
		if w.state == ready && w.generation != s.candidate() {
			coming--
		}
	}
	if coming >= queued {
		return
	}
	s.scale.wanted++
	s.scale.since = time.Time{}
	s.log.Debug("more workers wanted", zap.Int("workers", s.scale.wanted))
}

// scaleDown lets half of the workers go that were idle all the time of a window,
// but for one, which is kept for the next request.
func (s *Supervisor) scaleDown(now time.Time) {
	if s.settings.MinWorkers <= 0 {
		return
	}
	s.scaleUp()
	idle := s.dispatcher.idleWorkers()
	c := &s.scale
	if c.since.IsZero() {
		c.since, c.idle = now, idle
	}
	c.idle = min(c.idle, idle)
	if now.Sub(c.since) < idleWindow {
		return
	}
	if spare := c.idle - 1; spare > 0 && c.wanted > s.settings.MinWorkers {
		c.wanted = max(c.wanted-(spare+1)/2, s.settings.MinWorkers)
		s.log.Debug("fewer workers wanted", zap.Int("workers", c.wanted))
	}
	c.since = time.Time{}
}
