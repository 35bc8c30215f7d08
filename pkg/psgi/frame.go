package psgi

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const (
	// MaxFrame is the largest frame, in bytes. A SEQPACKET message must fit the
	// sender's buffer whole, and Linux gives 212,992 bytes of it by default.
	MaxFrame = 200 << 10
	// MaxInline is the largest request body that travels in its frame; larger
	// ones travel as the path of a spool file.
	MaxInline = 64 << 10

	headerSize = 8
)

// Type says what a frame carries.
type Type uint8

// The frames that go down, to a worker.
const (
	TypeRequest Type = 1 // flags, environment, body or path of the spool file
	TypeQuit    Type = 2 // end after what is already queued; sent once for each thread
	TypeCancel  Type = 3 // the client of this request has left
	TypeAck     Type = 4 // the file of this response has been opened: close it; to threads, also: a piece was taken
)

// The frames that come up, from a worker.
const (
	TypeReady Type = 16 // the app is loaded; pid
	TypeHead  Type = 17 // status, app time, header, body or its first piece
	TypeBody  Type = 18 // a piece of the body
	TypeInfo  Type = 19 // an informational response
	TypeIdle  Type = 20 // the cleanup handlers of this request are done
	TypeLog   Type = 21 // a line for psgix.logger
	TypeFail  Type = 22 // the app could not be loaded; Perl's message
)

// The frames between the Go process and the template; id is a slot.
const (
	TypeBoot      Type = 32 // down: what to load, as a list of names and values
	TypeSpawn     Type = 33 // down: fork a worker for this slot
	TypeCalibrate Type = 34 // down: find out where this perl keeps its stack
	TypeLoaded    Type = 48 // up: the template can fork
	TypeSpawned   Type = 49 // up: the worker's pid
	TypeLayout    Type = 50 // up: where it does, as text for pkg/stack
)

// Flags qualify a frame.
type Flags uint8

// The flags, each with the frames that may carry it.
const (
	FlagEnd     Flags = 1 << 0 // Head, Body: nothing of this response follows
	FlagStream  Flags = 1 << 1 // Head: pieces are written as the app goes
	FlagCleanup Flags = 1 << 2 // with End: cleanup handlers run now, Idle follows
	FlagLeaving Flags = 1 << 3 // with End or Idle: the worker ends after this
	FlagAbort   Flags = 1 << 4 // with End: the response is not complete
	FlagSpooled Flags = 1 << 5 // Request: the body is the path of a spool file
	FlagFile    Flags = 1 << 6 // Head: the body is an open file
	FlagFailed  Flags = 1 << 7 // Head: the app failed, and this is the runtime's answer for it
)

// Frame is one message, still packed. Payload aliases the buffer that it was
// read into.
type Frame struct {
	Type    Type
	Flags   Flags
	ID      uint32
	Payload []byte
}

// ParseFrame splits a message into its parts. It knows nothing of types and flags.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) < headerSize {
		return Frame{}, fmt.Errorf("%w: %d bytes", ErrFrame, len(b))
	}
	if b[2] != 0 || b[3] != 0 {
		return Frame{}, fmt.Errorf("%w: bytes 2 and 3 are not zero", ErrFrame)
	}
	return Frame{Type(b[0]), Flags(b[1]), binary.BigEndian.Uint32(b[4:]), b[headerSize:]}, nil
}

// AppendFrame appends a frame with the given payload.
func AppendFrame(dst []byte, t Type, f Flags, id uint32, payload []byte) []byte {
	return append(appendHeader(dst, t, f, id), payload...)
}

// AppendRequest appends the frame that runs r as request id. It fails with
// ErrTooLarge when the environment and the body do not fit a frame.
func AppendRequest(dst []byte, id uint32, r *Request) ([]byte, error) {
	body, flags := r.Body, Flags(0)
	if r.SpoolFile != "" {
		body, flags = []byte(r.SpoolFile), FlagSpooled
	}
	if headerSize+4+len(body)+4+r.Env.Len() > MaxFrame {
		return dst, ErrTooLarge
	}
	dst = appendHeader(dst, TypeRequest, flags, id)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = append(dst, body...)
	return r.Env.append(dst), nil
}

// AppendList appends a frame whose payload is a list of strings.
func AppendList(dst []byte, t Type, f Flags, id uint32, list ...string) []byte {
	dst = appendHeader(dst, t, f, id)
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

func appendHeader(dst []byte, t Type, f Flags, id uint32) []byte {
	dst = append(dst, byte(t), byte(f), 0, 0)
	return binary.BigEndian.AppendUint32(dst, id)
}

// Head is the payload of a TypeHead frame.
type Head struct {
	Status  int
	AppTime time.Duration // from the request's start to this frame
	Header  Header
	Body    []byte // aliases the frame
}

// Head reads f, which must be of TypeHead. The header is copied; the body is not.
func (f Frame) Head() (Head, error) { return f.HeadIn(nil) }

// HeadIn is Head, but the header is appended to room, which must be empty.
func (f Frame) HeadIn(room Header) (Head, error) {
	p := parser{rest: f.Payload}
	h := Head{Status: int(p.uint16()), AppTime: time.Duration(p.uint32()) * time.Microsecond}
	h.Body = p.bytes()
	h.Header = p.header(room)
	return h, p.err
}

// Info reads f, which must be of TypeInfo.
func (f Frame) Info() (status int, header Header, err error) {
	p := parser{rest: f.Payload}
	status, header = int(p.uint16()), p.header(nil)
	return status, header, p.err
}

// List reads a payload that is a list of strings.
func (f Frame) List() ([]string, error) {
	var list []string
	p := parser{rest: f.Payload}
	for len(p.rest) > 0 {
		list = append(list, p.string())
	}
	if p.err != nil {
		return nil, p.err
	}
	return list, nil
}

// Process reads the payload of TypeReady or TypeSpawned: a process id.
func (f Frame) Process() (pid int, err error) {
	p := parser{rest: f.Payload}
	pid = int(p.uint32())
	p.end()
	if pid < 2 || pid > math.MaxInt32 { // to the kernel those are groups, everybody, or init
		p.fail("no process id")
	}
	return pid, p.err
}

// FileRef says where a worker keeps the file that is its response's body.
type FileRef struct {
	FD             int
	Offset, Length int64
}

// FileRef reads the body of a head that carries FlagFile.
func (h Head) FileRef() (FileRef, error) {
	p := parser{rest: h.Body}
	r := FileRef{FD: int(p.uint32()), Offset: int64(p.uint64()), Length: int64(p.uint64())}
	p.end()
	if r.Offset < 0 || r.Length < 0 {
		p.fail("a negative number")
	}
	return r, p.err
}

// parser reads a payload from the front. After the first thing that does not
// fit, err is set and everything reads as zero.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) fail(why string) {
	p.rest = nil
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", ErrFrame, why)
	}
}

// end fails unless everything has been read.
func (p *parser) end() {
	if len(p.rest) > 0 {
		p.fail("payload too long")
	}
}

func (p *parser) take(n int) []byte {
	if n > len(p.rest) {
		p.fail("payload cut short")
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) uint16() uint16 {
	if b := p.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (p *parser) uint32() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parser) uint64() uint64 {
	if b := p.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes reads a length and that many bytes.
func (p *parser) bytes() []byte {
	n := p.uint32()
	if uint64(n) > uint64(len(p.rest)) {
		p.fail("payload cut short")
		return nil
	}
	return p.take(int(n))
}

func (p *parser) string() string { return string(p.bytes()) }

// header reads the rest as a list of fields, which it appends to h. They share one
// copy of the text.
func (p *parser) header(h Header) Header {
	if len(p.rest) == 0 {
		return nil
	}
	text := string(p.rest)
	if h == nil {
		h = make(Header, 0, 8)
	}
	next := func() string {
		n := len(p.bytes())
		end := len(text) - len(p.rest)
		return text[end-n : end]
	}
	for len(p.rest) > 0 {
		name := next()
		h = append(h, Field{name, next()})
	}
	if p.err != nil {
		return nil
	}
	return h
}
