package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "0.1.0-dev"

// defaultFile is read when --config names no other file and it exists.
const defaultFile = "thrall.toml"

// usageErrors are mistakes in the command line's form, a line each.
type usageErrors []string

func (u usageErrors) Error() string { return strings.Join(u, "\n") }

// run is thralld without its process: it returns the exit code.
func run(stop stopping, args, env []string, std stdio) int {
	line, mistakes := normalise(args)
	var err error = usageErrors(mistakes)
	if len(mistakes) == 0 {
		err = newRoot(&invocation{stop: stop, std: std, settings: config.Environ(env), level: zap.NewAtomicLevel()}, line).ExecuteContext(stop.graceful)
	}
	return report(std, err)
}

// report tells a person what went wrong, a line for each thing, and returns the
// exit code.
func report(std stdio, err error) int {
	if err == nil {
		return 0
	}
	var said exitStatus
	if errors.As(err, &said) {
		return int(said)
	}
	for line := range strings.Lines(strings.TrimRight(err.Error(), "\n")) {
		fmt.Fprintln(std.err, "thralld: "+strings.TrimRight(line, "\n"))
	}
	var usage usageErrors
	if errors.As(err, &usage) {
		fmt.Fprintln(std.err, "thralld: see thralld --help")
		return 2
	}
	return 1
}

// An invocation is one command line while it is being read.
type invocation struct {
	stop     stopping
	std      stdio
	file     string // of --config, or ""
	settings []config.Setting
	notices  []string // what was taken and has no effect, to be logged
	usage    usageErrors
	help     bool
	version  bool
	noWait   bool // of reload
	json     bool // of status
	level    zap.AtomicLevel
}

// newRoot makes the command tree for one normalised command line.
func newRoot(in *invocation, line []string) *cobra.Command {
	root := &cobra.Command{
		Use:           "thralld [options] [app.psgi]",
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          in.command(live),
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "help", RunE: func(*cobra.Command, []string) error { return printHelp(in.std.out) }})
	root.AddCommand(
		&cobra.Command{Use: "check", Args: cobra.ArbitraryArgs, RunE: in.command(check)},
		&cobra.Command{Use: "config", Args: cobra.ArbitraryArgs, RunE: in.command(show)},
		&cobra.Command{Use: "reload", Args: cobra.ArbitraryArgs, RunE: in.remote(remoteReload)},
		&cobra.Command{Use: "status", Args: cobra.ArbitraryArgs, RunE: in.remote(remoteStatus)},
		&cobra.Command{Use: "stop", Args: cobra.ArbitraryArgs, RunE: in.remote(remoteStop)},
		&cobra.Command{Use: "trace", Args: cobra.ArbitraryArgs, RunE: in.trace()},
	)
	for _, cmd := range root.Commands() {
		for _, o := range ownOptions[cmd.Name()] {
			cmd.Flags().Var(&flag{in, o}, o.name, "")
		}
	}
	for _, o := range options() {
		root.PersistentFlags().Var(&flag{in, o}, o.name, "")
	}
	root.SetArgs(line)
	root.SetOut(in.std.out)
	root.SetErr(in.std.err)
	return root
}

// command wraps what a command does in what all of them do first.
func (in *invocation) command(do func(context.Context, *invocation, *config.Config) error) func(*cobra.Command, []string) error {
	return in.prefaced(func(ctx context.Context, words []string) error {
		cfg, err := in.load(words)
		if err != nil {
			return err
		}
		return do(ctx, in, cfg)
	})
}

// prefaced does what was asked for in place of a command: help, or the version.
func (in *invocation) prefaced(do func(context.Context, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, words []string) error {
		switch {
		case in.help:
			return printHelp(in.std.out)
		case in.version:
			return in.say("thralld " + version)
		}
		return do(cmd.Context(), words)
	}
}

// say writes a line to standard output.
func (in *invocation) say(line string) error {
	_, err := fmt.Fprintln(in.std.out, strings.TrimRight(line, "\n"))
	return err
}

// load makes the configuration from what the command line, the environment and
// the file say. The words are those that are no options: at most the app.
func (in *invocation) load(words []string) (*config.Config, error) {
	for i, word := range words {
		switch {
		case i > 0:
			in.usage = append(in.usage, "one application at a time: what is "+word+"?")
		case mistyped(word) != "":
			in.usage = append(in.usage, "there is no command and no file "+word+"; did you mean thralld "+mistyped(word)+"?")
		case in.names("app"):
			in.notices = append(in.notices, "ignored "+word+": --app names the application")
		default:
			in.settings = append(in.settings, config.Setting{Key: "app", Value: word, Origin: "argument"})
		}
	}
	if len(in.usage) > 0 {
		return nil, in.usage
	}
	if in.file == "" && !missing(defaultFile) {
		in.file = defaultFile
	}
	return checkAccessFormat(config.Load(in.file, in.settings))
}

// mistyped is the command that was probably meant by a word which names no file, and,
// having no capital letter, hardly a class; or "".
func mistyped(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" || !missing(word) {
		return ""
	}
	if slices.Contains(commands, word) { // behind --, an app of that name
		return ""
	}
	return config.Nearest(word, commands)
}

// longestFile is how long a thrall.toml may be that is read again, in bytes.
const longestFile = 1 << 20

// read makes the configuration anew, as if folder were the working directory. What
// has been put in the place of thrall.toml must not hold up the daemon, as a FIFO does.
func (in *invocation) read(folder string) (*config.Config, error) {
	path := in.file
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	switch info, err := os.Stat(path); {
	case path == "" || err != nil: // for Load to tell
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: cannot be read again: something that is not a file is in its place", in.file)
	case info.Size() > longestFile:
		return nil, fmt.Errorf("%s: cannot be read again: it has %d bytes, more than %d", in.file, info.Size(), longestFile)
	}
	return checkAccessFormat(config.LoadFrom(folder, in.file, in.settings))
}

// names reports whether the command line has given the key already.
func (in *invocation) names(key string) bool {
	for _, s := range in.settings {
		if s.Key == key && !s.Environ {
			return true
		}
	}
	return false
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// A flag is the pflag.Value of an option: setting it records what was said.
type flag struct {
	in     *invocation
	option option
}

var _ pflag.Value = (*flag)(nil)

// String and Type are those of a switch that is off, so that cobra, which looks
// into --help by itself, leaves it to command.
func (f *flag) String() string { return "false" }
func (f *flag) Type() string   { return "bool" }

// Set never fails: what is wrong is collected, to be told with everything else.
func (f *flag) Set(value string) error {
	switch f.option.name {
	case "config":
		f.in.file = value
	case "help":
		f.in.help = true
	case "version":
		f.in.version = true
	case "server":
		f.in.server(value)
	case "loader":
		f.in.loader(value)
	case "no-wait":
		f.in.noWait = f.on(value)
	case "json":
		f.in.json = f.on(value)
	default:
		f.in.settings = append(f.in.settings, config.Setting{Key: f.option.key, Value: value, Origin: "--" + f.option.name})
	}
	return nil
}

// on reads the value of a switch of thralld's own.
func (f *flag) on(value string) bool {
	on, err := strconv.ParseBool(value)
	if err != nil {
		f.in.usage = append(f.in.usage, fmt.Sprintf("option --%s: got %q, want true or false", f.option.name, value))
	}
	return on
}

// server takes plackup's choice of a server. There is only one here.
func (in *invocation) server(name string) {
	if !strings.EqualFold(name, "thrall") && !strings.EqualFold(name, "thralld") {
		in.notices = append(in.notices, "ignored --server "+name+": the server is thralld")
	}
}

// loader takes plackup's choice of how the application is loaded.
func (in *invocation) loader(name string) {
	origin := "--loader " + name
	switch strings.TrimPrefix(name, "Plack::Loader::") {
	case "Delayed":
		in.settings = append(in.settings, config.Setting{Key: "preload", Value: "false", Origin: origin})
	case "Plack::Loader":
		in.settings = append(in.settings, config.Setting{Key: "preload", Value: "true", Origin: origin})
	case "Restarter":
		in.settings = append(in.settings, config.Setting{Key: "reload", Value: "true", Origin: origin})
	case "Shotgun":
		in.usage = append(in.usage, origin+": thralld loads no app anew for each request; restart it after a change")
	default:
		in.usage = append(in.usage, origin+": want Delayed or Plack::Loader")
	}
}
