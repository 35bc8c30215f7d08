package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
	"github.com/thralld/thralld/pkg/stack"
)

// calibrationTime is how long a template's answer is waited for. It gives up sooner.
const calibrationTime = 10 * time.Second

// ofRuntime is how the files of the Perl runtime begin: what they do is not the app's.
const ofRuntime = "thralld/"

// Trace says where in its Perl code the worker with that pid is, in lines as those of
// Perl's Carp, and what it is running. It does not disturb the worker, and blocks for
// some milliseconds. The error says why nothing can be told.
func (s *Supervisor) Trace(ctx context.Context, pid int) (string, error) {
	type outcome struct {
		text string
		err  error
	}
	traced := make(chan outcome, 1)
	s.post(func() {
		w := s.workerOf(pid)
		if w == nil {
			traced <- outcome{err: fmt.Errorf("no worker has the process id %d", pid)}
			return
		}
		s.readStack(w, func(lines []string, err error) { traced <- outcome{strings.Join(lines, "\n"), err} })
	})
	select {
	case o := <-traced:
		return o.text, o.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-s.done:
		return "", psgi.ErrStopping
	}
}

func (s *Supervisor) workerOf(pid int) *worker {
	for _, w := range s.workers {
		if w.pid == pid && pid != 0 && w.state != gone {
			return w
		}
	}
	return nil
}

// logSlow tells of a request that takes long, and where it is.
func (s *Supervisor) logSlow(w *worker, r Running) {
	fields := []zap.Field{
		zap.Int("worker", w.slot.number), zap.Int("generation", w.generation.number), zap.Int("pid", w.pid),
		zap.String("request_id", r.Request), zap.String("request", r.Line), zap.Duration("after", r.For),
	}
	s.readStack(w, func(lines []string, err error) {
		if err != nil {
			fields = append(fields, zap.NamedError("no_stack", err))
		}
		s.log.Warn("slow request", append(fields, zap.Strings("stack", lines))...)
	})
}

// readStack reads the stack of a worker and hands it to told, which is called once,
// from another goroutine, and must not block.
func (s *Supervisor) readStack(w *worker, told func(lines []string, err error)) {
	if w.generation.plan.Boot.Threads > 1 {
		go told(nil, errors.New("the stack of a worker with several threads cannot be read"))
		return
	}
	pid := w.pid
	w.template.whenCalibrated(func(layout *stack.Layout, err error) {
		go func() { // ends with the reading
			var frames []stack.Frame
			if err == nil {
				frames, err = layout.Read(pid)
			}
			told(appLines(frames), err)
		}()
	})
}

// appLines is the app's part of a stack, without the runtime that called it.
func appLines(frames []stack.Frame) []string {
	for len(frames) > 0 {
		last := frames[len(frames)-1]
		if last.File != "-" && !strings.HasPrefix(last.File, ofRuntime) {
			break
		}
		frames = frames[:len(frames)-1]
	}
	lines := make([]string, len(frames))
	for i, f := range frames {
		lines[i] = f.String()
	}
	return lines
}

// calibration is what is known of where a template and its workers keep their stack.
type calibration struct {
	asked   time.Time // zero: not yet
	known   bool
	layout  *stack.Layout
	err     error // why there is none
	waiting []func(*stack.Layout, error)
}

// whenCalibrated has f called with the layout of a template, which is asked for it
// the first time. It belongs, as f, to the supervisor's goroutine.
func (t *template) whenCalibrated(f func(*stack.Layout, error)) {
	c := &t.calibration
	if c.known {
		f(c.layout, c.err)
		return
	}
	if !c.asked.IsZero() && time.Since(c.asked) > calibrationTime {
		f(nil, errors.New("the template does not tell where its workers keep their stack"))
		return
	}
	c.waiting = append(c.waiting, f)
	if !c.asked.IsZero() {
		return
	}
	c.asked = time.Now()
	if err := t.control.send(psgi.AppendFrame(nil, psgi.TypeCalibrate, 0, 0, nil)); err != nil {
		t.calibrated(nil, errors.New("the template that knew where its workers keep their stack has ended"))
	}
}

// calibrated notes the layout, or why there is none, for those who wait for it. Only
// the first call counts.
func (t *template) calibrated(layout *stack.Layout, err error) {
	c := &t.calibration
	if c.known {
		return
	}
	c.known, c.layout, c.err = true, layout, err
	for _, f := range c.waiting {
		f(layout, err)
	}
	c.waiting = nil
}
