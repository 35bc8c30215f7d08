package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestHowADaemonEndedThatNeverServed(t *testing.T) {
	for _, c := range []struct {
		script string
		status exitStatus // 0: it has said nothing itself
		says   string
	}{
		{"exit 1", 1, ""},
		{"exit 2", 2, ""},
		{"exit 0", 0, "stopped before it served"},
		{"kill -KILL $$", 0, "the daemon ended before it served: signal: killed"},
	} {
		err := outcomeOf(exec.Command("/bin/sh", "-c", c.script).Run())
		var status exitStatus
		switch {
		case c.status > 0 && (!errors.As(err, &status) || status != c.status):
			t.Errorf("%s: got %v", c.script, err)
		case c.status == 0 && (err == nil || err.Error() != c.says):
			t.Errorf("%s: got %v", c.script, err)
		}
	}
}

func TestStatusOfADaemonIsThatOfTheCommand(t *testing.T) {
	var printed strings.Builder
	if got := report(stdio{err: &printed}, exitStatus(2)); got != 2 || printed.Len() > 0 {
		t.Errorf("got %d, and %q", got, printed.String())
	}
}
