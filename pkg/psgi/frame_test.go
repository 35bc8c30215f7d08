package psgi_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

var types = map[string]psgi.Type{
	"REQUEST": psgi.TypeRequest, "QUIT": psgi.TypeQuit, "CANCEL": psgi.TypeCancel, "ACK": psgi.TypeAck,
	"READY": psgi.TypeReady, "HEAD": psgi.TypeHead, "BODY": psgi.TypeBody, "INFO": psgi.TypeInfo,
	"IDLE": psgi.TypeIdle, "LOG": psgi.TypeLog, "FAIL": psgi.TypeFail,
	"BOOT": psgi.TypeBoot, "SPAWN": psgi.TypeSpawn, "LOADED": psgi.TypeLoaded, "SPAWNED": psgi.TypeSpawned,
}

var flags = map[string]psgi.Flags{
	"END": psgi.FlagEnd, "STREAM": psgi.FlagStream, "CLEANUP": psgi.FlagCleanup, "LEAVING": psgi.FlagLeaving,
	"ABORT": psgi.FlagAbort, "SPOOLED": psgi.FlagSpooled, "FILE": psgi.FlagFile, "FAILED": psgi.FlagFailed,
}

// golden is one situation of testdata/frames; its README.md describes the keys.
type golden struct {
	Name  string `json:"-"`
	Bytes []byte `json:"-"`

	About     string   `json:"about"`
	Type      string   `json:"type"`
	Flags     []string `json:"flags"`
	ID        uint32   `json:"id"`
	Payload   text     `json:"payload"`
	Env       []field  `json:"env"`
	SpoolFile text     `json:"spool_file"`
	Status    int      `json:"status"`
	AppTimeUS int64    `json:"app_time_us"`
	Header    []field  `json:"header"`
	Body      text     `json:"body"`
	File      *struct {
		FD             int
		Offset, Length int64
	} `json:"file"`
	PID  int    `json:"pid"`
	List []text `json:"list"`
}

type field [2]text

// text is a string of bytes, each of which is a character in JSON.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	raw := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return fmt.Errorf("%q holds a character that is no byte", s)
		}
		raw = append(raw, byte(r))
	}
	*t = text(raw)
	return nil
}

func (g *golden) flags() (f psgi.Flags) {
	for _, name := range g.Flags {
		f |= flags[name]
	}
	return f
}

func (g *golden) header() (h psgi.Header) {
	for _, f := range g.Header {
		h = append(h, psgi.Field{Name: string(f[0]), Value: string(f[1])})
	}
	return h
}

func (g *golden) list() (list []string) {
	for _, s := range g.List {
		list = append(list, string(s))
	}
	return list
}

func readGoldens(tb testing.TB) []golden {
	tb.Helper()
	paths, err := filepath.Glob("testdata/frames/*.hex")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no golden frames: %v", err)
	}
	goldens := make([]golden, len(paths))
	for i, path := range paths {
		path = strings.TrimSuffix(path, ".hex")
		goldens[i].Name = filepath.Base(path)
		goldens[i].Bytes = readHex(tb, path+".hex")
		readJSON(tb, path+".json", &goldens[i])
	}
	return goldens
}

func readHex(tb testing.TB, path string) []byte {
	tb.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(source)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return b
}

func readJSON(tb testing.TB, path string, into any) {
	tb.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(source))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
}

func TestGoldenFramesAreUnderstood(t *testing.T) {
	for _, g := range readGoldens(t) {
		t.Run(g.Name, func(t *testing.T) {
			f, err := psgi.ParseFrame(g.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if f.Type != types[g.Type] || f.Flags != g.flags() || f.ID != g.ID {
				t.Errorf("type %d, flags %b, id %d; want %s %v %d", f.Type, f.Flags, f.ID, g.Type, g.Flags, g.ID)
			}
			got, want := understand(t, f), g.content()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
		})
	}
}

// content is what understand should make of the golden frame.
func (g *golden) content() any {
	switch g.Type {
	case "HEAD":
		head := psgi.Head{
			Status: g.Status, AppTime: time.Duration(g.AppTimeUS) * time.Microsecond,
			Header: g.header(), Body: []byte(g.Body),
		}
		if g.File == nil {
			return head
		}
		head.Body = nil
		return []any{head, psgi.FileRef{FD: g.File.FD, Offset: g.File.Offset, Length: g.File.Length}}
	case "INFO":
		return []any{g.Status, g.header()}
	case "READY", "SPAWNED":
		return g.PID
	case "LOG", "BOOT":
		return g.list()
	case "REQUEST":
		return nil // only Perl reads it
	}
	return []byte(g.Payload)
}

func understand(t *testing.T, f psgi.Frame) (content any) {
	t.Helper()
	var err error
	switch f.Type {
	case psgi.TypeHead:
		var head psgi.Head
		if head, err = f.Head(); err == nil && f.Flags&psgi.FlagFile != 0 {
			var ref psgi.FileRef
			ref, err = head.FileRef()
			head.Body = nil
			content = []any{head, ref}
		} else {
			content = head
		}
	case psgi.TypeInfo:
		var status int
		var header psgi.Header
		status, header, err = f.Info()
		content = []any{status, header}
	case psgi.TypeReady, psgi.TypeSpawned:
		content, err = f.Process()
	case psgi.TypeLog, psgi.TypeBoot:
		content, err = f.List()
	case psgi.TypeRequest:
	default:
		content = f.Payload
	}
	if err != nil {
		t.Error(err)
	}
	return content
}

func TestGoldenFramesAreMade(t *testing.T) {
	for _, g := range readGoldens(t) {
		var got []byte
		switch g.Type {
		case "REQUEST":
			r := psgi.Request{Body: []byte(g.Body), SpoolFile: string(g.SpoolFile)}
			for _, f := range g.Env {
				r.Env.Set(string(f[0]), string(f[1]))
			}
			var err error
			if got, err = psgi.AppendRequest(nil, g.ID, &r); err != nil {
				t.Errorf("%s: %v", g.Name, err)
			}
		case "QUIT", "CANCEL", "ACK", "SPAWN":
			got = psgi.AppendFrame(nil, types[g.Type], g.flags(), g.ID, []byte(g.Payload))
		case "BOOT":
			got = psgi.AppendBoot(nil, &psgi.Boot{
				App: "/srv/app.psgi", Env: "deployment", Include: []string{"/srv/lib", "/srv/local"},
				Modules: []string{"Some::Module=name"}, DefaultMiddleware: true, Preload: true, Generation: 3,
				Slots: [][2]int{{4, 5}, {6, 7}},
			})
		default:
			continue // only Perl makes it
		}
		if diff := cmp.Diff(g.Bytes, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g.Name, diff)
		}
	}
}

func TestGoldenFramesUseEveryTypeAndFlag(t *testing.T) {
	usedTypes, usedFlags := map[string]bool{}, map[string]bool{}
	for _, g := range readGoldens(t) {
		usedTypes[g.Type] = true
		for _, name := range g.Flags {
			usedFlags[name] = true
		}
	}
	if diff := cmp.Diff(sortedKeys(types), sortedKeys(usedTypes)); diff != "" {
		t.Errorf("types (-known +used):\n%s", diff)
	}
	if diff := cmp.Diff(sortedKeys(flags), sortedKeys(usedFlags)); diff != "" {
		t.Errorf("flags (-known +used):\n%s", diff)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func TestLimitsAreThoseOfTheGoldenFrames(t *testing.T) {
	var limits struct {
		MaxFrame int `json:"max_frame"`
	}
	readJSON(t, "testdata/frames/limits.json", &limits)
	if limits.MaxFrame != psgi.MaxFrame {
		t.Errorf("MaxFrame is %d; want %d", psgi.MaxFrame, limits.MaxFrame)
	}
}

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
	const others = 8 + 4 + psgi.MaxInline + 4 + len("KEY") + 4
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
