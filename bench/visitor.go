package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// answerLimit is how long a visitor waits for an answer.
const answerLimit = 10 * time.Second

// visitor is a client with one connection, which makes one request at a time and looks at each answer.
// It costs the machine less than net/http's client, which would be half of what is measured.
type visitor struct {
	address    string
	keeps      bool
	limit      time.Duration
	connection net.Conn
	reader     *bufio.Reader
	reconnects int // kept connections that the server had closed when the next request came
}

// newVisitor makes a visitor, which connects at its first request. Unless keeps is set it asks for the
// end of the connection with each request.
func newVisitor(address string, keeps bool) *visitor {
	return &visitor{address: address, keeps: keeps, limit: answerLimit}
}

// get makes a GET request, and returns how long the answer took when it was whole and had status 200.
// A kept connection that turns out to have been closed is opened anew once, as browsers do.
func (v *visitor) get(target string) (time.Duration, error) {
	began := time.Now()
	kept := v.connection != nil
	err := v.try(target)
	if kept && errors.Is(err, errUnheard) {
		v.reconnects++
		err = v.try(target)
	}
	if err != nil {
		v.leave()
		return 0, err
	}
	return time.Since(began), nil
}

// errUnheard is a connection that ended before the first byte of an answer.
var errUnheard = errors.New("the connection was closed without an answer")

func (v *visitor) try(target string) error {
	if v.connection == nil {
		connection, err := net.DialTimeout("tcp", v.address, v.limit)
		if err != nil {
			return err
		}
		v.connection = connection
		if v.reader == nil {
			v.reader = bufio.NewReaderSize(nil, 4096)
		}
		v.reader.Reset(connection)
	}
	if err := v.connection.SetDeadline(time.Now().Add(v.limit)); err != nil {
		return err
	}
	header := ""
	if !v.keeps {
		header = "Connection: close\r\n"
	}
	_, err := io.WriteString(v.connection, "GET "+target+" HTTP/1.1\r\nHost: "+v.address+"\r\n"+header+"\r\n")
	if err == nil {
		_, err = v.reader.Peek(1)
	}
	if err != nil {
		v.leave()
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return err
		}
		return errUnheard
	}
	response, err := http.ReadResponse(v.reader, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if err != nil {
		return err
	}
	if response.Close || !v.keeps {
		v.leave()
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}

// leave closes the visitor's connection; the next request opens another.
func (v *visitor) leave() {
	if v.connection != nil {
		v.connection.Close()
		v.connection = nil
	}
}
