package psgi_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/pkg/psgi"
)

func TestProgramHoldsEveryModule(t *testing.T) {
	program := psgi.Program()
	boot, err := os.ReadFile("perl/boot.pl")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(program, append(boot, "\n__END__\n"...)) {
		t.Error("the program does not begin with boot.pl and __END__")
	}
	paths, err := filepath.Glob("perl/Thralld/*.pm")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		marked := append([]byte("\n==== Thralld/"+filepath.Base(path)+"\n"), source...)
		if !bytes.Contains(program, marked) {
			t.Errorf("%s is not in the program, behind its mark", path)
		}
	}
	if got := bytes.Count(program, []byte("\n==== ")); got != len(paths) {
		t.Errorf("%d marks; want %d: no module may hold a line that looks like one", got, len(paths))
	}
}

func TestProgramIsEachTimeTheSame(t *testing.T) {
	first := psgi.Program()
	psgi.Program()[0] = '!'
	if !bytes.Equal(first, psgi.Program()) {
		t.Error("two calls return different programs")
	}
}

func TestBootOfAnAppWithDefaultsOnly(t *testing.T) {
	f, err := psgi.ParseFrame(psgi.AppendBoot(nil, &psgi.Boot{App: "My::App", Generation: 1}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"app", "My::App", "eval", "", "env", "",
		"default_middleware", "", "quiet", "", "preload", "", "generation", "1", "threads", "1", "thread_stack_size", "0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
