package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/pkg/psgi"
)

func newTestWire(t *testing.T) *socketWire {
	t.Helper()
	w, err := newSocketWire()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func request(t *testing.T, id uint32) []byte {
	t.Helper()
	frame, err := psgi.AppendRequest(nil, id, &psgi.Request{Body: make([]byte, 10_000)})
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// The ground on which revocation stands: while a worker reads its queue and we
// take back from it, each frame goes to one of the two, and none to both.
func TestKernelGivesEachFrameToTheWorkerOrToUs(t *testing.T) {
	w := newTestWire(t)
	const requests = 5000
	read := make(map[uint32]int)
	var worker sync.WaitGroup
	worker.Go(func() {
		buf := make([]byte, psgi.MaxFrame)
		for {
			n, err := w.workers.Read(buf)
			if err != nil {
				t.Errorf("worker: %v", err)
				return
			}
			frame, _ := psgi.ParseFrame(buf[:n])
			if frame.Type == psgi.TypeQuit {
				return
			}
			read[frame.ID]++
		}
	})
	back := make(map[uint32]int)
	for id := range uint32(requests) {
		if err := w.send(request(t, id)); err != nil {
			t.Fatal(err)
		}
		if id%3 == 0 {
			for _, id := range w.takeBack(false) {
				back[id]++
			}
		}
	}
	if err := w.send(quitFrame); err != nil {
		t.Fatal(err)
	}
	worker.Wait()
	for id := range uint32(requests) {
		if read[id]+back[id] != 1 {
			t.Fatalf("request %d: read %d times, taken back %d times", id, read[id], back[id])
		}
	}
	t.Logf("%d read, %d taken back", len(read), len(back))
}

func TestTakingBackLeavesOrdersInTheQueue(t *testing.T) {
	w := newTestWire(t)
	cancel := psgi.AppendFrame(nil, psgi.TypeCancel, 0, 1, nil)
	for _, frame := range [][]byte{request(t, 1), cancel, request(t, 2), quitFrame} {
		if err := w.send(frame); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]uint32{1, 2}, w.takeBack(false)); diff != "" {
		t.Errorf("taken back (-want +got):\n%s", diff)
	}
	buf := make([]byte, psgi.MaxFrame)
	for _, want := range []psgi.Type{psgi.TypeCancel, psgi.TypeQuit} {
		n, err := w.workers.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if frame, _ := psgi.ParseFrame(buf[:n]); frame.Type != want {
			t.Errorf("the worker read %d, want %d", frame.Type, want)
		}
	}
}

func TestOrdersForADeadWorkerDoNotReachTheNext(t *testing.T) {
	w := newTestWire(t)
	if err := w.send(quitFrame); err != nil {
		t.Fatal(err)
	}
	w.takeBack(true)
	buf := make([]byte, psgi.MaxFrame)
	if _, _, err := unix.Recvfrom(int(w.workers.Fd()), buf, unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("the queue of the next worker: %v, want EAGAIN", err)
	}
}

func newTestBatch(t *testing.T) *batch {
	t.Helper()
	b, err := newBatch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.release)
	return b
}

func TestWakeLetsReceiveTakeInWhatIsThere(t *testing.T) {
	w, b := newTestWire(t), newTestBatch(t)
	for id := range byte(batchSize + 3) {
		if _, err := w.workers.Write([]byte{17, 0, 0, 0, 0, 0, 0, id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.wake(); err != nil {
		t.Fatal(err)
	}
	quick := func() bool {
		t.Errorf("%d frames after wake", b.count)
		return false
	}
	if err := w.receive(b, quick); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after wake: %v", err)
	}
	for _, want := range []int{batchSize, 3, 0} {
		if some := w.receiveLeft(b); some != (want > 0) || b.count != want {
			t.Errorf("%d frames were left, want %d", b.count, want)
		}
	}
	if err := w.rest(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.workers.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := w.receive(b, func() bool { return false }); err != nil || b.count != 1 {
		t.Errorf("after rest: %d frames, %v", b.count, err)
	}
}

// Frames come one by one, in bursts that fill a batch to the brim, and while one is
// being handled. A frame that were missed would be missed for ever: no other follows
// until all of a burst have been taken in.
func TestNoFrameIsMissedHoweverManyComeAtATime(t *testing.T) {
	w, b := newTestWire(t), newTestBatch(t)
	taken := make(chan int)
	var reading sync.WaitGroup
	reading.Go(func() { // ends when the wire is closed
		next := uint32(0)
		take := func(n int) {
			for ; n > 0; n-- {
				f, err := psgi.ParseFrame(b.bytes(b.next))
				if err != nil || f.ID != next {
					t.Errorf("frame %d came as %d, %v", next, f.ID, err)
				}
				next++
				b.next++
			}
			taken <- int(next)
		}
		for {
			err := w.receive(b, func() bool {
				take(b.count - int(b.messages[0].length)%2) // sometimes not all
				return b.left() == 0
			})
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("receive: %v", err)
				return
			}
			take(b.left())
		}
	})
	sent, n := 0, 0
	for i := range 3000 {
		for range 1 + i%(2*batchSize) {
			frame := psgi.AppendFrame(nil, psgi.TypeHead, 0, uint32(sent), make([]byte, i%7))
			if _, err := w.workers.Write(frame); err != nil {
				t.Fatal(err)
			}
			sent++
			select {
			case n = <-taken:
			default:
			}
		}
		for n < sent {
			select {
			case n = <-taken:
			case <-time.After(limit):
				t.Fatalf("%d frames were sent, and not all came", sent)
			}
		}
	}
	go func() { // ends with the reader
		for range taken {
		}
	}()
	w.close()
	reading.Wait()
	close(taken)
}

func TestLargestFramesComeWholeAndSideBySide(t *testing.T) {
	w, b := newTestWire(t), newTestBatch(t)
	frame := psgi.AppendFrame(nil, psgi.TypeBody, 0, 7, make([]byte, psgi.MaxFrame-8))
	for i := range frame[8:] {
		frame[8+i] = byte(i * 7)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for range 3 {
			if _, err := w.workers.Write(frame); err != nil {
				t.Error(err)
			}
		}
	})
	for got := 0; got < 3; got += b.count {
		if err := w.receive(b, func() bool { return false }); err != nil {
			t.Fatal(err)
		}
		for i := range b.count {
			if !bytes.Equal(b.bytes(i), frame) {
				t.Errorf("a frame of %d bytes is another one", len(b.bytes(i)))
			}
		}
	}
	writing.Wait()
}

func TestNothingIsSentOnAWireThatIsClosed(t *testing.T) {
	w := newTestWire(t)
	w.close()
	if err := w.send(quitFrame); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
}

func TestLinesOfAWorker(t *testing.T) {
	var lines []string
	p, err := newLogPipe(func(line, _ string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	show := func(text string) {
		if _, err := io.WriteString(p.end, text); err != nil {
			t.Fatal(err)
		}
		p.drain()
	}
	show("one\ntw")
	show("o\r\n\nno end")
	last := p.finish()
	want := []string{"one", "two", "", "no end"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("last lines (-want +got):\n%s", diff)
	}

	lines = nil
	for i := range 2 * lastLines {
		show(fmt.Sprintln(i))
	}
	if last := p.finish(); len(last) != lastLines || last[0] != fmt.Sprint(lastLines) {
		t.Errorf("last lines: %d, from %q", len(last), last[0])
	}
}

func TestMarkedLinesNameTheirRequest(t *testing.T) {
	var got []string
	p, err := newLogPipe(func(line, request string) { got = append(got, request+": "+line) })
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	longest := strings.Repeat("r", psgi.MaxID)
	text := "\x1e" + longest + "\x1flong\n\x1e\x1f\x1er1\x1fone\n\x1e\x1fraw\n\x1er2\x1fhalf \x1e\x1f\x1er2\x1fline\n\x1e\x1f\x1er2\x1f\n\x1e\x1f" +
		"\x1e no mark " + strings.Repeat("x", maxMark) + "\n"
	want := []string{longest + ": long", "r1: one", ": raw", "r2: half line", "r2: ", ": \x1e no mark " + strings.Repeat("x", maxMark)}
	for size := 1; size < len(text); size++ { // however the pipe cuts it
		got = nil
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if _, err := io.WriteString(p.end, rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
			p.drain()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("in pieces of %d (-want +got):\n%s", size, diff)
		}
	}
}

func TestEndlessLineIsCutInPieces(t *testing.T) {
	longest := 0
	p, err := newLogPipe(func(line, _ string) { longest = max(longest, len(line)) })
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 100 {
		if _, err := p.end.Write(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		p.drain()
	}
	if longest < maxLine || longest > maxLine+4096 {
		t.Errorf("the longest piece has %d bytes", longest)
	}
}
