package config

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listener is the kind of the tables [[listener]].
func listener(t *testing.T) Key {
	t.Helper()
	kind, ok := findIn(Tables(), "listener")
	if !ok {
		t.Fatal("there are no [[listener]]")
	}
	return kind
}

func TestTablesAreReadInTheirOrderWithTheirOrigins(t *testing.T) {
	file := write(t, "workers = 2\n\n[[listener]]\n# the first\naddress = \"run/a.sock\"\n[[ listener ]] # the second\naddress = '\\0b'\n")
	cfg := load(t, file)
	var got []string
	for _, table := range cfg.Tables(listener(t)) {
		got = append(got, table.Value("address").(string), table.Origin(""), table.Origin("address"))
	}
	want := []string{filepath.Dir(file) + "/run/a.sock", file + ":3", file + ":5", "@b", file + ":6", file + ":7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := cfg.Origin("listener"); got != file+":3" {
		t.Errorf("they come from %s", got)
	}
	if got := cfg.Origin("workers"); got != file+":1" {
		t.Errorf("workers come from %s", got)
	}
}

func TestTablesOfAConfigurationMadeByHandHaveNoOrigin(t *testing.T) {
	cfg := Default()
	cfg.Listener = []Listener{{Address: ":1"}}
	tables := cfg.Tables(listener(t))
	if len(tables) != 1 || tables[0].Value("address") != ":1" || tables[0].Origin("address") != "default" {
		t.Errorf("got %v", tables)
	}
	if got := tables[0].Value("workers"); got != nil {
		t.Errorf("a key of the whole file is %v in a table", got)
	}
}

func TestTableHasChangedWhenOneOfItsKeysHas(t *testing.T) {
	from := load(t, write(t, "[[listener]]\naddress = ':1'\n"))
	same := load(t, write(t, "\n\n[[listener]]\naddress = ':1'\n"))
	if got := Changes(from, same); got != nil {
		t.Errorf("moved to another line: %v", got)
	}
	to := load(t, write(t, "[[listener]]\naddress = ':2'\n"))
	if got := Changes(from, to); len(got) != 1 || got[0].Name != "listener" {
		t.Errorf("another address: %v", got)
	}
}

func TestChangeOfTablesThatNeedsARestartSaysSo(t *testing.T) {
	kind := listener(t)
	kind.Apply = Restart
	file := write(t, "[[listener]]\naddress = ':1'\n")
	want := file + ":1: listener: to change the tables [[listener]] needs a restart; nothing was changed"
	if err := NeedRestart([]Key{kind}, load(t, file)); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
