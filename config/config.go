package config

// Config is the effective configuration: one field for each key of thrall.toml.
//
// The tags say, of each key: its name (toml), older names for it (alias), the
// default, the least and greatest value (min, max), the words it may be (oneof),
// why it may not be zero (zero), whether it names something on disk (path), an
// environment variable that sets it (env), the letter of its short option
// (short), what --help calls its value (arg), what a reload does with a change
// (apply), and the one line of help. A list of structs is a key that is written as
// tables, [[such]], and the fields of the struct have tags of the same kind, where
// required means that no table is without it.
type Config struct {
	// App is the PSGI application: the absolute path of a file, or the name of a
	// class such as MyApp::Web. It is not used when Eval is set.
	App string `toml:"app" short:"a" arg:"FILE" default:"app.psgi" path:"app" apply:"workers" help:"the application: a file, or a class such as MyApp::Web"`

	// Eval is Perl code whose last value is the application, inside a Plack::Builder
	// block. Empty means that App is loaded instead.
	Eval string `toml:"eval" short:"e" arg:"CODE" apply:"workers" help:"run this Perl code as the application (needs Plack::Builder)"`

	// Include lists absolute folders that are put in front of @INC, in this order.
	Include []string `toml:"include" short:"I" arg:"DIR" path:"file" apply:"workers" help:"put a folder in front of @INC (repeatable)"`

	// Modules are loaded before the application, as perl's -M does: Foo, or
	// Foo=bar,baz to import names.
	Modules []string `toml:"modules" short:"M" arg:"MODULE" apply:"workers" help:"load a module first: Foo, or Foo=bar,baz (repeatable)"`

	// Env is what the application finds in PLACK_ENV. In development the middleware
	// for developers is put around it.
	Env string `toml:"env" short:"E" arg:"NAME" default:"deployment" env:"PLACK_ENV" apply:"workers" help:"the environment: deployment, development or a name of yours"`

	// DefaultMiddleware allows the middleware that Env asks for.
	DefaultMiddleware bool `toml:"default_middleware" default:"true" apply:"workers" help:"wrap the application in the middleware of its environment"`

	// Path is where the application is mounted. It starts with a slash, and ends
	// with none unless it is "/" itself.
	Path string `toml:"path" arg:"PATH" default:"/" apply:"live" help:"the path at which the application is mounted"`

	// Perl is the interpreter: a name to look up in PATH, or an absolute path.
	Perl string `toml:"perl" arg:"PROGRAM" default:"perl" path:"program" apply:"workers" help:"the perl to run"`

	// Preload loads the application once and forks workers from it, which saves
	// memory; what it opens while loading is then shared between the workers.
	Preload bool `toml:"preload" default:"false" apply:"workers" help:"load the application once, before the workers are forked"`

	// Workers is how many processes run the application. Each runs one request at a
	// time. Too few make requests wait, too many take memory.
	Workers int `toml:"workers" alias:"max_workers" arg:"N" default:"10" min:"1" max:"1000" zero:"Thrall's 0 meant no children, but thralld always runs the app in workers" apply:"live" help:"how many worker processes run the application"`

	// MinWorkers is how few workers are kept when there is little to do; between it
	// and Workers there are as many as the load asks for. 0 keeps Workers always.
	MinWorkers int `toml:"min_workers" arg:"N" default:"0" max:"1000" apply:"live" help:"keep as few workers as this when there is little to do; 0: all of them"`

	// Threads is how many Perl threads of a worker run requests, each its own. More
	// than 1 needs a perl that was built with threads, and an application that
	// bears them.
	Threads int `toml:"threads" arg:"N" default:"1" min:"1" max:"64" zero:"1 means no threads" apply:"workers" help:"how many requests a worker runs at a time, in Perl threads"`

	// ThreadStackSize is the stack of each of several Threads. 0 is Perl's default.
	ThreadStackSize Size `toml:"thread_stack_size" arg:"SIZE" default:"0B" max:"1GiB" apply:"workers" help:"stack of each thread, with several; 0 is perl's default"`

	// MaxReqsPerChild is how many requests a worker runs before another takes its
	// place. 0 is no limit.
	MaxReqsPerChild int `toml:"max_reqs_per_child" alias:"max_requests" arg:"N" default:"1000" endless:"inf" apply:"live" help:"requests that a worker runs before it is replaced; 0 or inf is no limit"`

	// MinReqsPerChild spreads the replacements: the limit of each worker is drawn
	// from MinReqsPerChild to MaxReqsPerChild. 0 means that all have the same.
	MinReqsPerChild int `toml:"min_reqs_per_child" arg:"N" default:"0" apply:"live" help:"draw the limit of each worker from this to max-reqs-per-child"`

	// MaxLifetime is how old a worker gets before another takes its place. 0 is no
	// limit.
	MaxLifetime Duration `toml:"max_lifetime" arg:"TIME" default:"0s" apply:"live" help:"replace a worker that is as old as this; 0 is no limit"`

	// MaxMemory is how much memory a worker may use before another takes its place:
	// its proportional share (PSS), where pages that it shares with others count in
	// part. 0 is no limit.
	MaxMemory Size `toml:"max_memory" arg:"SIZE" default:"0B" apply:"live" help:"replace a worker that uses more memory (PSS) than this; 0 is no limit"`

	// SpawnInterval is the least time from one new worker to the next, and in a roll
	// from one retired worker to the next. 0 is as fast as they get ready.
	SpawnInterval Duration `toml:"spawn_interval" arg:"TIME" default:"0s" apply:"live" help:"least time from one new or retired worker to the next; 0: none"`

	// Probation is how long the first worker of a new generation has to stay alive,
	// without requests, before the generation takes over. 0 trusts it at once.
	Probation Duration `toml:"probation" arg:"TIME" default:"2s" apply:"live" help:"how long the first worker of a reload must live before others are replaced"`

	// RequestTimeout is how long a worker may run one request, from its first byte
	// to the last of the answer, before it is killed and the client is answered 504.
	// 0 is no limit.
	RequestTimeout Duration `toml:"request_timeout" arg:"TIME" default:"0s" apply:"live" help:"kill a worker that runs one request for longer than this; 0 is no limit"`

	// SlowRequest is how long a request runs before the stack of its worker is
	// logged. 0 logs none.
	SlowRequest Duration `toml:"slow_request" arg:"TIME" default:"0s" apply:"live" help:"log where in the Perl code a request is that takes longer; 0: never"`

	// MainThreadDelay is the period of housekeeping: memory, lifetimes and slow
	// requests are looked at so often.
	MainThreadDelay Duration `toml:"main_thread_delay" alias:"main_process_delay" arg:"TIME" default:"100ms" min:"10ms" max:"1m" zero:"housekeeping needs a period" apply:"live" help:"how often memory, age and slow requests of workers are looked at"`

	// Host is the name or address to listen on, without brackets. Empty means every
	// address of the machine.
	Host string `toml:"host" short:"o" arg:"HOST" apply:"live" help:"the address to listen on; empty is all of them"`

	// Port is the TCP port to listen on. 0 lets the kernel choose a free one.
	Port int `toml:"port" short:"p" arg:"PORT" default:"5000" max:"65535" apply:"live" help:"the TCP port to listen on; 0 lets the kernel choose"`

	// Socket is the absolute path of a unix socket to listen on instead of Host and
	// Port, or @NAME in the abstract namespace. Empty means none.
	Socket string `toml:"socket" short:"S" arg:"PATH" path:"socket" apply:"live" help:"a unix socket to listen on instead; @NAME is an abstract one"`

	// Listen holds addresses to listen on. It and Listener take the place of Host, Port
	// and Socket: HOST:PORT, :PORT, [::1]:PORT, an absolute path, @NAME, fd:N for a
	// listening socket that was handed over as descriptor N, or systemd:NAME for all
	// that systemd has handed over under that name.
	Listen []string `toml:"listen" short:"l" arg:"ADDRESS" path:"listen" apply:"live" help:"HOST:PORT, :PORT, a path or @NAME to listen on (repeatable)"`

	// Listener holds what is listened on beside Listen, each with settings of its own.
	Listener []Listener `toml:"listener" apply:"live" help:"one more address to listen on, with settings of its own"`

	// IPv6 lets the listeners take IPv6 connections beside IPv4 ones. Without it none
	// does, whatever its own settings say.
	IPv6 bool `toml:"ipv6" default:"true" apply:"live" help:"listen on IPv6 too, where the machine has it"`

	// What follows is as the keys of the same names in Listener, for the addresses of
	// Listen, Socket, Host and Port: each is for those that it concerns.

	// SocketMode is who may use a unix socket, in octal digits.
	SocketMode string `toml:"socket_mode" arg:"OCTAL" apply:"live" help:"mode of unix sockets, in octal; empty is what the umask says"`

	// SocketOwner is the user whom unix sockets belong to, a name or a number.
	SocketOwner string `toml:"socket_owner" arg:"USER" apply:"live" help:"user whom unix sockets belong to"`

	// SocketGroup is the group that unix sockets belong to, a name or a number.
	SocketGroup string `toml:"socket_group" arg:"GROUP" apply:"live" help:"group that unix sockets belong to"`

	// Backlog is how many connections may wait to be accepted.
	Backlog int `toml:"backlog" arg:"N" default:"0" max:"65535" apply:"live" help:"connections that may wait to be accepted; 0 is net.core.somaxconn"`

	// ReusePort lets other daemons of the same user have the same TCP port.
	ReusePort bool `toml:"reuse_port" default:"false" apply:"live" help:"share the TCP port with other daemons (SO_REUSEPORT)"`

	// TCPKeepalive is the silence after which the kernel asks for a client's machine.
	TCPKeepalive Duration `toml:"tcp_keepalive" arg:"TIME" default:"15s" max:"9h" apply:"live" help:"silence after which TCP asks for a client's machine; 0: never"`

	// ProxyProtocol has every connection begin with a header of the PROXY protocol,
	// from one of TrustedProxies. Others are closed.
	ProxyProtocol bool `toml:"proxy_protocol" default:"false" apply:"live" help:"connections begin with a PROXY header of a trusted proxy"`

	// TrustedProxies are those whose word is taken on whom they speak for: addresses,
	// networks, and the words loopback, private and unix (all who come by a unix
	// socket). Who is in it by mistake can pass for any client.
	TrustedProxies []string `toml:"trusted_proxies" arg:"ADDRESS" split:"," apply:"live" help:"believe this proxy: an address, a network, loopback, private or unix (repeatable)"`

	// ForwardedHeaders names the request headers in which trusted proxies tell client,
	// scheme, host and port. What they do not set themselves must not be named, as
	// they pass on what a client writes there.
	ForwardedHeaders []string `toml:"forwarded_headers" arg:"HEADER" default:"x-forwarded-for,x-forwarded-proto" split:"," apply:"live" help:"a header that trusted proxies set (repeatable)"`

	// RequestIDHeader is the response header that carries the request's id. Empty
	// means none.
	RequestIDHeader string `toml:"request_id_header" arg:"NAME" apply:"live" help:"send the id of each request in this response header"`

	// Timeout is how long a client may stay silent while it sends a body or is sent a
	// response, before its connection is closed; it does not limit a whole request. 0 is
	// no limit.
	Timeout Duration `toml:"timeout" arg:"TIME" default:"5m" apply:"live" help:"longest silence of a client within a request; 0 is no limit"`

	// HeaderTimeout is how long the head of a request may take from its first byte, and
	// the first byte of a new connection. 0, or more than Timeout, means Timeout.
	HeaderTimeout Duration `toml:"header_timeout" arg:"TIME" default:"30s" apply:"live" help:"how long the head of a request may take; 0: the same as timeout"`

	// MinRate is how many bytes a client has to send or to read in a second, on average;
	// one that has been faster may be slower for as long as Timeout. 0 is any number:
	// a client that reads a byte now and then is served for ever.
	MinRate Size `toml:"min_rate" arg:"SIZE" default:"240B" max:"1GiB" apply:"live" help:"bytes per second that a client must send or read at least; 0: any"`

	// MaxConnections is how many connections there may be. For a further one the one
	// that has been idle for the longest is closed; if none is idle it is answered 503.
	// 0 is three quarters of the files that the daemon may have open.
	MaxConnections int `toml:"max_connections" arg:"N" default:"0" apply:"live" help:"connections at a time; 0: three quarters of the limit of open files"`

	// KeepaliveTimeout is how long an idle connection is kept for a next request.
	// 0 closes every connection after its answer.
	KeepaliveTimeout Duration `toml:"keepalive_timeout" arg:"TIME" default:"2s" apply:"live" help:"how long an idle connection is kept; 0 keeps none"`

	// MaxKeepaliveReqs is how many requests one connection may make. 1 turns
	// keep-alive off, 0 is no limit.
	MaxKeepaliveReqs int `toml:"max_keepalive_reqs" arg:"N" default:"0" apply:"live" help:"requests on one connection; 1 turns keep-alive off, 0 is no limit"`

	// MaxHeaderBytes is the largest request line and header, in bytes. Beyond it the
	// client is answered 414 or 431.
	MaxHeaderBytes Size `toml:"max_header_bytes" arg:"SIZE" default:"64KiB" min:"1KiB" max:"128KiB" apply:"live" help:"largest request line and header"`

	// MaxBodyBytes is the largest request body, in bytes. Beyond it the client is
	// answered 413. 0 is no limit, and lets a client fill SpoolDir.
	MaxBodyBytes Size `toml:"max_body_bytes" arg:"SIZE" default:"1GiB" apply:"live" help:"largest request body; 0 is no limit"`

	// Compress lists the content codings that responses may be sent in, the preferred one
	// first: zstd, br, gzip. None compresses nothing.
	Compress []string `toml:"compress" arg:"CODING" split:"," apply:"live" help:"compress responses: zstd, br or gzip (repeatable, the preferred one first)"`

	// CompressTypes lists the media types that are compressed: text/html, or text/*. None
	// means those of text.
	CompressTypes []string `toml:"compress_types" arg:"TYPE" split:"," apply:"live" help:"media types to compress; those of text if there is none (repeatable)"`

	// CompressMinBytes is the length from which a response is compressed. 0 is any.
	CompressMinBytes Size `toml:"compress_min_bytes" arg:"SIZE" default:"1KiB" apply:"live" help:"compress responses of this length or more"`

	// SSL has the listeners of Listen, Socket, Host and Port speak TLS, with the
	// certificates below. Without it they speak plain HTTP.
	SSL bool `toml:"ssl" default:"false" apply:"live" help:"speak TLS"`

	// SSLKeyFile lists the absolute paths of the private keys of SSLCertFile, in the
	// same order. They are in PEM form, without a passphrase.
	SSLKeyFile []string `toml:"ssl_key_file" arg:"FILE" path:"file" lone:"true" apply:"live" help:"the key of the certificate, in PEM (repeatable, in pairs)"`

	// SSLCertFile lists the absolute paths of the server's certificates in PEM form,
	// each with the intermediate ones behind it. The client's choice of a name (SNI)
	// decides between them; the first one is for clients that name none of them.
	SSLCertFile []string `toml:"ssl_cert_file" arg:"FILE" path:"file" lone:"true" apply:"live" help:"the certificate, and its chain, in PEM (repeatable: one for each name)"`

	// SSLCAFile is the absolute path of certificates of authorities, in PEM form: those
	// that the chain of a certificate lacks are sent with it. Empty means none.
	SSLCAFile string `toml:"ssl_ca_file" arg:"FILE" path:"file" apply:"live" help:"certificates of authorities, to complete the chain that is sent"`

	// SSLClientCAFile is the absolute path of the authorities, in PEM form, that the
	// certificates of clients are checked against. SSLVerifyMode needs it.
	SSLClientCAFile string `toml:"ssl_client_ca_file" arg:"FILE" path:"file" apply:"live" help:"the authorities that vouch for the certificates of clients"`

	// SSLVerifyMode says whether clients are asked for a certificate. With
	// [VerifyRequired] a client without a good one is not served.
	SSLVerifyMode VerifyMode `toml:"ssl_verify_mode" arg:"MODE" default:"0" apply:"live" help:"certificates of clients: 0 none, 1 checked when sent, 3 required"`

	// SSLMinVersion is the oldest version of TLS that is spoken.
	SSLMinVersion string `toml:"ssl_min_version" arg:"VERSION" default:"1.2" oneof:"1.2|1.3" apply:"live" help:"the oldest version of TLS: 1.2 or 1.3"`

	// HTTP2 lets clients choose HTTP/2 in the handshake of TLS.
	HTTP2 bool `toml:"http2" default:"true" apply:"live" help:"offer HTTP/2 to clients that speak TLS"`

	// H2C takes HTTP/2 without TLS from clients that begin with it, as proxies do.
	H2C bool `toml:"h2c" default:"false" apply:"live" help:"take HTTP/2 without TLS, too, from clients that begin with it"`

	// HTTPEngine is the code that speaks HTTP/1: thralld's own, or the slower one of
	// Go's net/http, for a release in which the own one turns out to be at fault.
	HTTPEngine string `toml:"http_engine" arg:"ENGINE" default:"thralld" oneof:"thralld|net/http" apply:"restart" help:"what speaks HTTP/1: thralld or, as a fallback, net/http"`

	// MaxQueue is how many requests may wait for a worker. Further ones are answered
	// 503 at once. 0 lets none wait.
	MaxQueue int `toml:"max_queue" arg:"N" default:"1000" apply:"live" help:"requests that may wait for a worker; 0 lets none wait"`

	// QueueTimeout is how long a request may wait for a worker before it is answered
	// 503. 0 is no limit.
	QueueTimeout Duration `toml:"queue_timeout" arg:"TIME" default:"30s" apply:"live" help:"how long a request may wait for a worker; 0 is no limit"`

	// StartTimeout is how long a worker may take to load the application. 0 is no
	// limit.
	StartTimeout Duration `toml:"start_timeout" arg:"TIME" default:"1m" apply:"live" help:"how long the application may take to load; 0 is no limit"`

	// StopTimeout is how long a graceful stop waits for requests that are running
	// before their workers are killed. 0 does not wait.
	StopTimeout Duration `toml:"stop_timeout" arg:"TIME" default:"30s" apply:"live" help:"how long a graceful stop waits for requests; 0 does not wait"`

	// ErrRespawnInterval is the least delay before a worker that failed is replaced.
	// With 0 only failures in a row are delayed, from 0.1 s up to 30 s.
	ErrRespawnInterval Duration `toml:"err_respawn_interval" arg:"TIME" default:"0s" apply:"live" help:"least delay after a worker that failed; 0: only after several in a row"`

	// MaxSpool is how much of responses that slow clients have not read yet may lie in
	// SpoolDir, in bytes, beside the bodies of requests. Beyond it workers wait for
	// their clients. 0 keeps responses off the disk.
	MaxSpool Size `toml:"max_spool" arg:"SIZE" default:"1GiB" apply:"live" help:"disk for responses that slow clients have not read; 0: none"`

	// SpoolDir is the absolute path of the folder for bodies too large for memory.
	// Empty is the system's folder for temporary files.
	SpoolDir string `toml:"spool_dir" arg:"DIR" path:"file" apply:"live" help:"folder for large bodies; empty is the system's temporary one"`

	// Static holds folders whose files are served without the application.
	Static []Static `toml:"static" apply:"live" help:"a folder whose files are served without the application"`

	// Sendfile holds folders whose files the application may have sent by naming them.
	// Without any, X-Sendfile and X-Accel-Redirect are passed on to the client.
	Sendfile []Sendfile `toml:"sendfile" apply:"live" help:"a folder whose files the application may have sent"`

	// ServerSoftware is the Server header of answers to which the application gives
	// none. Empty adds none.
	ServerSoftware string `toml:"server_software" arg:"TEXT" default:"thralld" apply:"live" help:"the Server header where the application sends none; empty adds none"`

	// Watch applies changes of thrall.toml as soon as it is saved.
	Watch bool `toml:"watch" default:"false" apply:"restart" help:"apply changes of thrall.toml when it is saved"`

	// Reload swaps the application for its new code when one of its files is saved:
	// for development.
	Reload bool `toml:"reload" short:"r" default:"false" apply:"restart" help:"for development: reload when the app or its lib changes"`

	// ReloadDirs lists absolute folders that Reload watches, too; with one it is on.
	ReloadDirs []string `toml:"reload_dirs" alias:"Reload" short:"R" arg:"DIR" path:"file" split:"," apply:"restart" help:"like --reload, and watch this folder, too (repeatable)"`

	// Daemonize makes the daemon go on in the background.
	Daemonize bool `toml:"daemonize" short:"D" default:"false" apply:"restart" help:"go into the background once it serves"`

	// PID is the absolute path of the file that holds the process id. Empty means
	// none.
	PID string `toml:"pid" arg:"FILE" path:"file" apply:"restart" help:"write the process id into this file"`

	// Control is the absolute path of the socket by which thralld reload, status,
	// stop and trace reach the daemon. Empty means ControlSocket's choice.
	Control string `toml:"control" arg:"PATH" path:"file" apply:"restart" help:"the socket for thralld reload, status, stop and trace"`

	// User is the name or number of the user that the daemon becomes, and so its
	// workers, once the listeners are open. Empty means that it stays who it is,
	// unless that is root.
	User string `toml:"user" arg:"USER" apply:"restart" help:"become this user once the listeners are open"`

	// Group names the group that the daemon becomes, and further ones after commas
	// or blanks. Empty means the user's own.
	Group string `toml:"group" arg:"GROUPS" apply:"restart" help:"become this group; more than one by commas"`

	// AllowRoot lets workers run as root when User says so.
	AllowRoot bool `toml:"allow_root" default:"false" apply:"restart" help:"let --user root be meant"`

	// Umask is that of the daemon and its workers, in octal digits. Empty leaves it.
	Umask string `toml:"umask" arg:"OCTAL" apply:"restart" help:"the umask of the daemon and its workers, in octal"`

	// ErrorLog is the absolute path of the file for the log. Empty means STDERR.
	ErrorLog string `toml:"error_log" arg:"FILE" path:"file" apply:"restart" help:"write the log to this file"`

	// AccessLog is the absolute path of the file that gets a line for each request, or
	// "stderr" or "stdout" for a stream of the daemon. Empty means none.
	AccessLog string `toml:"access_log" arg:"FILE" path:"stream" apply:"live" help:"write a line for each request to this file; - is STDERR"`

	// AccessLogFormat is the form of these lines: common, combined, json, or a text with
	// Apache's tokens.
	AccessLogFormat string `toml:"access_log_format" arg:"FORMAT" default:"combined" apply:"live" help:"common, combined, json or Apache's tokens, as in '%h %t \"%r\" %>s %D'"`

	// Quiet keeps everything below a warning out of the log, whatever LogLevel says.
	Quiet bool `toml:"quiet" short:"q" default:"false" env:"PLACK_QUIET" apply:"workers" help:"log warnings and errors only"`

	// LogLevel is the least level that is logged.
	LogLevel string `toml:"log_level" arg:"LEVEL" default:"info" oneof:"debug|info|warn|error" apply:"live" help:"debug, info, warn or error"`

	// LogFormat is console (for people), json (for programs), or auto: console when
	// the log is a terminal, else json.
	LogFormat string `toml:"log_format" arg:"FORMAT" default:"auto" oneof:"auto|console|json" apply:"restart" help:"auto, console or json"`

	file    string            // the absolute path of thrall.toml, or ""
	origins map[string]string // by key; a key that is missing has its default

	tables map[string][]map[string]string // the origins of each table, by the key whose tables they are
}

// File is the absolute path of the thrall.toml that was read, or "".
func (c *Config) File() string { return c.file }

// Default returns the configuration of an empty thrall.toml and a bare command
// line. Its paths are as they are written, not yet absolute.
func Default() Config {
	var c Config
	c.whole().setDefaults()
	return c
}
