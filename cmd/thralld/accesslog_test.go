package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// accessTo makes a log that writes to path, and what it says of itself.
func accessTo(t *testing.T, path string) (*accessLog, *observer.ObservedLogs) {
	t.Helper()
	file, err := firstAccessFile(path, myself())
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	return newAccessLog(file, zap.New(core)), logs
}

// say writes a line with a number.
func say(t *testing.T, a *accessLog, number int) {
	t.Helper()
	text := "line " + strconv.Itoa(number) + "\n"
	if n, err := a.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestLinesAreWrittenWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		a, _ := accessTo(t, path)
		for i := range 3 {
			say(t, a, 2*i)
			say(t, a, 2*i+1)
			if lines := strings.Count(content(t, path), "\n"); lines != 2*i {
				t.Errorf("%d lines before their time", lines)
			}
			time.Sleep(time.Second)
			if lines := strings.Count(content(t, path), "\n"); lines != 2*i+2 {
				t.Errorf("%d lines after a second, want %d", lines, 2*i+2)
			}
		}
		a.close()
	})
}

func TestManyLinesAreWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		a, _ := accessTo(t, path)
		defer a.close()
		for i := range accessEnough / len("line n\n") {
			say(t, a, i)
		}
		synctest.Wait() // no time passes
		if text := content(t, path); len(text) < accessEnough {
			t.Errorf("%d bytes", len(text))
		}
	})
}

func TestEndOfTheDaemonWritesWhatThereIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a, logs := accessTo(t, path)
	say(t, a, 1)
	a.close()
	if got := content(t, path); got != "line 1\n" || logs.Len() > 0 {
		t.Errorf("got %q, and %v", got, logs.All())
	}
}

func TestReopenedAccessLogLosesNoLineAndParts(t *testing.T) {
	const writers, each, turns = 4, 2000, 30
	path := filepath.Join(t.TempDir(), "log")
	a, _ := accessTo(t, path)
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for i := range each {
				say(t, a, w*each+i)
			}
		})
	}
	for turn := range turns {
		old := path + strconv.Itoa(turn)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		_, _ = a.Write([]byte("before " + old + "\n"))
		if err := a.reopen(); err != nil {
			t.Fatal(err)
		}
		if text := content(t, old); strings.Count(text, "before") != 1 || !strings.Contains(text, "before "+old+"\n") {
			t.Errorf("%s has another part than its own", old)
		}
	}
	done.Wait()
	a.close()

	files, _ := filepath.Glob(path + "*")
	var numbers []int
	for _, file := range files {
		for line := range strings.Lines(content(t, file)) {
			if number, ok := strings.CutPrefix(line, "line "); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(number))
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	if len(files) != turns+1 || len(numbers) != writers*each || len(slices.Compact(numbers)) != writers*each {
		t.Errorf("%d lines in %d files", len(numbers), len(files))
	}
}

func TestAccessLogThatCannotBeReopenedStaysInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a, _ := accessTo(t, path)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := a.reopen(); err == nil || err.Error() != "reopen log file "+path+": is a directory" {
		t.Errorf("got %v", err)
	}
	say(t, a, 1)
	a.close()
	if got := content(t, path+".old"); got != "line 1\n" {
		t.Errorf("the old file has %q", got)
	}
}

func TestCopiedAndTruncatedAccessLogGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a, _ := accessTo(t, path)
	say(t, a, 1)
	if err := a.reopen(); err != nil { // it is written
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	say(t, a, 2)
	a.close()
	if got := content(t, path); got != "line 2\n" {
		t.Errorf("got %q", got)
	}
}

func TestFullDiskLosesNoLineThatThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, logs := accessTo(t, "/dev/full")
		say(t, a, 1)
		time.Sleep(time.Second)
		first := logs.TakeAll()
		if len(first) != 1 || first[0].Message != "access log cannot be written; lines wait in memory while there is room" ||
			first[0].ContextMap()["error"] != "write /dev/full: no space left on device" {
			t.Errorf("the log has %v", first)
		}
		say(t, a, 2)
		time.Sleep(time.Second)

		path := filepath.Join(t.TempDir(), "log")
		file, err := a.prepare(path)
		if err != nil {
			t.Fatal(err)
		}
		a.exchange(file)
		a.close()
		if got := content(t, path); got != "line 1\nline 2\n" {
			t.Errorf("got %q", got)
		}
		if told := logs.FilterMessage("access log is written again").Len(); told != 1 || a.lostLines() != 0 {
			t.Errorf("told %d times, %d lines lost", told, a.lostLines())
		}
	})
}

func TestLostLinesAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, logs := accessTo(t, "/dev/full")
		said := 0
		for range 10 * 60 * 5 / 2 {
			long := strings.Repeat("x", 1<<10) + "\n"
			_, _ = a.Write([]byte(long))
			said++
			time.Sleep(100 * time.Millisecond)
		}
		told := logs.FilterMessage("lines of the access log are lost, as it cannot be written in time").All()
		if len(told) < 1 || len(told) > 3 {
			t.Errorf("told %d times in 2.5 minutes", len(told))
		}
		a.close()
		if lost := a.lostLines(); lost != int64(said) {
			t.Errorf("%d of %d lines are lost in the end", lost, said)
		}
		all := logs.FilterMessage("lines of the access log are lost, as it cannot be written in time").All()
		if last := all[len(all)-1].ContextMap(); last["in_all"] != int64(said) || last["path"] != "/dev/full" {
			t.Errorf("last told: %v", last)
		}
	})
}

// fifo makes a FIFO with a reader that does not read yet.
func fifo(t *testing.T) (path string, reader *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return path, reader
}

func TestReaderThatIsSlowHoldsUpNobody(t *testing.T) {
	path, reader := fifo(t)
	a, _ := accessTo(t, path)
	const all = 3 * accessRoom / 100
	for i := range all { // would not end if it waited
		fmt.Fprintf(a, "%099d\n", i)
	}
	lost := int(a.lostLines())
	if lost == 0 || lost == all {
		t.Fatalf("%d of %d lines are lost", lost, all)
	}
	read := make(chan int)
	go func() { // ends with the last line
		n, last := 0, -1
		for lines := bufio.NewScanner(reader); n < all-lost && lines.Scan(); n++ {
			number, err := strconv.Atoi(lines.Text())
			if err != nil || len(lines.Text()) != 99 || number <= last {
				t.Errorf("a line that was not said: %q", lines.Text())
			}
			last = number
		}
		read <- n
	}()
	a.close()
	if n := <-read; n != all-lost {
		t.Errorf("%d lines are read, %d of %d lost", n, lost, all)
	}
}

func TestReaderThatDoesNotReadHoldsUpNoExchange(t *testing.T) {
	path, reader := fifo(t)
	a, _ := accessTo(t, path)
	for i := range accessRoom / 2 / 100 { // more than a pipe takes
		fmt.Fprintf(a, "%099d\n", i)
	}
	var files []string
	for i := range 3 {
		files = append(files, filepath.Join(t.TempDir(), strconv.Itoa(i)))
		file, err := a.prepare(files[i])
		if err != nil {
			t.Fatal(err)
		}
		a.exchange(file)
		say(t, a, i)
	}
	go func() { // ends with the FIFO
		for lines := bufio.NewScanner(reader); lines.Scan(); {
		}
	}()
	a.close()
	if lost := a.lostLines(); lost != 0 {
		t.Errorf("%d lines are lost", lost)
	}
	if got := content(t, files[2]); got != "line 0\nline 1\nline 2\n" {
		t.Errorf("got %q", got)
	}
}

func TestReaderThatDoesNotReadHoldsUpNoEnd(t *testing.T) {
	path, _ := fifo(t)
	a, logs := accessTo(t, path)
	a.patience = 10 * time.Millisecond
	const all = accessRoom / 2 / 100
	for i := range all {
		fmt.Fprintf(a, "%099d\n", i)
	}
	a.close()
	if lost := a.lostLines(); lost == 0 || lost > all {
		t.Errorf("%d of %d lines are lost", lost, all)
	}
	if logs.FilterMessage("lines of the access log are lost, as it cannot be written in time").Len() != 1 {
		t.Errorf("the log has %v", logs.All())
	}
}

func TestHalfALineIsEndedWhereItWasBegun(t *testing.T) {
	a := &accessLog{out: []byte("one\ntwo\nthree\n")}
	a.keep(len("one\ntw"))
	if string(a.out) != "two\nthree\n" || string(a.out[a.begun:]) != "o\nthree\n" {
		t.Errorf("left: %q, from %d", a.out, a.begun)
	}
	a.keep(a.begun + len("o\nthree\n"))
	if len(a.out) != 0 || a.begun != 0 {
		t.Errorf("left: %q, from %d", a.out, a.begun)
	}
}

func TestLogThatIsTurnedOffAndOnAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a, logs := accessTo(t, path)
	say(t, a, 1)
	for i, to := range []string{"", path} {
		file, err := a.prepare(to)
		if err != nil {
			t.Fatal(err)
		}
		a.exchange(file)
		say(t, a, i+2)
	}
	a.close()
	if got := content(t, path); got != "line 1\nline 3\n" || logs.Len() > 0 || a.lostLines() != 0 {
		t.Errorf("got %q, and %v", got, logs.All())
	}
}

func TestLinesThatCouldNotBeWrittenAreLostWhenTheLogIsTurnedOff(t *testing.T) {
	a, _ := accessTo(t, "/dev/full")
	say(t, a, 1)
	file, err := a.prepare("")
	if err != nil {
		t.Fatal(err)
	}
	a.exchange(file)
	a.close()
	if lost := a.lostLines(); lost != 1 {
		t.Errorf("%d lines are lost", lost)
	}
}

func BenchmarkAccessLogWrite(b *testing.B) {
	core, _ := observer.New(zapcore.InfoLevel)
	file, err := openAccessFile(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	a := newAccessLog(file, zap.New(core))
	line := []byte(strings.Repeat("x", 150) + "\n")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = a.Write(line)
	}
	a.close()
	b.ReportMetric(float64(a.lostLines())/float64(b.N), "lost/op")
}
