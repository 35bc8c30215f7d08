package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// place is where and how a server is to run.
type place struct {
	port    int
	app     string // the PSGI file
	workers int
	loading loading
	keep    int    // seconds that an idle connection is kept
	reloads bool   // the server will be reloaded: see peer.reload
	closing bool   // the load opens a connection for each request
	control string // the control socket of thralld; empty: none
	folder  string // where largeFile is, and a server may keep files of its own
}

// largeFile is the name of the file that is sent, where one is; apps find its path in BENCH_FILE.
const largeFile = "1m.bin"

// loading says when an app is loaded.
type loading int

const (
	ownLoading loading = iota // as the server does it unless told
	loadOnce                  // before the workers are forked
	loadEach                  // by each worker
)

func (p place) address() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// peer is a server in its best documented configuration.
type peer struct {
	name    string
	about   string // what one has to know to read its figures
	closes  bool   // ends each connection after its answer, so the load asks for that
	unsaid  bool   // when it ends a connection it does not announce that
	stop    syscall.Signal
	prepare func(p place) error // writes what the command reads; nil: nothing
	command func(p place) []string
	// reload begins a reload of a server, and may return before that is done; nil when there is none
	// that answers all requests by its manual.
	reload func(ctx context.Context, s *server) error
}

// peers in the order of the tables, thralld first.
var peers = []*peer{
	{
		name: "thralld", stop: syscall.SIGTERM,
		about:   "a Go front and Perl workers",
		command: thralldCommand, reload: thralldReload,
	},
	{
		name: "starlet", stop: syscall.SIGTERM,
		about:   "a worker for each connection, which it keeps as long as the client wants",
		command: starletCommand, reload: hangUp,
	},
	{
		name: "starman", stop: syscall.SIGQUIT,
		about:   "a worker for each connection",
		command: starmanCommand, reload: hangUp,
	},
	{
		name: "uwsgi", stop: syscall.SIGINT, unsaid: true,
		about:   "http11-socket: a worker for each connection, which it keeps; http-socket where none is kept",
		command: uwsgiCommand("psgi", "--http11-socket"),
	},
	{
		name: "uwsgi-http", stop: syscall.SIGINT,
		about:   "its HTTP router in front of the workers, which keeps connections without a worker",
		command: uwsgiCommand("http,psgi", "--http-keepalive", "--http"),
	},
	{
		name: "feersum", stop: syscall.SIGQUIT, closes: true, unsaid: true,
		about:   "2 processes with an event loop each; it keeps no connection",
		command: feersumCommand,
	},
	{
		name: "twiggy", stop: syscall.SIGTERM, closes: true, unsaid: true,
		about:   "1 process with an event loop; it keeps no connection",
		command: twiggyCommand,
	},
	{
		name: "nginx", stop: syscall.SIGTERM,
		about:   "a process for each processor, which sends the file by itself, without an app",
		prepare: configureNginx, command: nginxCommand,
	},
	{
		name: "go", stop: syscall.SIGTERM,
		about:   "net/http alone, without Perl: what a Go front could do at most",
		command: goCommand,
	},
}

func peerNamed(name string) *peer {
	for _, p := range peers {
		if p.name == name {
			return p
		}
	}
	return nil
}

// thralld is the binary to measure.
func thralld() string {
	if binary := os.Getenv("THRALLD"); binary != "" {
		return binary
	}
	return "bin/thralld"
}

// spawnInterval is the pause between two workers of thralld's reload: ten take two seconds, or as long
// as they take to load the app.
const spawnInterval = "0.2s"

// The others limit the requests of a worker, too, or have no such limit: all are told not to.
const noLimit = "1000000000"

func thralldCommand(p place) []string {
	command := []string{
		thralld(), "--host=127.0.0.1", fmt.Sprintf("--port=%d", p.port), fmt.Sprintf("--workers=%d", p.workers),
		"--max-reqs-per-child=0", fmt.Sprintf("--keepalive-timeout=%ds", p.keep), "--quiet",
	}
	if os.Getuid() == 0 {
		command = append(command, "--user=root", "--allow-root") // as the others do
	}
	if p.loading == loadOnce {
		command = append(command, "--preload")
	}
	if p.control != "" {
		command = append(command, "--control="+p.control)
	}
	if p.reloads {
		command = append(command, "--probation=0", "--spawn-interval="+spawnInterval)
	}
	return append(command, p.app)
}

func starletCommand(p place) []string {
	command := []string{"plackup", "-s", "Starlet", "-E", "deployment"}
	if p.loading == loadEach {
		command = append(command, "-L", "Delayed")
	}
	if p.reloads {
		command = append([]string{"start_server", "--port=" + p.address(), "--"}, command...)
	} else {
		command = append(command, "--host=127.0.0.1", fmt.Sprintf("--port=%d", p.port))
	}
	return append(command, fmt.Sprintf("--max-workers=%d", p.workers), "--max-keepalive-reqs="+noLimit,
		"--max-reqs-per-child="+noLimit, fmt.Sprintf("--keepalive-timeout=%d", p.keep), p.app)
}

func starmanCommand(p place) []string {
	command := []string{
		"starman", "-E", "deployment", "--listen=" + p.address(), fmt.Sprintf("--workers=%d", p.workers),
		"--max-requests=" + noLimit, fmt.Sprintf("--keepalive-timeout=%d", p.keep), "--backlog=4096",
	}
	if p.loading == loadOnce {
		command = append(command, "--preload-app")
	}
	return append(command, p.app)
}

func uwsgiCommand(plugins string, listen ...string) func(p place) []string {
	return func(p place) []string {
		command := append([]string{"uwsgi", "--plugins=" + plugins}, listen...)
		if p.closing {
			command = []string{"uwsgi", "--plugins=" + plugins, "--http-socket"} // the other one closes nothing
		}
		command = append(command, p.address(), "--master", fmt.Sprintf("--processes=%d", p.workers),
			"--listen=4096", "--disable-logging", "--need-app")
		if p.loading == loadEach {
			command = append(command, "--lazy-apps")
		}
		return append(command, "--psgi="+p.app)
	}
}

func feersumCommand(p place) []string {
	return []string{"feersum", "-E", "deployment", "--listen=" + p.address(), "--pre-fork=2", p.app}
}

func twiggyCommand(p place) []string {
	return []string{"twiggy", "-E", "deployment", "--listen=" + p.address(), "--backlog=4096", p.app}
}

func nginxCommand(p place) []string {
	return []string{"/usr/sbin/nginx", "-e", "stderr", "-p", p.folder, "-c", nginxConfig(p)}
}

func nginxConfig(p place) string { return fmt.Sprintf("%s/nginx-%d.conf", p.folder, p.port) }

func configureNginx(p place) error {
	user := ""
	if os.Getuid() == 0 {
		user = "user root; " // as the others stay
	}
	config := fmt.Sprintf(`daemon off; pid nginx.pid; worker_processes auto; %s
events { worker_connections 4096; }
http {
	access_log off; sendfile on; default_type application/octet-stream;
	keepalive_requests %s; keepalive_timeout %d;
	server { listen %s; location / { root %s; rewrite ^ /%s break; } }
}
`, user, noLimit, p.keep, p.address(), p.folder, largeFile)
	return os.WriteFile(nginxConfig(p), []byte(config), 0o600)
}

// goCommand is this program itself: see serveHello.
func goCommand(p place) []string { return []string{ownBinary(), "--serve-hello=" + p.address()} }

func ownBinary() string {
	binary, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return binary
}

// thralldReload returns when every worker is replaced.
func thralldReload(ctx context.Context, s *server) error {
	output, err := exec.CommandContext(ctx, thralld(), "reload", "--control="+s.at.control).CombinedOutput()
	if err != nil {
		return fmt.Errorf("thralld reload: %v: %s", err, output)
	}
	return nil
}

func hangUp(_ context.Context, s *server) error { return s.command.Process.Signal(syscall.SIGHUP) }

// shown is a command line as one would type it.
func shown(command []string) string { return strings.Join(command, " ") }
