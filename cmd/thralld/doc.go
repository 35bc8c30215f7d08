// Command thralld serves a Perl PSGI application.
//
//	thralld [options] [app.psgi]   serve the application
//	thralld check [options] [app]  say everything that is wrong, without serving
//	thralld config [options] [app] print the effective settings and their origins
//	thralld reload [--no-wait]     have the daemon load configuration and app anew
//	thralld status [--json]        print what the daemon does
//	thralld stop                   stop the daemon
//	thralld trace PID              print where a worker is in its Perl code
//
// # Story
//
// main turns the operating system into values: arguments, environment, streams,
// and signals as a context and a channel. Nothing below it sees a signal. run
// brings the command line into one plain form (args.go), lets cobra pick the
// command (root.go), and every command starts from the same loaded configuration.
// From the configuration the last four know where the daemon's control socket is
// (controlpath.go), and ask it over that (remote.go).
//
// A daemon's own life (live.go) goes in one order, and each step needs what the later
// ones take away: decide whom it becomes (identity.go), open the log files for that
// user (journal.go, openfor.go), lock the pid file (pidfile.go), open the listeners,
// become the user (settle.go), start the workers. In the background (background.go)
// all of it happens in a second process, which tells the first one when it serves.
//
// # Invariants
//
//   - No worker is of root unless the configuration asks for it twice.
//   - Once workers run, no thread of the daemon holds a right that they have not.
//   - Root follows no path that another user could have laid: it opens log files with
//     the rights of the user they are for, wherever these suffice.
//   - A pid file that is locked is that of a living daemon. Nobody is signalled by it.
//
// # Exit codes
//
// 0 is success, 1 is a configuration or an application that does not work, and 2
// is a command line that is not understood.
package main
