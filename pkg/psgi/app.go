package psgi

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// App is a PSGI application, wherever it runs.
//
// Call blocks until the app has sent the head of its response, ctx is done, or
// the call has failed; the errors below say which answer a client deserves. It
// may be called from many goroutines. When err is nil the caller owns the
// response and must close its Body, once, also if it never reads it: closing
// ends the call and tells an app that is still writing that nobody listens. After
// that the response's memory serves another call: of what the caller has seen only
// the strings of its header may still be used.
type App interface {
	Call(ctx context.Context, req *Request) (*Response, error)
}

// The reasons for which a call fails. Test for them with errors.Is.
var (
	// ErrQueueFull means that too many requests wait for a worker already.
	ErrQueueFull = errors.New("too many requests are waiting for a worker")
	// ErrQueueTimeout means that no worker became free in time.
	ErrQueueTimeout = errors.New("no worker became free in time")
	// ErrStopping means that the app is being shut down.
	ErrStopping = errors.New("the server is stopping")
	// ErrWorkerDied means that the worker ended while it was running the
	// request. The request may have had effects: it is never run again.
	ErrWorkerDied = errors.New("the worker died while running the request")
	// ErrRequestTimeout means that the app had not answered after the time that
	// a request may take, and that its worker was ended. The request may have
	// had effects: it is never run again.
	ErrRequestTimeout = errors.New("the request took longer than request_timeout")
	// ErrAborted means that the app failed after its response had begun. The
	// client must be able to tell: its connection is cut.
	ErrAborted = errors.New("the app failed in the middle of its response")
	// ErrTooLarge means that the request's head does not fit a frame.
	ErrTooLarge = errors.New("the request's environment does not fit a frame")
	// ErrFrame means that a worker sent bytes that are no frame.
	ErrFrame = errors.New("malformed frame")
)

// MaxID is the greatest length of a request's ID, in bytes.
const MaxID = 128

// Request is one call of the app. The callee does not keep it after the
// response's Body has been closed.
type Request struct {
	// ID names the request in logs and as thralld.request_id in the app. It has at most
	// [MaxID] bytes, all of them printable ASCII and none a blank.
	ID string
	// Line is the method and the path, for people: "GET /path". It has no query,
	// no control characters and at most 200 bytes.
	Line string
	// Env holds the CGI keys and psgi.url_scheme. The Perl runtime adds the
	// keys whose values are not plain strings.
	Env Env
	// Body is the whole request body, at most [MaxInline] bytes, when
	// SpoolFile is empty.
	Body []byte
	// SpoolFile is the absolute path of a file that holds the whole body. The
	// caller keeps it in place until the response's Body is closed.
	SpoolFile string
	// Inform passes on an informational response (1xx) that the app sends
	// ahead of its answer. It is called before Call returns, from another
	// goroutine, and must not block for long. Nil drops them.
	Inform func(status int, header Header)
}

// Response is the app's answer.
type Response struct {
	Status int
	Header Header
	// Body is never nil. See [App] for who closes it.
	Body Body
	// Whole means that the first piece of Body is all of it: the length is
	// known before anything is sent.
	Whole bool
	// Stream means that the app writes as it goes: each piece is to reach the
	// client without waiting for the next.
	Stream bool
	// File is set, and Body empty, when the app's body is an open file.
	File *File
	// Failed means that the app died or broke the contract, which its log tells,
	// and that this is the answer in its place.
	Failed bool
	// Worker and Generation tell, for the log, who answered, and PID its process; it
	// is 0 if no worker did.
	Worker     int
	Generation int
	PID        int
	// AppTime is how long the worker took from the request's start to the head of this
	// answer.
	AppTime time.Duration
}

// Body is what the app sends after the head.
type Body interface {
	// Next blocks until the app has produced the next piece. The piece is
	// valid until the next call. At the end of a complete body the error is
	// io.EOF; any other error means that the rest is missing.
	Next() ([]byte, error)
	// Close ends the body. Of a response that is not Whole it may be called while
	// Next waits in another goroutine, and ends that.
	io.Closer
}

// File is a response body that is a regular file, opened for the server: Length
// bytes from Offset. Closing the response's Body closes it.
type File struct {
	*os.File
	Offset int64
	Length int64
}
