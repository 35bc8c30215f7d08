package supervisor

import (
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// spareSlots is how many more slots than workers a generation has, so that a
// worker can be replaced before it goes.
const spareSlots = 5

var quitFrame = psgi.AppendFrame(nil, psgi.TypeQuit, 0, 0, nil)

// Options say what a Supervisor runs. Zero values work where nothing else is said.
type Options struct {
	// Boot names the app. Its Generation, Threads and Slots are set by the supervisor.
	Boot psgi.Boot
	// Perl is the interpreter: a path, or a name to look for in PATH. Empty: perl.
	Perl string
	// Env is the environment of the Perl processes, as in os/exec. Nil: none.
	Env []string
	// Workers is how many workers to keep alive; less than 1 means 1.
	Workers int
	// Threads is how many requests a worker runs at a time, each in a perl thread
	// of its own. 0 and 1 mean one, and need no perl that has threads.
	Threads int
	// MaxQueue is how many requests may wait for a worker before new ones are
	// refused with psgi.ErrQueueFull. 0: none may wait.
	MaxQueue int
	// QueueTimeout is how long a request may wait for a worker. 0: as long as
	// its client does.
	QueueTimeout time.Duration
	// StartTimeout is how long the app may take to load. 0: for ever.
	StartTimeout time.Duration
	// ErrRespawnInterval is the least time from the failure of a worker to the
	// next spawn. 0: the growing delay after repeated failures only.
	ErrRespawnInterval time.Duration
	// Log gets the supervisor's own events. Nil: nothing.
	Log *zap.Logger
	// AppLog gets what the app prints or logs, one entry a line. Nil: nothing.
	AppLog *zap.Logger
	// Trial makes Start boot one worker and no more: whether the app loads is
	// all that is to be learnt.
	Trial bool
	// ReapOrphans makes the supervisor reap every child that ends, also what
	// apps left running. Not for a process that starts others beside it.
	ReapOrphans bool
}
