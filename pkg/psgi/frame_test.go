package psgi_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
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
	"CALIBRATE": psgi.TypeCalibrate, "LAYOUT": psgi.TypeLayout,
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
		case "QUIT", "CANCEL", "ACK", "SPAWN", "CALIBRATE":
			got = psgi.AppendFrame(nil, types[g.Type], g.flags(), g.ID, []byte(g.Payload))
		case "BOOT":
			got = psgi.AppendBoot(nil, &psgi.Boot{
				App: "/srv/app.psgi", Env: "deployment", Include: []string{"/srv/lib", "/srv/local"},
				Modules: []string{"Some::Module=name"}, DefaultMiddleware: true, Preload: true, Generation: 3,
				Threads: 4, ThreadStackSize: 1 << 20,
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
