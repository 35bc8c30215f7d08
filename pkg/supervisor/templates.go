package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
	"github.com/thralld/thralld/pkg/stack"
)

// startTemplate starts the process that forks a generation's workers.
func (s *Supervisor) startTemplate(g *generation) {
	number := g.number
	t, err := startTemplate(&g.plan, number, g.slots, func(line, _ string) {
		s.appLog.Info(line, zap.Int("generation", number))
	})
	if err != nil {
		s.templateFailed(g, time.Now(), err, nil)
		return
	}
	if g.plan.StartTimeout > 0 {
		t.deadline = time.Now().Add(g.plan.StartTimeout)
	}
	g.template = t
	go s.readTemplate(g, t) // ends when the template has ended
}

// readTemplate takes in what a template says until it has ended.
func (s *Supervisor) readTemplate(g *generation, t *template) {
	buf := make([]byte, psgi.MaxFrame+1)
	for {
		f, err := t.read(buf)
		if err == nil {
			err = s.receiveTemplate(g, t, f)
		}
		if errors.Is(err, psgi.ErrFrame) {
			s.log.Error("template sent nonsense", zap.Int("generation", g.number), zap.Error(err))
			t.kill()
		}
		if err != nil {
			break
		}
	}
	status, last := t.wait()
	s.post(func() { s.templateEnded(g, t, status, last) })
}

func (s *Supervisor) receiveTemplate(g *generation, t *template, f psgi.Frame) error {
	slot, text := int(f.ID), string(f.Payload)
	switch f.Type {
	case psgi.TypeLoaded:
		s.post(func() { t.loaded, t.deadline = true, time.Time{} })
	case psgi.TypeSpawned:
		pid, err := f.Process()
		if err != nil {
			return err
		}
		s.post(func() { s.workerSpawned(s.workerAt(g, slot), pid) })
	case psgi.TypeLayout:
		layout, err := stack.ParseLayout(text)
		s.post(func() { t.calibrated(layout, err) })
	case psgi.TypeFail:
		s.post(func() { s.templateComplained(g, t, slot, text) })
	default:
		return fmt.Errorf("%w: type %d", psgi.ErrFrame, f.Type)
	}
	return nil
}

// workerAt is the worker in the generation's slot of that number, or nil.
func (s *Supervisor) workerAt(g *generation, number int) *worker {
	if number < 0 || number >= len(g.slots) {
		return nil
	}
	return s.workers[g.slots[number]]
}

// workerReady: the app is loaded. A worker that nobody waits for any more, as the
// template that forked it died before it told, is ended.
func (s *Supervisor) workerReady(slot *slot, pid int) {
	w := s.workers[slot]
	if w == nil {
		s.killUnknown(pid)
		return
	}
	if s.workerSpawned(w, pid); w.pid != 0 {
		s.apply(w, booted)
	}
}

// workerSpawned learns the pid of a worker, which may have ended already. Another
// one in its slot was forked by a template that died before it told: they read the
// same socket, and what one of them has read nobody knows, so both end.
func (s *Supervisor) workerSpawned(w *worker, pid int) {
	if w == nil || w.pid == pid {
		return
	}
	if w.pid != 0 {
		s.killUnknown(pid)
		s.workerBroken(w.slot, fmt.Errorf("process %d is in its slot, too", pid))
		return
	}
	if !s.mayBe(w, pid) {
		s.log.Error("worker is another process than it says", zap.Int("worker", w.slot.number),
			zap.Int("generation", w.generation.number), zap.Int("pid", pid))
		w.template.kill() // with its end the wait for the worker ends
		return
	}
	w.pid = pid
	w.slot.pid.Store(int64(pid))
	switch w.state {
	case ending:
		s.signal(w, unix.SIGTERM)
	case killed:
		s.signal(w, unix.SIGKILL)
	}
	s.reapChildren()
}

// mayBe reports whether a process can be the worker that has just been forked: a child
// of this process, or on its way to become one, that is nobody else. What the app says
// must not lead a signal to a stranger, nor have us wait for its end.
func (s *Supervisor) mayBe(w *worker, pid int) bool {
	if s.knows(pid) {
		return false
	}
	coming := parentOf(parentOf(pid)) == w.template.cmd.Process.Pid
	return coming || isChild(pid) // in this order: it may become one between the two
}

// knows reports whether a process is a worker or a template.
func (s *Supervisor) knows(pid int) bool {
	for _, w := range s.workers {
		if w.pid == pid && !w.reaped {
			return true
		}
	}
	return slices.ContainsFunc(s.generations, func(g *generation) bool {
		return g.template != nil && g.template.cmd.Process.Pid == pid
	})
}

// killUnknown kills a child that is in the slot of another worker, or of none.
func (s *Supervisor) killUnknown(pid int) {
	if !s.knows(pid) {
		killChild(pid)
	}
}

// templateComplained: before it is loaded, the app or a module of it could not be
// loaded; later, it could not fork.
func (s *Supervisor) templateComplained(g *generation, t *template, slot int, text string) {
	t.failure = text
	if !t.loaded {
		return
	}
	if w := s.workerAt(g, slot); w != nil {
		s.log.Error("worker not spawned", zap.Int("worker", slot), zap.Int("generation", g.number), zap.String("error", text))
		w.message = text
		s.apply(w, exited)
	}
}

// templateEnded: its workers live on, and those that it was asked for and has not
// told of are forgotten. reconcile starts another template when one is needed.
func (s *Supervisor) templateEnded(g *generation, t *template, status string, last []string) {
	if g.template == t {
		g.template = nil
	}
	stopped := t.stopped
	t.stop()
	t.calibrated(nil, errors.New("the template that knew where its workers keep their stack has ended"))
	for _, w := range s.workers {
		if w.generation == g && w.pid == 0 {
			s.apply(w, exited)
		}
	}
	s.reapChildren() // who ended meanwhile and could not be told from them
	switch {
	case stopped || s.stopping:
	case t.loaded:
		s.log.Warn("template exited", zap.Int("generation", g.number), zap.String("status", status),
			zap.String("error", t.failure), zap.Strings("last_lines", last))
	case t.failure != "":
		s.templateFailed(g, t.born, loadError(g.plan.Boot.App, t.failure), last)
	case len(last) > 0:
		s.templateFailed(g, t.born, fmt.Errorf("%s ended before %s was loaded (%s); it last printed:\n%s",
			g.plan.Perl, g.plan.Boot.App, status, strings.Join(last, "\n")), last)
	default:
		s.templateFailed(g, t.born, fmt.Errorf("%s ended before %s was loaded (%s), and printed nothing",
			g.plan.Perl, g.plan.Boot.App, status), last)
	}
}

// templateFailed: it could not be started, or ended before it was of use.
func (s *Supervisor) templateFailed(g *generation, born time.Time, err error, last []string) {
	s.failed(g, born, err.Error())
	if g == s.candidate() && !s.trial.ended {
		s.failTrial(g, err) // Prepare returns it
		return
	}
	s.log.Log(s.loudness(g), "template failed", zap.Int("generation", g.number), zap.Int("failures", g.failures),
		zap.Error(err), zap.Strings("last_lines", last))
}
