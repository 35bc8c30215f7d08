// Package unixsocket opens unix sockets as a daemon wants them: one that nobody
// listens on any more is replaced, one in use is refused with its owner's name,
// and what else is in the way is left alone. It also says who is at the other end
// of a connection.
//
// # Traps
//
// A process that begins to listen between the look at a stale socket and its
// removal loses its file. Two daemons that start in the same instant on the same
// path have a mistake in common that shows soon enough.
package unixsocket
