package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

// echoEnv makes the test binary a worker that answers every request at once.
const echoEnv = "THRALLD_TEST_ECHO"

// echo answers what comes on descriptor 3 with the head of a small page, until the
// other side is gone.
func echo() {
	buf := make([]byte, psgi.MaxFrame)
	head := psgi.AppendFrame(nil, psgi.TypeHead, psgi.FlagEnd, 0, psgi.AppendList(
		[]byte{0, 200, 0, 0, 0, 20, 0, 0, 0, 13, 'H', 'e', 'l', 'l', 'o', ',', ' ', 'W', 'o', 'r', 'l', 'd', '!'},
		0, 0, 0, "Content-Type", "text/plain", "Content-Length", "13"))
	const listHeader = 8 // that of AppendList, in the middle of the payload
	at := 8 + 23
	head = append(head[:at], head[at+listHeader:]...)
	for {
		n, err := unix.Read(3, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n < 8:
			return
		}
		copy(head[4:8], buf[4:8])
		if _, err := unix.Write(3, head); err != nil {
			return
		}
	}
}

// pageRequest is a request as a browser's would be, of some 700 bytes.
func pageRequest() *psgi.Request {
	r := &psgi.Request{ID: "0123456789abcdef", Line: "GET /"}
	for i := range 24 {
		r.Env.Set(fmt.Sprintf("HTTP_HEADER_%02d", i), "0123456789")
	}
	return r
}

// BenchmarkCall is a call from its beginning to the closing of its response, by way
// of the kernel and another process. Beside the time, which says little on a busy
// machine, it tells how often this process and the worker gave up the processor.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 8, 32} {
		for _, workers := range []int{1, 4} {
			b.Run(fmt.Sprintf("callers=%d/workers=%d", callers, workers), func(b *testing.B) {
				benchmarkCall(b, callers, workers)
			})
		}
	}
}

func benchmarkCall(b *testing.B, callers, workers int) {
	s := &Supervisor{
		log: zap.NewNop(), appLog: zap.NewNop(), dispatcher: newDispatcher(zap.NewNop()),
		messages: make(chan func()), done: make(chan struct{}),
	}
	close(s.done)
	s.dispatcher.maxQueue = callers
	var readers sync.WaitGroup
	defer readers.Wait()
	var children []*exec.Cmd
	for i := range workers {
		slot, err := newSlot(i, 1, 0, s.logLine)
		if err != nil {
			b.Fatal(err)
		}
		defer slot.close()
		readers.Go(func() { s.readWorkers(slot) })
		readers.Go(slot.logs.run)
		child := exec.Command(os.Args[0])
		child.Env, child.ExtraFiles = append(os.Environ(), echoEnv+"=1"), []*os.File{slot.socket.workers}
		if err := child.Start(); err != nil {
			b.Fatal(err)
		}
		defer child.Wait()         //nolint:errcheck // it is killed
		defer child.Process.Kill() //nolint:errcheck // it is ours
		children = append(children, child)
		s.dispatcher.admit(slot, make(chan struct{}), 0)
	}
	call := func(r *psgi.Request) {
		response, err := s.Call(b.Context(), r)
		if err != nil {
			b.Error(err)
			return
		}
		if piece, _ := response.Body.Next(); len(piece) != 13 {
			b.Errorf("a body of %d bytes", len(piece))
		}
		_ = response.Body.Close()
	}
	for range 1000 {
		call(pageRequest())
	}

	before, beforeThem := switches(b, os.Getpid()), 0
	for _, child := range children {
		beforeThem += switches(b, child.Process.Pid)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var done atomic.Int64
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			r := pageRequest()
			for done.Add(1) <= int64(b.N) {
				call(r)
				runtime.Gosched()
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	them := -beforeThem
	for _, child := range children {
		them += switches(b, child.Process.Pid)
	}
	b.ReportMetric(float64(switches(b, os.Getpid())-before)/float64(b.N), "waits/op")
	b.ReportMetric(float64(them)/float64(b.N), "workerwaits/op")
}

// switches is how often the threads of a process gave up the processor to wait.
func switches(b *testing.B, pid int) int {
	b.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		b.Fatal(err)
	}
	sum := 0
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		sum += statusField(string(text), "voluntary_ctxt_switches")
	}
	return sum
}

func statusField(text, name string) (n int) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			_, _ = fmt.Sscan(value, &n)
		}
	}
	return n
}
