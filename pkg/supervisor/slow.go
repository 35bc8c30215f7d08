package supervisor

import "go.uber.org/zap"

// logSlow tells of a request that takes long.
func (s *Supervisor) logSlow(w *worker, r Running) {
	s.log.Warn("slow request", zap.Int("worker", w.slot.number), zap.Int("generation", w.generation.number),
		zap.Int("pid", w.pid), zap.String("request_id", r.Request), zap.String("request", r.Line), zap.Duration("after", r.For))
}
