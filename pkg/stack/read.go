package stack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	// MaxFrames is how many frames are read: the innermost.
	MaxFrames = 100

	maxTries    = 10
	maxStacks   = 1000    // sort in sort in sort
	maxContexts = 1 << 16 // of all stacks: loops and blocks lie between the frames
	atOnce      = 64      // contexts in one read
	typeMask    = 15      // of a context's first byte; the other bits are flags
)

var errNowhere = errors.New("the address is none")

// Frame is a place in Perl code. The first of a stack is where the process is, and
// has no Sub; each other is where the sub of that name was called, as in the
// messages of Carp. The name is that of package and sub, or "(eval)". What could not
// be read is empty, or 0.
type Frame struct {
	Sub, File string
	Line      int
}

// String is the frame as a line of Carp's messages.
func (f Frame) String() string {
	place := fmt.Sprintf("at %s line %d", f.File, f.Line)
	if f.File == "" {
		place = "at an unknown place"
	}
	if f.Sub == "" {
		return place
	}
	return f.Sub + " called " + place
}

// Read returns the stack of a process, innermost first, at most MaxFrames. The
// process must be a fork of the one that the layout is of, and runs on meanwhile.
// Read does not wait for it, and takes about a millisecond.
//
// It fails when the process has ended, when its memory may not be read, or when no
// stack is where it should be.
func (l *Layout) Read(pid int) ([]Frame, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err == nil {
		defer f.Close()
		var frames []Frame
		if frames, err = l.read(f); err == nil {
			return frames, nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH), errors.Is(err, io.EOF), isZombie(pid):
		return nil, fmt.Errorf("process %d has ended", pid)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the memory of process %d may not be read: does it run as another user, "+
			"or may nobody be traced here (kernel.yama.ptrace_scope)? (%v)", pid, err)
	}
	return nil, fmt.Errorf("process %d has no Perl stack where its template has one: has it executed another program? (%v)", pid, err)
}

// isZombie tells whether the process has ended and its parent does not know yet. It
// has no memory then, and who is not root may not even look.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	state := bytes.LastIndexByte(stat, ')') + 2 // behind the name, which may hold anything
	return err == nil && state < len(stat) && stat[state] == 'Z'
}

// read tries until the stack is the same before and after. For a process that calls
// and returns all the time the last try is as good as any.
func (l *Layout) read(from io.ReaderAt) ([]Frame, error) {
	m := &memory{from: from}
	var calls []call
	var err error
	for range maxTries {
		before := l.top(m)
		calls, err = l.calls(m)
		if err == nil && bytes.Equal(before, l.top(m)) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return l.frames(m, l.dropOpen(m, calls)), nil
}

// call is a frame before its names are known: addresses. The sub of an eval is 0.
type call struct {
	eval    bool
	cop, cv uint64
}

// top is what changes with every call and every return: how deep the stack is, and
// the innermost context.
func (l *Layout) top(m *memory) []byte {
	s := l.stackAt(m, m.word(l.curstackinfo))
	b := make([]byte, l.cxSize)
	if s.count > 0 {
		m.bytes(s.contexts+uint64(s.count-1)*l.cxSize, b)
	}
	b = binary.NativeEndian.AppendUint64(b, s.contexts)
	return binary.NativeEndian.AppendUint64(b, uint64(s.count))
}

// stack is one of the chain.
type stack struct {
	contexts uint64 // where the outermost is
	count    int
	prev     uint64
}

func (l *Layout) stackAt(m *memory, info uint64) stack {
	return stack{
		contexts: m.word(info + l.siCxstack),
		count:    int(int32(m.number(info+l.siCxix))) + 1,
		prev:     m.word(info + l.siPrev),
	}
}

// calls reads the chain of stacks, innermost first.
func (l *Layout) calls(m *memory) ([]call, error) {
	m.err = nil
	info := m.word(l.curstackinfo)
	calls := []call{{cop: m.word(l.curcop)}}
	left := maxContexts
	for range maxStacks {
		s := l.stackAt(m, info)
		if m.err != nil {
			return nil, m.err
		}
		if s.contexts == 0 || s.count < 0 {
			return nil, fmt.Errorf("a stack of %d contexts at %#x", s.count, s.contexts)
		}
		for end := s.count; end > 0 && left > 0 && len(calls) < MaxFrames; end -= atOnce {
			n := min(end, atOnce)
			left -= n
			some := make([]byte, uint64(n)*l.cxSize)
			if !m.bytes(s.contexts+uint64(end-n)*l.cxSize, some) {
				return nil, m.err
			}
			calls = l.appendCalls(calls, some)
		}
		if s.prev == 0 || left <= 0 || len(calls) >= MaxFrames {
			break
		}
		info = s.prev
	}
	return calls[:min(len(calls), MaxFrames)], nil
}

// appendCalls appends those of the contexts that are calls, the last one first.
func (l *Layout) appendCalls(calls []call, contexts []byte) []call {
	for end := uint64(len(contexts)); end >= l.cxSize; end -= l.cxSize {
		context := contexts[end-l.cxSize : end]
		c := call{cop: binary.NativeEndian.Uint64(context[l.cxOldcop:])}
		switch uint64(context[0] & typeMask) {
		case l.cxSub:
			c.cv = binary.NativeEndian.Uint64(context[l.cxCV:])
		case l.cxEval:
			c.eval = true
		default:
			continue
		}
		calls = append(calls, c)
	}
	return calls
}

// dropOpen leaves out the innermost calls that have no sub: perl is about to make
// them, or has just come back from them.
func (l *Layout) dropOpen(m *memory, calls []call) []call {
	open := 1
	for open < len(calls) && !calls[open].eval && l.typeOf(m, calls[open].cv) != l.cvType {
		open++
	}
	return append(calls[:1], calls[open:]...)
}
