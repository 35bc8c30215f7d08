package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/thralld/thralld/config"
)

const usageHead = `Serve a Perl PSGI application.

  thralld [options] [app.psgi]         serve it
  thralld check [options] [app.psgi]   say everything that is wrong, without serving
  thralld config [options] [app.psgi]  print the effective settings and their origins

With the options of a thralld that runs, which lead to it:

  thralld reload [--no-wait]           have it load configuration and app anew, and wait until
                                       every worker is replaced
  thralld status [--json]              print what it and its workers do
  thralld stop                         stop it, and wait until it has ended
  thralld trace PID                    print where the worker PID is in its Perl code

Options (each is also a key of thrall.toml, with _ for -):

`

const usageTail = `
  -c, --config FILE                read FILE instead of ./thrall.toml
  -s, --server NAME                taken for plackup's sake; the server is thralld
  -L, --loader NAME                Delayed: --preload=0; Plack::Loader: --preload
  -h, --help                       print this
  -v, --version                    print the version

A switch may be written --foo, --foo=0, --no-foo, --enable-foo or --disable-foo.
The command line wins over thrall.toml, which wins over PLACK_ENV and PLACK_QUIET.
`

// printHelp writes what --help shows: a line for each key and each kind of table, from
// their tags.
func printHelp(w io.Writer) error {
	var b strings.Builder
	b.WriteString(usageHead)
	for _, k := range config.Keys() {
		letter := "    "
		if k.Short != "" {
			letter = "-" + k.Short + ", "
		}
		spelling := strings.TrimSpace("--" + k.Flag() + " " + k.Arg)
		fmt.Fprintf(&b, "  %s%-28s %s%s\n", letter, spelling, k.Help, shownDefault(k))
	}
	b.WriteString(usageTail)
	b.WriteString("\nTables of thrall.toml, which are no options:\n\n")
	for _, k := range config.Tables() {
		fmt.Fprintf(&b, "      %-28s %s\n", "[["+k.Name+"]]", k.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func shownDefault(k config.Key) string {
	if k.Default == "" || k.Default == "false" {
		return ""
	}
	return " [" + k.Default + "]"
}
