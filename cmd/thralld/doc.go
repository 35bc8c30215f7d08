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
// # Exit codes
//
// 0 is success, 1 is a configuration or an application that does not work, and 2
// is a command line that is not understood.
package main
