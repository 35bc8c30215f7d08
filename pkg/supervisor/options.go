package supervisor

import (
	"time"

	"go.uber.org/zap"

	"github.com/thralld/thralld/pkg/psgi"
)

// spareSlots is how many more slots than workers a generation has: for the surge
// of a roll, for growth, and for workers that take long to end.
const spareSlots = 5

var quitFrame = psgi.AppendFrame(nil, psgi.TypeQuit, 0, 0, nil)

// Options say what a Supervisor is given for its life. Zero values work.
type Options struct {
	// Settings are those to begin with.
	Settings Settings
	// Log gets the supervisor's own events. Nil: nothing.
	Log *zap.Logger
	// AppLog gets what the app prints or logs, one entry a line. Nil: nothing.
	AppLog *zap.Logger
	// ReapOrphans makes the supervisor reap every child that ends, also what
	// apps left running. Not for a process that starts others beside it.
	ReapOrphans bool
}

// Settings can be changed while workers run: see Supervisor.Configure.
type Settings struct {
	// Workers is how many workers to keep alive; less than 1 means 1.
	Workers int
	// MinWorkers is how few of them are kept when there is little to do. 0: all.
	MinWorkers int
	// MaxQueue is how many requests may wait for a worker before new ones are
	// refused with psgi.ErrQueueFull. 0: none may wait.
	MaxQueue int
	// QueueTimeout is how long a request may wait for a worker. 0: as long as
	// its client does.
	QueueTimeout time.Duration
	// RetireTimeout is how long a worker that is retired may take to finish what
	// it runs, before it is sent TERM. 0: it is sent TERM at once.
	RetireTimeout time.Duration
	// SpawnInterval is the least time from one spawn to the next, and from one
	// retirement to the next. 0: none.
	SpawnInterval time.Duration
	// ErrRespawnInterval is the least time from the failure of a worker to the
	// next spawn. 0: the growing delay after repeated failures only.
	ErrRespawnInterval time.Duration
	// Probation is how long the first worker of a generation must live before the
	// generation may take over from another. 0: it is trusted at once.
	Probation time.Duration
	// MaxRequests is how many requests a worker runs, and MinRequests, if it is
	// not 0, the least to which this limit is drawn for each worker. 0: no limit.
	MaxRequests, MinRequests int
	// MaxLifetime is the age at which a worker is replaced. 0: none.
	MaxLifetime time.Duration
	// MaxMemory is the memory in bytes, see Memory, above which a worker is
	// replaced. 0: none.
	MaxMemory int64
	// RequestTimeout is how long a worker may run a request before it is killed
	// and the call fails with psgi.ErrRequestTimeout. 0: for ever.
	RequestTimeout time.Duration
	// SlowRequest is how long a request runs before its worker's Perl stack is
	// logged. 0: never.
	SlowRequest time.Duration
	// Housekeeping is how often ages, memory and running times are looked at.
	// 0: every 100 ms.
	Housekeeping time.Duration
}

// Plan is what a generation runs.
type Plan struct {
	// Boot names the app. Its Generation and Slots are set by the supervisor.
	Boot psgi.Boot
	// Perl is the interpreter: a path, or a name to look for in PATH. Empty: perl.
	Perl string
	// Env is the environment of the Perl processes, as in os/exec. Nil: none.
	Env []string
	// Dir is their working directory. Empty: this process's.
	Dir string
	// StartTimeout is how long the app may take to load. 0: for ever.
	StartTimeout time.Duration
	// Workers is how many workers the generation must have room for; less than 1
	// means 1. There is some room beyond them: see Supervisor.Room.
	Workers int
	// Swift makes the generation take over at once: no probation, and all others
	// are retired as soon as it has one worker. For development.
	Swift bool
}
