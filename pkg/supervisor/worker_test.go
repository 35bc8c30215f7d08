package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLinesCarryTheRequestThatPrintedThem(t *testing.T) {
	c := startCrew(t, app, func(o *setup) { o.settings.Workers = 1 })
	outcomes := make([]<-chan error, 50)
	for i := range outcomes {
		outcomes[i] = c.going(fmt.Sprintf("/warn%d", i))
	}
	for i, outcome := range outcomes {
		if err := <-outcome; err != nil {
			t.Fatal(err)
		}
		entry := c.await(fmt.Sprintf("a line for /warn%d", i), 1).ContextMap()
		if want := fmt.Sprintf("id/warn%d", i); entry["request_id"] != want {
			t.Errorf("a line of %s is logged as %v", want, entry)
		}
	}
}

func TestWorkerThatBreaksTheProtocolIsReplaced(t *testing.T) {
	c := startCrew(t, `my $s; sub {
		for my $fd (3 .. 50) { # what a hostile app can do: find the slot and write to it
			open my $fh, '+<&=', $fd or next;
			push @keep, $fh;
			syswrite $fh, "nonsense" if -S $fh;
		}
		[200, [], ['ok']]
	}`, nil)
	c.await("worker ready", 2)
	_, err := c.call(t.Context(), "/")
	if err == nil {
		t.Log("the answer came before the worker's end")
	}
	c.await("worker sent nonsense", 1)
	c.await("worker ready", 3)
}

func TestOrphansOfTheAppAreReaped(t *testing.T) {
	c := startCrew(t, `sub {
		my $env = shift;
		if (!fork) { if (!fork) { sleep 0.01; exec 'true' } kill KILL => $$ }
		wait;
		[200, [], ['ok']]
	}`, nil)
	for range 10 {
		c.get("/")
	}
	c.await("worker ready", 2)
	c.until("only the template and two workers are left", func() bool { return children() == 3 })
}

// children counts those of this process, also those that nobody has reaped.
func children() (n int) {
	self := fmt.Sprintf("PPid:\t%d\n", os.Getpid())
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		if status, err := os.ReadFile(file); err == nil && strings.Contains(string(status), self) {
			n++
		}
	}
	return n
}

func TestAppRunsAsUnderPlackup(t *testing.T) {
	c := startCrew(t, `use FindBin; my $loaded = $0; sub { [200, [], [join '|', $0, $loaded, $FindBin::Bin, scalar @ARGV, -t STDIN ? 1 : 0]] }`, nil)
	c.await("worker ready", 2) // before, a worker looks like the template
	file := filepath.Join(c.dir, "app.psgi")
	if got, want := c.get("/"), strings.Join([]string{file, file, c.dir, "0", "0"}, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var pid int
	for _, s := range c.current() {
		if s.pid.Load() != 0 {
			pid = int(s.pid.Load())
		}
	}
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.HasPrefix(string(title), "thralld: worker ") {
		t.Errorf("ps shows %q, %v", title, err)
	}
}

func TestWorkerHasTheDescriptorsOfItsOwnSlotOnly(t *testing.T) {
	c := startCrew(t, `sub {
		opendir my $d, "/proc/$$/fd";
		[200, [], [join ' ', map { readlink("/proc/$$/fd/$_") || () } readdir $d]]
	}`, nil)
	c.await("worker ready", 2)
	sockets := 0
	for target := range strings.FieldsSeq(c.get("/")) {
		if strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	if sockets != 1 {
		t.Errorf("the worker has %d sockets, want that of its slot only", sockets)
	}
}
