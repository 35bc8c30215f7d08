package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestStatementsBeginOnTheLinesOfTheirKeys(t *testing.T) {
	data := strings.Join([]string{
		"",
		"# workers = 1",
		"a = 1 # [ \" '",
		"b = [",
		"  'x # no comment', # a comment ] \"",
		"]",
		`c = "\" # [" `,
		`d = """`,
		`e = "no key" \""" [`,
		`more""""" # five quotes`,
		"f = '''",
		`g = 1 \`,
		"'''\r",
		"  \"h i\" = {x = [1,",
		"2]}",
		"[j]",
		"k = 2",
	}, "\n")
	var got []string
	for _, s := range statements(data) {
		key, _, _ := strings.Cut(strings.TrimSpace(s.text), " =")
		got = append(got, key)
		if want := strings.Count(data[:strings.Index(data, s.text)], "\n") + 1; s.line != want {
			t.Errorf("%s: on line %d, want %d", key, s.line, want)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "f", `"h i"`, "[j]", "k"}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever the library reads as one file without tables, it reads the same when
// the file is cut into statements.
func FuzzCuttingChangesNothing(f *testing.F) {
	f.Add("a = 1\n# c\nb = [1,\n 2] # x\n")
	f.Add("a = \"\"\"x\n\"\"\"\"\"\nb = '''\n'''\n")
	f.Add("a = \"[\"\n\"b]\" = 'x\\'\r\nc=true")
	f.Add("\uFEFFa = 2000-01-01 00:00:00\n")
	f.Fuzz(func(t *testing.T, data string) {
		var decoded map[string]any
		if _, err := toml.Decode(data, &decoded); err != nil {
			return
		}
		whole := map[string]any{}
		for key, value := range decoded {
			switch value.(type) {
			case map[string]any, []map[string]any:
				return
			}
			whole[toml.Key{key}.String()] = value
		}

		entries, mistakes := parseFile("x", data)
		pieces := map[string]any{}
		for _, e := range entries {
			pieces[e.key] = e.value
		}
		if len(mistakes) > 0 || !cmp.Equal(whole, pieces, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()) {
			t.Errorf("%q: %v\n%s", data, mistakes, cmp.Diff(whole, pieces))
		}
	})
}

// Whatever the bytes are, there is either a configuration or a mistake that names
// the file and a line.
func FuzzLoadNeverFailsWithoutAReason(f *testing.F) {
	f.Add([]byte("workers = 0\n[x]\nport = \"\\u0000\"\n"))
	f.Add([]byte("timeout = nan\nmax_body_bytes = -1\nlisten = [\"\", [1], {a = 2}]\n"))
	f.Add([]byte("= 1\n\"\" = 2\na.b = 3\n]\n\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := write(t, string(data))
		cfg, err := Load(file, nil)
		if cfg == nil {
			t.Fatalf("got no configuration, and %v", err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), file+":") {
			t.Errorf("mistake without a place: %v", err)
		}
	})
}
