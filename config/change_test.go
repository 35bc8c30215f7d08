package config

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachKeySaysWhatAReloadDoesWithIt(t *testing.T) {
	for _, k := range every() {
		if k.Apply != Live && k.Apply != Workers && k.Apply != Restart {
			t.Errorf("%s: apply is %q", k.Name, k.Apply)
		}
	}
}

// different makes the value of a key another one.
func different(cfg *Config, k Key) {
	v := reflect.ValueOf(cfg).Elem().FieldByIndex([]int{k.field})
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	default:
		v.SetInt(v.Int() + 1)
	}
}

// A change of each key alone: it is seen, and what it needs is what its tag says.
func TestChangeOfEachKeyIsAppliedAsItsTagSays(t *testing.T) {
	for _, k := range every() {
		from, to := Default(), Default()
		different(&to, k)
		changed := Changes(&from, &to)
		if len(changed) != 1 || changed[0].Name != k.Name {
			t.Errorf("%s: changed are %v", k.Name, changed)
			continue
		}
		if got := NeedWorkers(changed); got != (k.Apply == Workers) {
			t.Errorf("%s: new workers are needed: %v", k.Name, got)
		}
		if err := NeedRestart(changed, &to); (err != nil) != (k.Apply == Restart) {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
}

func TestNothingHasChangedBetweenNoListAndAnEmptyOne(t *testing.T) {
	from, to := Default(), Default()
	to.Listen = []string{}
	if got := Changes(&from, &to); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestEveryKeyThatNeedsARestartIsNamed(t *testing.T) {
	from := load(t, "")
	file := write(t, "watch = true\nworkers = 3\nuser = \"web\"\n")
	to := load(t, file)
	want := file + ":1: watch: to change it to true needs a restart; nothing was changed\n" +
		file + ":3: user: to change it to \"web\" needs a restart; nothing was changed"
	if diff := cmp.Diff(want, NeedRestart(Changes(from, to), to).Error()); diff != "" {
		t.Error(diff)
	}
}

func TestKeysThatDoNotAgreeAreNamedTogether(t *testing.T) {
	file := write(t, "workers = 3\nmin_workers = 4\nmax_requests = 10\n")
	refused(t, file+":2: min_workers: got 4, want at most 3, which is workers ("+file+":1)\n"+
		"--min: got 11, want at most 10, which is max_reqs_per_child ("+file+":3)",
		file, Setting{Key: "min_reqs_per_child", Value: "11", Origin: "--min"})
}

func TestNoLimitIsInfToo(t *testing.T) {
	for _, text := range []string{"inf", "\"inf\"", "0"} {
		if got := load(t, write(t, "max_reqs_per_child = "+text+"\n")).MaxReqsPerChild; got != 0 {
			t.Errorf("%s: got %d", text, got)
		}
	}
}

func TestConfigurationIsReadAgainFromWhereTheDaemonWasStarted(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg, err := LoadFrom("/srv/current", "", []Setting{{Key: "include", Value: "lib", Origin: "-I"}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.App != "/srv/current/app.psgi" || cfg.Include[0] != "/srv/current/lib" {
		t.Errorf("got %s and %v", cfg.App, cfg.Include)
	}
}
