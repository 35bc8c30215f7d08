package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStartCarriesPerlsMessage(t *testing.T) {
	for name, test := range map[string]struct{ source, want string }{
		"does not compile":           {"use strict;\nmy $x = ;\nsub {}", "syntax error at $APP line 2"},
		"dies":                       {"die 'no database'", "no database at $APP line 1"},
		"a module is missing":        {"use No::Such::Module; sub {}", "Can't locate No/Such/Module.pm in @INC"},
		"returns no code":            {"42", `$APP returned "42"; its last value has to be the app`},
		"returns nothing":            {"undef", "$APP returned undef"},
		"exits while loading":        {"print 'bye'; exit 7", "exited with status 7 while it was loading; it last printed:\nbye"},
		"is killed while loading":    {"kill KILL => $$", "killed by signal 9 (SIGKILL) while it was loading, and printed nothing"},
		"throws an object":           {"package E; use overload '\"\"' => sub {'an object'}; die bless {}, 'E'", "an object"},
		"says it in wide characters": {"use utf8; die \"\\x{263a}\\n\"", "\u263a"},
	} {
		for _, preload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, preload %t", name, preload), func(t *testing.T) {
				c := newCrew(t, test.source, func(o *setup) { o.plan.Boot.Preload = preload })
				err := c.start(t.Context())
				want := strings.ReplaceAll(test.want, "$APP", filepath.Join(c.dir, "app.psgi"))
				if preload {
					want, _, _ = strings.Cut(want, " while it was")
					want, _, _ = strings.Cut(want, "exited with")
					want, _, _ = strings.Cut(want, "killed by")
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("start: %v\nwant %s", err, want)
				}
				if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
					t.Errorf("a process is left behind (wait: %v)", err)
				}
			})
		}
	}
}

func TestStartWithoutPerl(t *testing.T) {
	c := newCrew(t, app, func(o *setup) { o.plan.Perl = "/no/such/perl" })
	if err := c.start(t.Context()); err == nil || !strings.Contains(err.Error(), `perl not found (looked for "/no/such/perl")`) {
		t.Errorf("start: %v", err)
	}
}

func TestStartWithAnInterpreterThatIsTooOld(t *testing.T) {
	c := newCrew(t, app, func(o *setup) {
		o.plan.Perl = filepath.Join(t.TempDir(), "perl")
		script := "#!/bin/sh\necho 'thralld needs perl 5.14 or newer, and this is 5.008' >&2\nexit 3\n"
		if err := os.WriteFile(o.plan.Perl, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	})
	if err := c.start(t.Context()); err == nil || !strings.Contains(err.Error(), "needs perl 5.14 or newer") {
		t.Errorf("start: %v", err)
	}
}

func TestAppThatHangsWhileLoadingIsEnded(t *testing.T) {
	for _, preload := range []bool{false, true} {
		t.Run(fmt.Sprintf("preload %t", preload), func(t *testing.T) {
			c := newCrew(t, "$SIG{TERM} = 'IGNORE'; sleep 1 while 1", func(o *setup) {
				o.plan.StartTimeout = 300 * time.Millisecond
				o.plan.Boot.Preload = preload
			})
			if err := c.start(t.Context()); err == nil || !strings.Contains(err.Error(), "did not finish loading within 300ms (start_timeout)") {
				t.Errorf("start: %v", err)
			}
		})
	}
}

func TestStartThatIsGivenUpLeavesNothing(t *testing.T) {
	c := newCrew(t, `open my $fh, '>', "$ENV{TEST_DIR}/loading"; $SIG{TERM} = 'IGNORE'; sleep 1 while 1`, nil)
	ctx, giveUp := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() { started <- c.start(ctx) }() // ends when the start is given up
	c.awaitFile("loading")
	giveUp()
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v", err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left behind (wait: %v)", err)
	}
}
