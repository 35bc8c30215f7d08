package stack

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeMemory is a process's: what was put at an address is there, for what it is long.
type fakeMemory struct {
	places map[uint64][]byte
	next   uint64
}

func newFakeMemory() *fakeMemory { return &fakeMemory{places: map[uint64][]byte{}, next: 1 << 16} }

func (m *fakeMemory) ReadAt(b []byte, at int64) (int, error) {
	for from, content := range m.places {
		if uint64(at) >= from && uint64(at) < from+uint64(len(content)) {
			if n := copy(b, content[uint64(at)-from:]); n < len(b) {
				return n, io.ErrUnexpectedEOF
			}
			return len(b), nil
		}
	}
	return 0, io.ErrUnexpectedEOF
}

// put returns the address of the content, each in a page of its own.
func (m *fakeMemory) put(content []byte) uint64 {
	at := m.next
	m.places[at] = content
	m.next += 1 << 16
	return at
}

// object is a struct with numbers at offsets.
type object map[uint64]uint64

func (m *fakeMemory) object(size int, words object) uint64 {
	b := make([]byte, size)
	for offset, v := range words {
		binary.NativeEndian.PutUint64(b[offset:], v)
	}
	return m.put(b)
}

// value is what every value of Perl's begins with.
func (m *fakeMemory) value(kind uint32, body, buckets uint64) uint64 {
	b := binary.NativeEndian.AppendUint64(nil, body)
	b = binary.NativeEndian.AppendUint32(b, 1)
	b = binary.NativeEndian.AppendUint32(b, 0xab00|kind)
	return m.put(binary.NativeEndian.AppendUint64(b, buckets))
}

func (m *fakeMemory) key(name string) uint64 {
	b := binary.NativeEndian.AppendUint32(nil, 12345)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
	return m.put(append(b, name+"\x00"...))
}

// stash puts its name behind four buckets.
func (m *fakeMemory) stash(name string) uint64 {
	return m.value(12, m.object(32, object{24: 3}), m.object(56, object{32 + 8: m.key(name)}))
}

func (m *fakeMemory) glob(stash uint64, name string) uint64 {
	return m.value(9, m.object(48, object{32: m.key(name), 40: stash}), 0)
}

// statement names its file by a glob.
func (m *fakeMemory) statement(file string, line uint64) uint64 {
	b := make([]byte, 64)
	binary.NativeEndian.PutUint32(b[36:], uint32(line))
	binary.NativeEndian.PutUint64(b[48:], m.glob(0, "_<"+file))
	return m.put(b)
}

// stack puts contexts: type, statement and sub of each.
func (m *fakeMemory) stack(prev uint64, contexts ...[3]uint64) uint64 {
	b := make([]byte, 88*len(contexts))
	for i, c := range contexts {
		b[88*i] = byte(c[0]) | 0xa0 // with flags
		binary.NativeEndian.PutUint64(b[88*i+16:], c[1])
		binary.NativeEndian.PutUint64(b[88*i+72:], c[2])
	}
	info := m.object(48, object{8: m.put(b), 16: prev})
	binary.NativeEndian.PutUint32(m.places[info][32:], uint32(len(contexts)-1))
	return info
}

func (m *fakeMemory) variables(cop, info uint64) {
	m.places[8192] = binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, cop), info)
}

func TestStackOfAPerlWithoutThreads(t *testing.T) {
	m := newFakeMemory()
	shop := m.stash("Shop")
	inGlob := m.value(13, m.object(64, object{24: m.stash("Elsewhere"), 56: m.glob(shop, "buy")}), 0)
	withoutGlob := m.value(13, m.object(64, object{24: shop, 56: m.key("sell")}), 0)
	nameless := m.value(13, m.object(64, object{24: shop}), 0)
	inNothing := m.value(13, m.object(64, object{56: m.key("lost")}), 0)
	at := func(line uint64) uint64 { return m.statement("Shop.pm", line) }

	const loop, sub, eval = 4, 8, 10
	outer := m.stack(0, [3]uint64{sub, at(1), inGlob}, [3]uint64{loop, at(2), 0}, [3]uint64{eval, at(3), 0})
	empty := m.stack(outer)
	inner := m.stack(empty, [3]uint64{sub, at(4), withoutGlob}, [3]uint64{sub, at(5), nameless}, [3]uint64{sub, 17, inNothing},
		[3]uint64{sub, at(6), shop}, [3]uint64{sub, at(7), 0})
	m.variables(at(8), inner)

	got, err := unthreaded(t).read(m)
	if err != nil {
		t.Fatal(err)
	}
	want := []Frame{
		{File: "Shop.pm", Line: 8}, // what is above has no sub
		{Sub: "lost"},
		{Sub: "Shop::(unknown)", File: "Shop.pm", Line: 5},
		{Sub: "Shop::sell", File: "Shop.pm", Line: 4},
		{Sub: "(eval)", File: "Shop.pm", Line: 3},
		{Sub: "Shop::buy", File: "Shop.pm", Line: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if got := want[1].String(); got != "lost called at an unknown place" {
		t.Errorf("as text: %q", got)
	}
}

func TestStackThatLeadsNowhere(t *testing.T) {
	l := unthreaded(t)
	for name, prepare := range map[string]func(m *fakeMemory){
		"no memory":         func(*fakeMemory) {},
		"no variables":      func(m *fakeMemory) { m.variables(0, 0) },
		"an address of all": func(m *fakeMemory) { m.variables(^uint64(0), ^uint64(0)) },
		"no contexts": func(m *fakeMemory) {
			m.variables(0, m.object(48, object{8: 0}))
		},
		"more contexts than there are": func(m *fakeMemory) {
			m.variables(0, m.object(48, object{8: m.put(make([]byte, 88)), 32: 0x7fffffff}))
		},
		"fewer than none": func(m *fakeMemory) {
			m.variables(0, m.object(48, object{8: m.put(make([]byte, 88)), 32: 0x80000000}))
		},
	} {
		m := newFakeMemory()
		prepare(m)
		if frames, err := l.read(m); err == nil || frames != nil {
			t.Errorf("%s: frames %v, error %v; want an error", name, frames, err)
		}
	}
}

func TestStackThatLeadsToItself(t *testing.T) {
	m := newFakeMemory()
	info := m.stack(m.next+1<<16, [3]uint64{4, 0, 0})
	m.variables(0, info)
	if got := m.places[info][16:24]; binary.NativeEndian.Uint64(got) != info {
		t.Fatalf("the stack is at %#x, and leads to %x", info, got)
	}
	frames, err := unthreaded(t).read(m)
	if err != nil || len(frames) != 1 {
		t.Errorf("frames %v, error %v; want only where it is", frames, err)
	}
}

func TestTextOfAnotherProcess(t *testing.T) {
	long := strings.Repeat("x", maxText-1)
	for text, want := range map[string]string{
		"lib/Shop.pm\x00rest":    "lib/Shop.pm",
		"\x00":                   "",
		"caf\xc3\xa9\x00":        "café",
		"caf\xe9\x00":            "café",
		"a\nb\x1b[31m\x7f\x00":   "a\ufffdb\ufffd[31m\ufffd",
		long + "\x00":            long,
		long + "xx\x00":          "",
		"not ended, and cut off": "",
	} {
		m := newFakeMemory()
		at := m.put(append([]byte(text), make([]byte, maxText)...))
		if text == "not ended, and cut off" {
			at = m.put([]byte(text))
		}
		if got := (&memory{from: m}).text(at); got != want {
			t.Errorf("%.30q is read as %.30q; want %.30q", text, got, want)
		}
	}
}

// randomMemory has something at every address.
type randomMemory []byte

func (m randomMemory) ReadAt(b []byte, at int64) (int, error) {
	for i := range b {
		b[i] = m[(uint64(at)+uint64(i))%uint64(len(m))]
	}
	return len(b), nil
}

func FuzzReadRandomMemory(f *testing.F) {
	f.Add([]byte{0}, anUnthreadedPerl)
	f.Add([]byte("\x00\x20\x00\x00\x00\x00\x00\x00"), anUnthreadedPerl)
	f.Add([]byte("\x09\x00\x01\x00\x08\x00"), strings.Replace(anUnthreadedPerl, "behind=1", "behind=0", 1))
	f.Fuzz(func(t *testing.T, content []byte, layout string) {
		l, err := ParseLayout(layout)
		if err != nil || len(content) == 0 {
			return
		}
		frames, err := l.read(randomMemory(content))
		if err == nil && (len(frames) == 0 || len(frames) > MaxFrames) {
			t.Errorf("%d frames", len(frames))
		}
		for _, frame := range frames {
			if len(frame.Sub) > 4*maxText || len(frame.File) > 3*maxText {
				t.Errorf("names of %d and %d bytes", len(frame.Sub), len(frame.File))
			}
		}
	})
}
