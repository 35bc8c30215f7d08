package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// template is the Perl process that forks the workers of a generation.
type template struct {
	born    time.Time
	cmd     *exec.Cmd
	control *socketWire // ours is the only end open here
	logs    *logPipe

	// These belong to the supervisor's goroutine.
	loaded   bool
	stopped  bool
	ordered  []*worker // those that it was told to spawn and has not answered for
	deadline time.Time // when it is killed; zero: never
	failure  string    // what it said before it ended
	calibration
}

// startTemplate starts perl with the runtime as its program and the workers' ends
// of all slots inherited, and tells it what to load. What it then says comes from
// read.
func startTemplate(plan *Plan, number int, slots []*slot, onLine func(line, request string)) (*template, error) {
	boot := plan.Boot
	boot.Generation = number
	control, err := newSocketWire()
	if err != nil {
		return nil, err
	}
	logs, err := newLogPipe(onLine)
	if err != nil {
		control.close()
		return nil, err
	}
	t := &template{born: time.Now(), control: control, logs: logs}

	const firstExtra = 3
	inherited := []*os.File{control.workers}
	for _, s := range slots {
		at := firstExtra + len(inherited)
		boot.Slots = append(boot.Slots, [2]int{at, at + 1})
		inherited = append(inherited, s.socket.workers, s.logs.end)
	}
	t.cmd = exec.Command(plan.Perl, "-", fmt.Sprint(firstExtra))
	t.cmd.Env, t.cmd.Dir = plan.Env, plan.Dir
	t.cmd.Stdin = bytes.NewReader(psgi.Program())
	t.cmd.Stdout, t.cmd.Stderr = logs.end, logs.end
	t.cmd.ExtraFiles = inherited
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's ^C is for thralld alone

	err = control.send(psgi.AppendBoot(nil, &boot))
	if err == nil {
		err = t.cmd.Start()
	}
	if err != nil {
		control.close()
		logs.close()
		return nil, explainStart(plan.Perl, err)
	}
	_ = control.workers.Close()
	go t.logs.run() // ends when wait closes the pipe
	return t, nil
}

// explainStart says what to do when perl does not start.
func explainStart(perl string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("perl not found (looked for %q): install perl, or set the key perl to its path", perl)
	}
	return fmt.Errorf("start perl: %w", err)
}

// spawn asks for a worker in the slot of that number.
func (t *template) spawn(slot int) error {
	return t.control.send(psgi.AppendFrame(nil, psgi.TypeSpawn, 0, uint32(slot), nil))
}

// answered is the worker that the template's next answer is about: it gives one for
// each order. Its slot may have another one by now, if it was quick to end.
func (t *template) answered() *worker {
	if len(t.ordered) == 0 {
		return nil
	}
	w := t.ordered[0]
	t.ordered = t.ordered[1:]
	return w
}

// read blocks until the template has said something; io.EOF when it has ended.
func (t *template) read(buf []byte) (psgi.Frame, error) {
	n, err := t.control.ours.Read(buf)
	if err != nil {
		return psgi.Frame{}, err
	}
	return psgi.ParseFrame(buf[:n])
}

// wait blocks until the process has ended, and returns its last lines.
func (t *template) wait() (status string, last []string) {
	_ = t.cmd.Wait() // the state says more
	status = "unknown status"
	if t.cmd.ProcessState != nil {
		status = t.cmd.ProcessState.String()
	}
	last = t.logs.finish()
	t.logs.close()
	return status, last
}

// stop lets the template end by itself: it reads the end of its control socket.
func (t *template) stop() {
	if t.stopped {
		return
	}
	t.stopped = true
	t.deadline = time.Now().Add(termGrace)
	if !t.loaded {
		t.deadline = time.Now() // it runs the app's code and reads nothing
	}
	t.control.hangUp()
}

// kill ends a template that does not.
func (t *template) kill() { _ = t.cmd.Process.Kill() }
