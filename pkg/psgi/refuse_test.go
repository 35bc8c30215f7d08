package psgi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestFrameCutShortIsRefused(t *testing.T) {
	for _, g := range readGoldens(t) {
		for n := range len(g.Bytes) {
			f, err := psgi.ParseFrame(g.Bytes[:n])
			if n < 8 {
				if !errors.Is(err, psgi.ErrFrame) {
					t.Errorf("%s: %d bytes: error %v; want ErrFrame", g.Name, n, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %d bytes: %v", g.Name, n, err)
				continue
			}
			// A list may end between two strings; nothing else may end early.
			if err := reencodes(f); err != nil {
				t.Errorf("%s: %d bytes: %v", g.Name, n, err)
			}
		}
	}
}

func TestFrameWithReservedBytesIsRefused(t *testing.T) {
	for _, at := range []int{2, 3} {
		b := psgi.AppendFrame(nil, psgi.TypeIdle, 0, 1, nil)
		b[at] = 1
		if _, err := psgi.ParseFrame(b); !errors.Is(err, psgi.ErrFrame) {
			t.Errorf("byte %d is 1: error %v; want ErrFrame", at, err)
		}
	}
}

func TestProcessWithMoreThanAPidIsRefused(t *testing.T) {
	f := psgi.Frame{Type: psgi.TypeReady, Payload: make([]byte, 8)}
	if _, err := f.Process(); !errors.Is(err, psgi.ErrFrame) {
		t.Errorf("error %v; want ErrFrame", err)
	}
}

// What is no process to the kernel may be all of them.
func TestProcessThatIsNoneIsRefused(t *testing.T) {
	for _, pid := range []uint32{0, 1, 1 << 31, math.MaxUint32} {
		f := psgi.Frame{Type: psgi.TypeReady, Payload: binary.BigEndian.AppendUint32(nil, pid)}
		if _, err := f.Process(); !errors.Is(err, psgi.ErrFrame) {
			t.Errorf("%d: error %v; want ErrFrame", pid, err)
		}
	}
}

func TestFileRefWithNonsenseIsRefused(t *testing.T) {
	negative := binary.BigEndian.AppendUint64(make([]byte, 4), 1<<63)
	for name, body := range map[string][]byte{
		"empty":           nil,
		"too short":       make([]byte, 19),
		"too long":        make([]byte, 21),
		"negative offset": append(slices.Clone(negative), make([]byte, 8)...),
		"negative length": append(make([]byte, 12), negative[4:]...),
	} {
		if ref, err := (psgi.Head{Body: body}).FileRef(); !errors.Is(err, psgi.ErrFrame) {
			t.Errorf("%s: %v, error %v; want ErrFrame", name, ref, err)
		}
	}
}

func TestHeaderWithANameAndNoValueIsRefused(t *testing.T) {
	f := psgi.Frame{Payload: binary.BigEndian.AppendUint16(nil, 103)}
	f.Payload = append(f.Payload, psgi.AppendList(nil, 0, 0, 0, "Link")[8:]...)
	if _, header, err := f.Info(); !errors.Is(err, psgi.ErrFrame) || header != nil {
		t.Errorf("header %v, error %v; want none and ErrFrame", header, err)
	}
}

func TestRequestThatJustFitsAFrame(t *testing.T) {
	r := psgi.Request{Body: make([]byte, psgi.MaxInline)}
	const others = 8 + 4 + psgi.MaxInline + 4 + len("a3a139236") + len("KEY")
	r.Env.Set("KEY", strings.Repeat("x", psgi.MaxFrame-others))
	b, err := psgi.AppendRequest(nil, 1, &r)
	if err != nil || len(b) != psgi.MaxFrame {
		t.Errorf("%d bytes, error %v; want %d and none", len(b), err, psgi.MaxFrame)
	}
}

func TestRequestThatFitsNoFrameLeavesTheBufferAlone(t *testing.T) {
	r := psgi.Request{Body: make([]byte, psgi.MaxInline)}
	r.Env.Set("KEY", strings.Repeat("x", psgi.MaxFrame-psgi.MaxInline))
	b, err := psgi.AppendRequest([]byte("before"), 1, &r)
	if string(b) != "before" || !errors.Is(err, psgi.ErrTooLarge) {
		t.Errorf("%d bytes, error %v; want those before and ErrTooLarge", len(b), err)
	}
}

func FuzzFrame(f *testing.F) {
	for _, g := range readGoldens(f) {
		f.Add(g.Bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := psgi.ParseFrame(b)
		if err != nil {
			if !errors.Is(err, psgi.ErrFrame) {
				t.Fatalf("error %v; want ErrFrame", err)
			}
			return
		}
		again := psgi.AppendFrame(nil, frame.Type, frame.Flags, frame.ID, frame.Payload)
		if !bytes.Equal(again, b) {
			t.Fatalf("re-encoded as % x; want % x", again, b)
		}
		if err := reencodes(frame); err != nil {
			t.Fatal(err)
		}
	})
}

// reencodes reads a payload in every way there is. Each way has to fail with
// ErrFrame or to make the same bytes again of what it has read.
func reencodes(f psgi.Frame) error {
	check := func(way string, err error, again []byte, from []byte) error {
		switch {
		case err != nil && !errors.Is(err, psgi.ErrFrame):
			return fmt.Errorf("%s: error %v; want ErrFrame", way, err)
		case err == nil && !bytes.Equal(again, from):
			return fmt.Errorf("%s: re-encoded as % x; want % x", way, again, from)
		}
		return nil
	}

	head, headErr := f.Head()
	again := binary.BigEndian.AppendUint16(nil, uint16(head.Status))
	again = binary.BigEndian.AppendUint32(again, uint32(head.AppTime/time.Microsecond))
	again = append(binary.BigEndian.AppendUint32(again, uint32(len(head.Body))), head.Body...)
	again = appendHeader(again, head.Header)
	errs := []error{check("Head", headErr, again, f.Payload)}

	ref, err := head.FileRef()
	again = binary.BigEndian.AppendUint32(nil, uint32(ref.FD))
	again = binary.BigEndian.AppendUint64(again, uint64(ref.Offset))
	again = binary.BigEndian.AppendUint64(again, uint64(ref.Length))
	errs = append(errs, check("FileRef", err, again, head.Body))

	status, header, err := f.Info()
	again = appendHeader(binary.BigEndian.AppendUint16(nil, uint16(status)), header)
	errs = append(errs, check("Info", err, again, f.Payload))

	list, err := f.List()
	again = psgi.AppendList(nil, 0, 0, 0, list...)[8:]
	errs = append(errs, check("List", err, again, f.Payload))

	pid, err := f.Process()
	again = binary.BigEndian.AppendUint32(nil, uint32(pid))
	errs = append(errs, check("Process", err, again, f.Payload))
	return errors.Join(errs...)
}

func appendHeader(dst []byte, h psgi.Header) []byte {
	for _, f := range h {
		dst = append(dst, psgi.AppendList(nil, 0, 0, 0, f.Name, f.Value)[8:]...)
	}
	return dst
}

func BenchmarkAppendRequest(b *testing.B) {
	r := psgi.Request{Env: typicalEnv()}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = psgi.AppendRequest(buf[:0], 1, &r); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkHead(b *testing.B) {
	frame, err := psgi.ParseFrame(readHex(b, "testdata/frames/head-whole.hex"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := frame.Head(); err != nil {
			b.Fatal(err)
		}
	}
}
