package main

import (
	"os"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"thralld": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // under -race each thralld would end a second late
			env.Setenv("STAY_ROOT", "--allow-root=0")
			if os.Geteuid() == 0 { // nobody else may read the scripts' files
				env.Setenv("STAY_ROOT", "--allow-root=1")
				env.Setenv("STAY_USER", "root")
			}
			return nil
		},
	})
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	signals, graceful, force := make(chan os.Signal), make(chan struct{}), make(chan struct{})
	go relay(signals, func() { close(graceful) }, force) // ends after the second signal

	signals <- syscall.SIGTERM
	<-graceful
	select {
	case <-force:
		t.Fatal("the first signal stopped at once")
	default:
	}

	signals <- syscall.SIGINT
	<-force
}
