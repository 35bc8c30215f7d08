// Package unixsocket opens unix sockets as a daemon wants them: one that nobody
// listens on any more is replaced, one in use is refused with its owner's name,
// and what else is in the way is left alone. It also says who is at the other end
// of a connection.
//
// Who may connect is settled before anybody can: Linux gives the file the mode that the
// socket had before it was bound, less the umask. A file that shall be somebody else's
// is bound for its present user alone, then given away, and only then opened to others.
//
// # Traps
//
// A process that begins to listen between the look at a stale socket and its
// removal loses its file. Two daemons that start in the same instant on the same
// path have a mistake in common that shows soon enough.
package unixsocket
