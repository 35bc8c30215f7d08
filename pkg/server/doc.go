// Package server turns HTTP requests into calls of a PSGI application, and its
// answers into HTTP responses.
//
// # A request's journey
//
// A listener accepts a connection. If it speaks TLS the handshake comes first, and tells
// whether the client speaks HTTP/2, which is net/http's business. Else a guard follows the
// framing of what the client sends byte by byte and lets through only what every
// HTTP implementation reads in the same way. An engine, our own or net/http, reads a
// request from it and hands over an exchange: what the client asked, its body still
// on the wire, and the means to answer. From there on nothing knows which engine it
// was. The target is resolved against the mount point; the body
// is read whole, into memory or into a spool file, so that a slow client holds
// no worker; the environment is built; the app is called; the answer is planned
// as a value, every breach of the PSGI contract named before its first byte is
// sent; and the body is copied to the client as the app produces it, through an outbox
// that takes the rest from the app when the client turns out to be slower.
//
// A proxy in front that is trusted tells whose request it is: by a PROXY header, which
// is read before anything else (introduce), and by fields of the request (heed).
//
// # Words
//
//   - settings: the options in the form that requests are served by; a request
//     keeps those that it began with
//   - change: other settings and listeners, prepared beside what is running and
//     then put in force by one step that cannot fail
//   - lineup: the listeners of a change: those that stay, perhaps with other options,
//     and new ones
//   - handed over, adopted: a listening socket that another process has opened
//   - exchange: one request and its answer, as an engine carries them
//   - guard: the strict reader of HTTP/1 framing under an engine
//   - engine: what speaks HTTP/1 on connections; there are two, which answer alike
//   - introduction: a header of the PROXY protocol, which tells of a connection; hidden
//     is a client whom it does not name
//   - told: what trusted proxies say of a request; all others are not believed
//   - arrival: a connection before the end of its handshake
//   - farewell: TLS's close_notify, by which an end is told from a cut
//   - roster: an engine's listeners and connections, and how they end
//   - watch: what notices that a client leaves while its request is run
//   - refusal: an answer of the server's own; one table says which error gets
//     which status
//   - folder: a directory that files are sent from, and beyond which nothing leads
//   - mount: a folder of static files, with its place on the site
//   - outbox: what an app has made and its client has not read yet
//   - pace: how long a client may still be waited for, which its bytes prolong
//   - cut: close a connection in such a way that the client can tell that its
//     response is not complete
//
// # Invariants
//
//   - The app is called only for a request whose body has arrived whole.
//   - A worker waits for a client only when MaxSpool is reached.
//   - No client can make a transfer last for ever by a byte now and then (MinRate).
//   - What a client receives is framed by this package alone: an app can neither
//     split a response nor leave a connection out of step. An answer that breaks
//     the contract is a 500 and a log line that names the breach or, once the
//     head is out, a cut connection; it is never repaired in silence.
//   - Every response's Body is closed exactly once, and no longer than it takes
//     to notice after the client has left.
//   - Bytes that two HTTP implementations could read differently never reach the
//     engine: the requests before them are answered, they are refused, and the
//     connection ends.
//   - No file is opened for a client but through a folder, or as the open handle of a
//     worker; and nothing but a regular file is ever sent, or waited for.
//   - A change closes no connection. A stop closes none under a request, and
//     gives one that is still arriving a moment.
package server
