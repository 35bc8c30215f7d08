package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// counted are the packages whose benchmarks' allocations are recorded.
var counted = []string{"./pkg/psgi", "./pkg/server", "./pkg/supervisor"}

// count counts what a noisy machine cannot blur.
func (b *bench) count(ctx context.Context) (counts, error) {
	fmt.Fprintln(b.out, "counting allocations, system calls and instructions")
	c := counts{SystemCalls: map[string]float64{}, Waits: map[string]float64{}}
	var err error
	if c.Allocations, err = allocations(ctx); err != nil {
		return c, err
	}
	for _, connections := range []int{1, 32} {
		for _, process := range []string{"daemon", "worker"} {
			work, waits, err := b.systemCalls(ctx, process, connections)
			if err != nil {
				return c, fmt.Errorf("count the system calls of the %s: %w", process, err)
			}
			name := fmt.Sprintf("%s, connections: %d", process, connections)
			c.SystemCalls[name] = rounded(work)
			if process == "daemon" && connections == 1 { // with more it is chance
				c.Waits[name] = rounded(waits)
			}
		}
	}
	c.Instructions, err = b.instructions(ctx)
	return c, err
}

// allocations runs the benchmarks of Go, a fixed number of times: only what they allocate counts.
func allocations(ctx context.Context) (map[string]float64, error) {
	command := append([]string{"go", "test", "-run=NONE", "-bench=.", "-benchmem", "-benchtime=2000x"}, counted...)
	output, err := run(ctx, 5*time.Minute, command...)
	if err != nil {
		return nil, err
	}
	return parseBenchmarks(output), nil
}

// benchmarkLine is the name without the number of processors, and the allocations.
var benchmarkLine = regexp.MustCompile(`^(Benchmark[^\s]*?)(?:-\d+)?\s.*\s(\d+) allocs/op`)

func parseBenchmarks(output []byte) map[string]float64 {
	found := map[string]float64{}
	name := ""
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		if after, ok := strings.CutPrefix(lines.Text(), "pkg: "); ok {
			name = strings.TrimPrefix(after, "github.com/thralld/thralld/")
		}
		if match := benchmarkLine.FindStringSubmatch(lines.Text()); match != nil {
			found[name+" "+match[1]], _ = strconv.ParseFloat(match[2], 64)
		}
	}
	return found
}

// traced is how many requests are made under strace.
const traced = 3200

// waiting are the system calls of Go's runtime, by which threads wait, wake each other up and look
// after memory. How many there are is decided by the moment; the others follow from the requests.
var waiting = map[string]bool{
	"futex": true, "nanosleep": true, "epoll_pwait": true, "sched_yield": true, "restart_syscall": true,
	"tgkill": true, "getpid": true, "rt_sigreturn": true, "rt_sigprocmask": true, "sched_getaffinity": true,
	"madvise": true, "mmap": true, "munmap": true, "clone": true, "clone3": true, "sigaltstack": true, "gettid": true,
}

// systemCalls counts those of the daemon (all its threads) or of its only worker, for one request of hello.
func (b *bench) systemCalls(ctx context.Context, process string, connections int) (work, waits float64, err error) {
	j := &job{bench: b, workload: workloadNamed("hello-32"), peer: peers[0]}
	err = j.with(ctx, func(at *place) { at.workers = 1; at.control = b.folder + "/control" }, func(s *server) error {
		requests(s, connections, 320).forget()
		pid := s.command.Process.Pid
		if process == "worker" {
			var err error
			if pid, err = onlyWorker(ctx, s); err != nil {
				return err
			}
		}
		table, err := strace(ctx, pid, b.folder+"/strace", func() error {
			if seen := requests(s, connections, traced); seen.failed > 0 {
				return fmt.Errorf("%d requests failed: %w", seen.failed, seen.err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for call, number := range parseStrace(table) {
			if process == "daemon" && waiting[call] {
				waits += number / traced
			} else {
				work += number / traced
			}
		}
		if work == 0 {
			return fmt.Errorf("strace has seen none: %q", table)
		}
		return nil
	})
	return work, waits, err
}

// onlyWorker asks the daemon for the pid of its worker.
func onlyWorker(ctx context.Context, s *server) (int, error) {
	output, err := run(ctx, 10*time.Second, thralld(), "status", "--json", "--control="+s.at.control)
	if err != nil {
		return 0, err
	}
	var status struct {
		Workers []struct {
			PID int `json:"pid"`
		} `json:"worker_list"`
	}
	if err := json.Unmarshal(output, &status); err != nil {
		return 0, fmt.Errorf("read the status: %v", err)
	}
	if len(status.Workers) != 1 || status.Workers[0].PID == 0 {
		return 0, fmt.Errorf("not one worker in %s", output)
	}
	return status.Workers[0].PID, nil
}

// strace counts the system calls of a process, with all its threads, while do runs.
func strace(ctx context.Context, pid int, path string, do func() error) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tracer := exec.CommandContext(ctx, "strace", "-c", "-f", "-U", "calls,name", "-o", path, "-p", strconv.Itoa(pid))
	messages, err := tracer.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := tracer.Start(); err != nil {
		return nil, fmt.Errorf("start strace: %w", err)
	}
	lines := bufio.NewScanner(messages)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		said := lines.Text()
		_ = tracer.Process.Kill() // both are about one that has failed already
		_ = tracer.Wait()
		return nil, fmt.Errorf("strace did not attach: %s", said)
	}
	err = do()
	_ = tracer.Process.Signal(syscall.SIGINT) // one that has ended leaves no table, which is noticed
	for lines.Scan() {
		continue // or it would wait for us
	}
	_ = tracer.Wait() // it ends by the signal that we have sent
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// parseStrace reads the table of strace -c -U calls,name.
func parseStrace(table []byte) map[string]float64 {
	calls := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 || fields[1] == "total" {
			continue
		}
		if number, err := strconv.ParseFloat(fields[0], 64); err == nil {
			calls[fields[1]] += number
		}
	}
	return calls
}

// instructions counts those that a worker needs for one request, of some kinds that worker.pl knows:
// the difference between two runs, so that the start does not count.
func (b *bench) instructions(ctx context.Context) (map[string]float64, error) {
	const few, many = 500, 1500
	found := map[string]float64{}
	for _, kind := range []string{"hello", "headers", "post"} {
		less, err := b.callgrind(ctx, kind, few)
		if err != nil {
			return nil, err
		}
		more, err := b.callgrind(ctx, kind, many)
		if err != nil {
			return nil, err
		}
		found["worker, "+kind] = rounded((more - less) / (many - few))
	}
	return found, nil
}

func (b *bench) callgrind(ctx context.Context, kind string, requests int) (float64, error) {
	profile := filepath.Join(b.folder, "callgrind")
	_, err := run(ctx, 3*time.Minute, "env", "PERL_HASH_SEED=0", "PERL_PERTURB_KEYS=0",
		"valgrind", "-q", "--tool=callgrind", "--callgrind-out-file="+profile,
		"perl", "-Ipkg/psgi/perl", "bench/worker.pl", "bench/apps/hello.psgi", strconv.Itoa(requests), kind)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return 0, fmt.Errorf("read the profile of the worker: %w", err)
	}
	return parseCallgrind(text)
}

var callgrindTotal = regexp.MustCompile(`(?m)^(?:totals|summary): (\d+)`)

func parseCallgrind(profile []byte) (float64, error) {
	match := callgrindTotal.FindSubmatch(profile)
	if match == nil {
		return 0, fmt.Errorf("no total in the profile")
	}
	return strconv.ParseFloat(string(match[1]), 64)
}
