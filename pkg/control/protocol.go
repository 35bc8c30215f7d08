package control

import "time"

// Bounds that keep clients from being a burden.
const (
	mostRequest = 4 << 10          // bytes of a request's line
	mostClients = 16               // at a time; further ones are told so
	mostReloads = mostClients / 2  // of them, so that a stop is heard while an app hangs in its loading
	silence     = 10 * time.Second // for the request, and for each line of the answer to be taken
	traceTime   = 30 * time.Second // for a worker to say where it is
)

// request is what a client asks for.
type request struct {
	Do     string `json:"do"`                // reload, status, stop or trace
	NoWait bool   `json:"no_wait,omitempty"` // reload: answer at once
	PID    int    `json:"pid,omitempty"`     // trace
}

// answer is one line of what it is answered. The last one is done, or the
// connection ends before.
type answer struct {
	Progress *Progress `json:"progress,omitempty"`
	PID      int       `json:"pid,omitempty"` // of the daemon, which is stopping
	Status   *Status   `json:"status,omitempty"`
	Trace    string    `json:"trace,omitempty"`
	Done     bool      `json:"done,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Progress says how far a reload has come.
type Progress struct {
	Generation int    `json:"generation"` // the one that is being rolled out; 0: not known yet
	Phase      string `json:"phase"`      // "loading" the app for the first time, or "rolling" it out
	Replaced   int    `json:"replaced"`   // workers of the new generation that are ready
	Workers    int    `json:"workers"`    // how many there shall be
}

// Status is what a daemon says of itself. Times of day are with a zone.
type Status struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	App       string    `json:"app"`
	Listeners []string  `json:"listeners"`

	Certificates []Certificate `json:"certificates"` // those that clients are shown

	Healthy bool   `json:"healthy"` // a worker takes requests
	Problem string `json:"problem"` // why its workers fail again and again, or ""

	Workers int `json:"workers"` // how many there shall be
	Waiting int `json:"waiting"` // requests that no worker has yet
	AtOnce  int `json:"at_once"` // workers that are used at a time, as more would get no more done; 0: all

	Connections    int   `json:"connections"`     // of clients
	MaxConnections int   `json:"max_connections"` // how many there may be
	Refused        int64 `json:"refused"`         // connections, since the start, that there was no room for
	SpooledBytes   int64 `json:"spooled_bytes"`   // of responses that slow clients have not read yet, on disk
	Holding        int   `json:"holding"`         // responses that hold their worker, as max_spool is reached
	Held           int64 `json:"held"`            // such responses since the start
	AccessLogLost  int64 `json:"access_log_lost"` // lines that could not be written

	Target      int          `json:"target"` // the generation that is being rolled out, or has been
	Stable      int          `json:"stable"` // the last one that was rolled out whole; 0: none yet
	Generations []Generation `json:"generations"`
	WorkerList  []Worker     `json:"worker_list"`
	LastReload  *Reload      `json:"last_reload"` // nil: none yet
}

// Certificate is one of a Status.
type Certificate struct {
	Names     []string  `json:"names"`
	File      string    `json:"file"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// Generation is one of a Status.
type Generation struct {
	Number      int       `json:"number"`
	Role        string    `json:"role"` // "target", "stable", "candidate" or "retiring"
	Started     time.Time `json:"started"`
	TemplatePID int       `json:"template_pid"` // 0: its template does not run
}

// Worker is a worker of a Status.
type Worker struct {
	Worker      int     `json:"worker"` // its slot's number
	Generation  int     `json:"generation"`
	PID         int     `json:"pid"`
	State       string  `json:"state"`
	AgeSeconds  float64 `json:"age_seconds"`
	Requests    int64   `json:"requests"`     // that it has run
	MemoryBytes int64   `json:"memory_bytes"` // its own, not shared; 0: not known
	Doing       []Doing `json:"doing"`        // the requests that it runs
}

// Doing is a request that is being run.
type Doing struct {
	RequestID string  `json:"request_id"`
	Line      string  `json:"line"` // GET /path
	Seconds   float64 `json:"seconds"`
}

// Reload is the last reload of a Status.
type Reload struct {
	Generation int       `json:"generation"` // the one it rolled out; 0: there was none, or not yet
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"` // zero: it is running
	Outcome    string    `json:"outcome"`        // "running", "done", "failed", "rolled back", "superseded" or "given up"
	Error      string    `json:"error"`          // why it failed or was rolled back, or ""
}

// whole gives every list of a status that is nil an empty one, so that programs
// find a list in its place.
func (s Status) whole() Status {
	if s.Listeners == nil {
		s.Listeners = []string{}
	}
	if s.Certificates == nil {
		s.Certificates = []Certificate{}
	}
	if s.Generations == nil {
		s.Generations = []Generation{}
	}
	s.WorkerList = append([]Worker{}, s.WorkerList...)
	for i := range s.WorkerList {
		if s.WorkerList[i].Doing == nil {
			s.WorkerList[i].Doing = []Doing{}
		}
	}
	return s
}
