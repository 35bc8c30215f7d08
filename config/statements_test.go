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

// Whatever the library reads as one file, it reads the same when the file is cut into
// statements. Tables within tables, and those in one bracket, are none of ours.
func FuzzCuttingChangesNothing(f *testing.F) {
	f.Add("a = 1\n# c\nb = [1,\n 2] # x\n")
	f.Add("a = \"\"\"x\n\"\"\"\"\"\nb = '''\n'''\n")
	f.Add("a = \"[\"\n\"b]\" = 'x\\'\r\nc=true")
	f.Add("\uFEFFa = 2000-01-01 00:00:00\n")
	f.Add("a = 1\n[[listener]] # [[x]]\na = [\n[1]\n]\n [[ \"listener\" ]]\n[[x]]\nb = 2\n")
	f.Fuzz(func(t *testing.T, data string) {
		var decoded map[string]any
		if _, err := toml.Decode(data, &decoded); err != nil {
			return
		}
		entries, mistakes := parseFile("x", data)
		whole, plain := flat(decoded, entries)
		if !plain {
			return
		}
		pieces := map[string]any{}
		below := pieces
		for _, e := range entries {
			if e.table == "" {
				below[e.key] = e.value
				continue
			}
			below = map[string]any{}
			tables, _ := pieces[e.table].([]map[string]any)
			pieces[e.table] = append(tables, below)
		}
		if len(mistakes) > 0 || !cmp.Equal(whole, pieces, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()) {
			t.Errorf("%q: %v\n%s", data, mistakes, cmp.Diff(whole, pieces))
		}
	})
}

// flat spells the keys of a file as entries do. It is not plain if there are tables
// other than those under headers in two brackets.
func flat(decoded map[string]any, entries []entry) (whole map[string]any, plain bool) {
	headers := map[string]bool{}
	for _, e := range entries {
		if e.table != "" && !e.double {
			return nil, false
		}
		headers[e.table] = true
	}
	whole = map[string]any{}
	for key, value := range decoded {
		key = toml.Key{key}.String()
		tables, isTables := value.([]map[string]any)
		if _, inline := value.(map[string]any); inline || isTables != headers[key] {
			return nil, false
		}
		if !isTables {
			whole[key] = value
			continue
		}
		var list []map[string]any
		for _, table := range tables {
			below, plain := flat(table, nil)
			if !plain {
				return nil, false
			}
			list = append(list, below)
		}
		whole[key] = list
	}
	return whole, true
}

// Whatever the bytes are, there is either a configuration or a mistake that names
// the file and a line.
func FuzzLoadNeverFailsWithoutAReason(f *testing.F) {
	f.Add([]byte("workers = 0\n[x]\nport = \"\\u0000\"\n"))
	f.Add([]byte("timeout = nan\nmax_body_bytes = -1\nlisten = [\"\", [1], {a = 2}]\n"))
	f.Add([]byte("[[listener]]\naddress = 1\n[listener]\n[[listener]\nworkers = 1\n[[]]\n[[\"\"]]\nx = 1\n"))
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
