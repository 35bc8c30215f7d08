package server

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// The server's own reasons not to answer with the app's words. Package psgi has
// those of the app.
var (
	errMalformed     = errors.New("malformed request")
	errNotMounted    = errors.New("the path is outside of the app's mount point")
	errSilence       = errors.New("the client was silent for too long")
	errTooSlow       = errors.New("the client sent less than min_rate asks for")
	errBodyTooLarge  = errors.New("the request body is too large")
	errTargetTooLong = errors.New("the request line is too long")
	errExpectation   = errors.New("the expectation is not known")
	errNotTLS        = errors.New("the client speaks HTTP without TLS")
	errMisdirected   = errors.New("the request is for another server")
	errHeadTooLarge  = errors.New("the request head is too large")
	errContract      = errors.New("the app broke the PSGI contract")
	errMethod        = errors.New("the method is not supported")
	errVersion       = errors.New("the HTTP version is not supported")
	errCrowded       = errors.New("there are too many connections")
	errNoRoom        = errors.New("no room for the request body")
)

// outcome is what a client gets for an error.
type outcome struct {
	err    error
	status int
	reason string
	// retry is the Retry-After, in seconds; zero sends none.
	retry int
}

// outcomes is the one table from error to status. The first line that matches
// counts; an error that no line knows is the server's own fault, and a 500.
var outcomes = []outcome{
	{errMalformed, 400, "Bad Request", 0},
	{errNoAccess, 403, "Forbidden", 0},
	{errNotTLS, 400, "Bad Request: this port speaks TLS, so the URL begins with https://", 0},
	{errNotMounted, 404, "Not Found", 0},
	{errNoFile, 404, "Not Found", 0},
	{errSilence, 408, "Request Timeout", 0},
	{errTooSlow, 408, "Request Timeout", 0},
	{errBodyTooLarge, 413, "Content Too Large", 0},
	{errTargetTooLong, 414, "URI Too Long", 0},
	{errExpectation, 417, "Expectation Failed", 0},
	{errMisdirected, 421, "Misdirected Request", 0},
	{errHeadTooLarge, 431, "Request Header Fields Too Large", 0},
	{psgi.ErrTooLarge, 431, "Request Header Fields Too Large", 0},
	{errContract, 500, "Internal Server Error", 0},
	{psgi.ErrAborted, 500, "Internal Server Error", 0},
	{errMethod, 501, "Not Implemented", 0},
	{psgi.ErrWorkerDied, 502, "Bad Gateway", 0},
	{psgi.ErrFrame, 502, "Bad Gateway", 0},
	{psgi.ErrQueueFull, 503, "Service Unavailable", 1},
	{psgi.ErrQueueTimeout, 503, "Service Unavailable", 1},
	{psgi.ErrStopping, 503, "Service Unavailable", 1},
	{errCrowded, 503, "Service Unavailable", 1},
	{errNoRoom, 503, "Service Unavailable", 5},
	{psgi.ErrRequestTimeout, 504, "Gateway Timeout", 0},
	{context.DeadlineExceeded, 504, "Gateway Timeout", 0},
	{errVersion, 505, "HTTP Version Not Supported", 0},
}

var unknown = outcome{nil, 500, "Internal Server Error", 0}

func outcomeOf(err error) outcome {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o
		}
	}
	return unknown
}

// statusOf returns the status that a client gets for err.
func statusOf(err error) int { return outcomeOf(err).status }

// header returns the fields of the refusal, and text its body.
func (o outcome) header() psgi.Header {
	h := psgi.Header{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}}
	if o.retry > 0 {
		h = append(h, psgi.Field{Name: "Retry-After", Value: strconv.Itoa(o.retry)})
	}
	return h
}

func (o outcome) text() string { return o.reason + "\n" }

// refusedBy returns the error that stands for the response an engine wrote on its
// own, by the status in its first line.
func refusedBy(response []byte) error {
	if len(response) >= len("HTTP/1.1 400") {
		status, _ := strconv.Atoi(string(response[9:12]))
		for _, o := range outcomes {
			if o.status == status {
				return o.err
			}
		}
	}
	return errMalformed
}

// refusal is a whole HTTP/1.1 response for err, after which the connection is closed.
func refusal(err error, software string) []byte {
	o := outcomeOf(err)
	dst := appendStatusLine(nil, o.status, false)
	for _, f := range o.header() {
		dst = appendField(dst, f.Name, f.Value)
	}
	if software != "" {
		dst = appendField(dst, "Server", software)
	}
	dst = appendLength(dst, int64(len(o.text())))
	dst = appendField(dst, "Connection", "close")
	dst = append(appendDate(dst, time.Now()), "\r\n"...)
	return append(dst, o.text()...)
}
