package config

import (
	"net"
	"strconv"
	"strings"
)

// Config is the effective configuration: one field for each key of thrall.toml.
//
// The tags say, of each key: its name (toml), older names for it (alias), the
// default, the least and greatest value (min, max), the words it may be (oneof),
// why it may not be zero (zero), whether it names something on disk (path), an
// environment variable that sets it (env), the letter of its short option
// (short), what --help calls its value (arg), and the one line of help.
type Config struct {
	// App is the PSGI application: the absolute path of a file, or the name of a
	// class such as MyApp::Web. It is not used when Eval is set.
	App string `toml:"app" short:"a" arg:"FILE" default:"app.psgi" path:"app" help:"the application: a file, or a class such as MyApp::Web"`

	// Eval is Perl code whose last value is the application, inside a Plack::Builder
	// block. Empty means that App is loaded instead.
	Eval string `toml:"eval" short:"e" arg:"CODE" help:"run this Perl code as the application (needs Plack::Builder)"`

	// Include lists absolute folders that are put in front of @INC, in this order.
	Include []string `toml:"include" short:"I" arg:"DIR" path:"file" help:"put a folder in front of @INC (repeatable)"`

	// Modules are loaded before the application, as perl's -M does: Foo, or
	// Foo=bar,baz to import names.
	Modules []string `toml:"modules" short:"M" arg:"MODULE" help:"load a module first: Foo, or Foo=bar,baz (repeatable)"`

	// Env is what the application finds in PLACK_ENV. In development the middleware
	// for developers is put around it.
	Env string `toml:"env" short:"E" arg:"NAME" default:"deployment" env:"PLACK_ENV" help:"the environment: deployment, development or a name of yours"`

	// DefaultMiddleware allows the middleware that Env asks for.
	DefaultMiddleware bool `toml:"default_middleware" default:"true" help:"wrap the application in the middleware of its environment"`

	// Path is where the application is mounted. It starts with a slash, and ends
	// with none unless it is "/" itself.
	Path string `toml:"path" arg:"PATH" default:"/" help:"the path at which the application is mounted"`

	// Perl is the interpreter: a name to look up in PATH, or an absolute path.
	Perl string `toml:"perl" arg:"PROGRAM" default:"perl" path:"program" help:"the perl to run"`

	// Preload loads the application once and forks workers from it, which saves
	// memory; what it opens while loading is then shared between the workers.
	Preload bool `toml:"preload" default:"false" help:"load the application once, before the workers are forked"`

	// Workers is how many processes run the application. Each runs one request at a
	// time. Too few make requests wait, too many take memory.
	Workers int `toml:"workers" alias:"max_workers" arg:"N" default:"10" min:"1" max:"1000" zero:"Thrall's 0 meant no children, but thralld always runs the app in workers" help:"how many worker processes run the application"`

	// Host is the name or address to listen on, without brackets. Empty means every
	// address of the machine.
	Host string `toml:"host" short:"o" arg:"HOST" help:"the address to listen on; empty is all of them"`

	// Port is the TCP port to listen on. 0 lets the kernel choose a free one.
	Port int `toml:"port" short:"p" arg:"PORT" default:"5000" max:"65535" help:"the TCP port to listen on; 0 lets the kernel choose"`

	// Socket is the absolute path of a unix socket to listen on instead of Host and
	// Port, or @NAME in the abstract namespace. Empty means none.
	Socket string `toml:"socket" short:"S" arg:"PATH" path:"socket" help:"a unix socket to listen on instead; @NAME is an abstract one"`

	// Listen holds every address to listen on, and takes the place of Host, Port and
	// Socket: HOST:PORT, :PORT, [::1]:PORT, an absolute path, or @NAME.
	Listen []string `toml:"listen" short:"l" arg:"ADDRESS" path:"listen" help:"HOST:PORT, :PORT, a path or @NAME to listen on (repeatable)"`

	// IPv6 lets the listeners take IPv6 connections beside IPv4 ones.
	IPv6 bool `toml:"ipv6" default:"true" help:"listen on IPv6 too, where the machine has it"`

	// Timeout is how long a client may stay silent during one read or write before
	// its connection is closed; it does not limit a whole request. 0 is no limit, and
	// lets stalled clients hold connections for ever.
	Timeout Duration `toml:"timeout" arg:"TIME" default:"5m" help:"longest silence of a client within a request; 0 is no limit"`

	// KeepaliveTimeout is how long an idle connection is kept for a next request.
	// 0 closes every connection after its answer.
	KeepaliveTimeout Duration `toml:"keepalive_timeout" arg:"TIME" default:"2s" help:"how long an idle connection is kept; 0 keeps none"`

	// MaxKeepaliveReqs is how many requests one connection may make. 1 turns
	// keep-alive off, 0 is no limit.
	MaxKeepaliveReqs int `toml:"max_keepalive_reqs" arg:"N" default:"0" help:"requests on one connection; 1 turns keep-alive off, 0 is no limit"`

	// MaxHeaderBytes is the largest request line and header, in bytes. Beyond it the
	// client is answered 414 or 431.
	MaxHeaderBytes Size `toml:"max_header_bytes" arg:"SIZE" default:"64KiB" min:"1KiB" max:"128KiB" help:"largest request line and header"`

	// MaxBodyBytes is the largest request body, in bytes. Beyond it the client is
	// answered 413. 0 is no limit, and lets a client fill SpoolDir.
	MaxBodyBytes Size `toml:"max_body_bytes" arg:"SIZE" default:"1GiB" help:"largest request body; 0 is no limit"`

	// MaxQueue is how many requests may wait for a worker. Further ones are answered
	// 503 at once. 0 lets none wait.
	MaxQueue int `toml:"max_queue" arg:"N" default:"1000" help:"requests that may wait for a worker; 0 lets none wait"`

	// QueueTimeout is how long a request may wait for a worker before it is answered
	// 503. 0 is no limit.
	QueueTimeout Duration `toml:"queue_timeout" arg:"TIME" default:"30s" help:"how long a request may wait for a worker; 0 is no limit"`

	// StartTimeout is how long a worker may take to load the application. 0 is no
	// limit.
	StartTimeout Duration `toml:"start_timeout" arg:"TIME" default:"1m" help:"how long the application may take to load; 0 is no limit"`

	// StopTimeout is how long a graceful stop waits for requests that are running
	// before their workers are killed. 0 does not wait.
	StopTimeout Duration `toml:"stop_timeout" arg:"TIME" default:"30s" help:"how long a graceful stop waits for requests; 0 does not wait"`

	// ErrRespawnInterval is the least delay before a worker that failed is replaced.
	// With 0 only failures in a row are delayed, from 0.1 s up to 30 s.
	ErrRespawnInterval Duration `toml:"err_respawn_interval" arg:"TIME" default:"0s" help:"least delay after a worker that failed; 0: only after several in a row"`

	// SpoolDir is the absolute path of the folder for bodies too large for memory.
	// Empty is the system's folder for temporary files.
	SpoolDir string `toml:"spool_dir" arg:"DIR" path:"file" help:"folder for large bodies; empty is the system's temporary one"`

	// ServerSoftware is the Server header of answers to which the application gives
	// none. Empty adds none.
	ServerSoftware string `toml:"server_software" arg:"TEXT" default:"thralld" help:"the Server header where the application sends none; empty adds none"`

	// Quiet keeps everything below a warning out of the log, whatever LogLevel says.
	Quiet bool `toml:"quiet" short:"q" default:"false" env:"PLACK_QUIET" help:"log warnings and errors only"`

	// LogLevel is the least level that is logged.
	LogLevel string `toml:"log_level" arg:"LEVEL" default:"info" oneof:"debug|info|warn|error" help:"debug, info, warn or error"`

	// LogFormat is console (for people), json (for programs), or auto: console when
	// the log is a terminal, else json.
	LogFormat string `toml:"log_format" arg:"FORMAT" default:"auto" oneof:"auto|console|json" help:"auto, console or json"`

	origins map[string]string // by key; a key that is missing has its default
}

// Default returns the configuration of an empty thrall.toml and a bare command
// line. Its paths are as they are written, not yet absolute.
func Default() Config {
	var c Config
	for _, k := range Keys() {
		if k.Default == "" {
			continue
		}
		value, ok := k.fromText(k.Default)
		if !ok {
			panic("config: the default of " + k.Name + " does not parse")
		}
		c.set(k, value)
	}
	return c
}

// Origin says where the value of a key came from: "default", a file and line
// ("/srv/app/thrall.toml:12"), an option ("--workers") or an environment
// variable ("PLACK_ENV").
func (c *Config) Origin(key string) string {
	if origin, ok := c.origins[key]; ok {
		return origin
	}
	return "default"
}

// Listeners returns every address to listen on, at least one: Listen if it has
// any, else Socket if it is set, else Host and Port. An address with a slash is
// the path of a unix socket, one that begins with @ is an abstract unix socket,
// all others are HOST:PORT for TCP, where an empty HOST is every address.
func (c *Config) Listeners() []string {
	switch {
	case len(c.Listen) > 0:
		return c.Listen
	case c.Socket != "":
		return []string{c.Socket}
	default:
		host := strings.TrimSuffix(strings.TrimPrefix(c.Host, "["), "]")
		return []string{net.JoinHostPort(host, strconv.Itoa(c.Port))}
	}
}
