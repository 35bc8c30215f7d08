package stack_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/stack"
)

// process is a fork of a Perl process, and what it says.
type process struct {
	layout *stack.Layout
	pid    int
	lines  *bufio.Scanner
}

// situation starts one of testdata/situations.pl.
func situation(t testing.TB, name string) *process {
	t.Helper()
	cmd := exec.Command("perl", "-I../psgi/perl", "testdata/situations.pl", name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{lines: bufio.NewScanner(stdout)}
	kill := func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	limit := time.AfterFunc(30*time.Second, kill)
	t.Cleanup(func() {
		limit.Stop()
		kill()
		_ = cmd.Wait()
	})
	if p.layout, err = stack.ParseLayout(p.line(t)); err != nil {
		t.Fatal(err)
	}
	if p.pid, err = strconv.Atoi(p.line(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// line waits for the next line.
func (p *process) line(t testing.TB) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("the process has ended: %v", p.lines.Err())
	}
	return p.lines.Text()
}

// ready waits until the process is where the test wants it.
func (p *process) ready(t testing.TB) *process {
	t.Helper()
	if got := p.line(t); got != "ready" {
		t.Fatalf("the process said %q; want ready", got)
	}
	return p
}

// read returns the frames as lines, without those of the program's main part.
func (p *process) read(t *testing.T) []string {
	t.Helper()
	frames, err := p.layout.Read(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	return lines(frames)
}

func lines(frames []stack.Frame) []string {
	var lines []string
	for _, f := range frames {
		if f.File != "testdata/situations.pl" {
			lines = append(lines, f.String())
		}
	}
	return lines
}

func TestStackOfAProcessThat(t *testing.T) {
	for name, want := range map[string][]string{
		"asleep": {
			"at lib/Shop/Price.pm line 208",
			"Shop::Price::ask called at lib/Shop/Price.pm line 202",
			"Shop::Price::of called at lib/Shop/Cart.pm line 104",
			"Shop::Cart::total called at app.psgi line 300",
		},
		"in_select":  {"at app.psgi line 302"},
		"in_sysread": {"at app.psgi line 304"},
		"in_sort": {
			"at app.psgi line 400",
			"main::by_number called at app.psgi line 403",
		},
		"in_sort_block": {"at app.psgi line 410", "main::inner called at app.psgi line 407"},
		"in_destroy": {
			"at app.psgi line 500",
			"Guard::DESTROY called at app.psgi line 503",
			"(eval) called at app.psgi line 503",
		},
		"in_tie": {"at app.psgi line 601", "Tied::FETCH called at app.psgi line 605"},
		"in_eval": {
			"at app.psgi line 410",
			"main::inner called at app.psgi line 802",
			"(eval) called at app.psgi line 802",
			"main::__ANON__ called at text line 7",
			"(eval) called at app.psgi line 804",
		},
		"odd_names": {
			"at app.psgi line 410",
			"main::inner called at app.psgi line 902",
			"Spät::n\ufffdl called at app.psgi line 905",
		},
		"in_anonymous": {
			"at app.psgi line 410",
			"main::inner called at app.psgi line 1002",
			"Some::Module::__ANON__ called at app.psgi line 1003",
		},
		"compiles": {
			"at app.psgi line 410",
			"main::inner called at text line 7",
			"main::BEGIN called at text line 7",
			"(eval) called at text line 7",
			"(eval) called at app.psgi line 1007",
		},
	} {
		t.Run("is "+name, func(t *testing.T) {
			p := situation(t, name).ready(t)
			if diff := cmp.Diff(want, p.read(t)); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStackAsItIsForTheCaller(t *testing.T) {
	p := situation(t, "in_select").ready(t)
	got, err := p.layout.Read(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	want := []stack.Frame{
		{File: "app.psgi", Line: 302},
		{Sub: "main::in_select", File: "testdata/situations.pl", Line: 50},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestStackOfABusyProcess(t *testing.T) {
	p := situation(t, "busy").ready(t)
	seen := map[int]bool{} // depths
	for range 2000 {
		frames := p.read(t)
		seen[len(frames)] = true
		for i, f := range frames[1:] {
			if !strings.HasPrefix(f, "main::spin called at app.psgi line 3") {
				t.Fatalf("frame %d is %q", i+1, f)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("the process was always as deep in calls: %v", seen)
	}
}

func TestStackDeeperThanTheLimit(t *testing.T) {
	p := situation(t, "deep").ready(t)
	want := slices.Repeat([]string{"main::descend called at app.psgi line 705"}, stack.MaxFrames)
	want[0] = "at app.psgi line 704"
	if diff := cmp.Diff(want, p.read(t)); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestSubOfAPackageThatIsGone(t *testing.T) {
	p := situation(t, "gone_package").ready(t)
	got := p.read(t)
	if len(got) != 3 || got[2] != "lives called at app.psgi line 1107" {
		t.Errorf("frames %q; want the third to be of a sub without a package", got)
	}
}

func TestReadingCutsNoWaitShort(t *testing.T) {
	p := situation(t, "waits")
	stop, count := make(chan struct{}), make(chan int)
	go p.readAlong(stop, count) // ends when stop is closed
	report := p.line(t)
	close(stop)
	if n := <-count; n < 10 {
		t.Errorf("read only %d times meanwhile", n)
	}
	var slept, selected, polled int
	var seconds float64
	if _, err := fmt.Sscanf(report, "slept %d selected %d polled %d for %f", &slept, &selected, &polled, &seconds); err != nil {
		t.Fatalf("%q: %v", report, err)
	}
	if slept < 1 || selected != 0 || polled != 0 || seconds < 1.99 {
		t.Errorf("%s; want sleep to be 1, nothing found, and 2 s in all", report)
	}
}

// readAlong reads all the time, and says how many times it was.
func (p *process) readAlong(stop chan struct{}, count chan int) {
	n := 0
	for {
		select {
		case <-stop:
			count <- n
			return
		default:
		}
		if _, err := p.layout.Read(p.pid); err == nil {
			n++
		}
	}
}

func TestProcessWithoutAStack(t *testing.T) {
	p := situation(t, "in_sysread").ready(t)
	executed := situation(t, "executes")
	executed.line(t)
	executed.ready(t)
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zombie.Wait() }()
	if err := unix.Waitid(unix.P_PID, zombie.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}

	none := "process %d has no Perl stack where its template has one: has it executed another program? ("
	for name, c := range map[string]struct {
		pid  int
		want string
	}{
		"has ended":                    {ended.Process.Pid, "process %d has ended"},
		"has ended, and is not reaped": {zombie.Process.Pid, "process %d has ended"},
		"has executed another program": {executed.pid, none},
		"is no perl":                   {os.Getpid(), none},
		"is no process":                {0, "process %d has ended"},
		"is not even a number of one":  {-1, "process %d has ended"},
	} {
		frames, err := p.layout.Read(c.pid)
		want := fmt.Sprintf(c.want, c.pid)
		if err == nil || !strings.HasPrefix(err.Error(), want) || len(frames) != 0 {
			t.Errorf("a process that %s: frames %v, error %v; want %s", name, frames, err, want)
		}
	}
}

func TestProcessThatEndsWhileItIsRead(t *testing.T) {
	p := situation(t, "busy").ready(t)
	stop, count := make(chan struct{}), make(chan int)
	go p.readAlong(stop, count) // ends when stop is closed
	_ = unix.Kill(p.pid, unix.SIGKILL)
	for p.lines.Scan() { // until its parent has reaped it, and ends too
	}
	close(stop)
	<-count
	if _, err := p.layout.Read(p.pid); err == nil || err.Error() != fmt.Sprintf("process %d has ended", p.pid) {
		t.Errorf("error %v; want that it has ended", err)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"asleep", "deep"} {
		b.Run(name, func(b *testing.B) {
			p := situation(b, name).ready(b)
			for b.Loop() {
				if _, err := p.layout.Read(p.pid); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
