package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// newStranger starts a process that is no child of this one, and returns its pid. Both
// that it starts are reaped by the supervisor.
func newStranger(c *crew) int {
	t := c.t
	t.Helper()
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	shell := exec.Command("sh", "-c", "sleep 600 & echo $!; wait")
	shell.Stdout = theirs
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = errors.Join(shell.Start(), theirs.Close())
	if err != nil {
		t.Fatal(err)
	}
	group := shell.Process.Pid
	t.Cleanup(func() {
		_ = unix.Kill(-group, unix.SIGKILL)
		c.until("both are reaped", func() bool { return unix.Kill(-group, 0) != nil })
	})
	_ = shell.Process.Release()
	line, err := bufio.NewReader(ours).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// impostor is an app that has the template call its workers other than they are.
const impostor = `
{
	no warnings 'redefine';
	my $true = \&Thralld::Template::frame_process;
	*Thralld::Template::frame_process = sub {
		my ($type, $slot, $pid) = @_;
		open my $lie, '<', "$ENV{TEST_DIR}/lie" or return $true->(@_);
		return $true->($type, $slot, readline $lie);
	};
}
` + app

func TestWorkerThatIsCalledAnotherProcessLeadsNoSignalThere(t *testing.T) {
	c := startCrew(t, impostor, func(o *setup) { o.settings.Workers, o.plan.Boot.Preload = 2, true })
	c.await("worker ready", 2)
	stranger := newStranger(c)
	sibling := int(c.current()[1].pid.Load())
	for i, pid := range []int{stranger, sibling} {
		if err := os.WriteFile(c.dir+"/lie", []byte(strconv.Itoa(pid)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(int(c.current()[0].pid.Load()), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.until(fmt.Sprintf("lie %d is found out", i), func() bool {
			return c.logs.FilterMessage("worker is another process than it says").Len()+c.logs.FilterMessage("worker sent nonsense").Len() > i
		})
		if err := os.Remove(c.dir + "/lie"); err != nil {
			t.Fatal(err)
		}
		c.until("there are two workers again", func() bool {
			ready := 0
			for _, w := range c.Status().Workers {
				if w.State == "ready" {
					ready++
				}
			}
			return ready == 2
		})
	}
	for _, pid := range []int{stranger, sibling} {
		if err := unix.Kill(pid, 0); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}
