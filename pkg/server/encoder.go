package server

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder compresses what is written to it.
type encoder interface {
	io.WriteCloser
	Flush() error
	// Reset makes a used encoder write to another place, whatever became of what it has.
	Reset(to io.Writer)
}

// The levels are those at which compressing costs less than most apps do, and a window of
// 256 KiB bounds what a response needs while it is on its way: 1.5 MB for zstd, 1 MB for
// the others (BenchmarkNewEncoder).
const (
	gzipLevel   = 5
	brotliLevel = 4
	windowBits  = 18
)

// encoders are kept for the next response, as to make one costs more than to use it.
var encoders = map[string]*sync.Pool{
	"gzip": {New: func() any {
		e, _ := gzip.NewWriterLevel(io.Discard, gzipLevel) // the error is of the level
		return e
	}},
	"br": {New: func() any {
		return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: brotliLevel, LGWin: windowBits})
	}},
	"zstd": {New: func() any {
		e, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(1<<windowBits), zstd.WithEncoderLevel(zstd.SpeedDefault)) // the error is of the options
		return e
	}},
}

// compressing puts an encoder before an exchange.
func compressing(x exchange, coding string) *compressed {
	e, _ := encoders[coding].Get().(encoder)
	e.Reset(writer{x})
	return &compressed{x, e}
}

// release keeps the encoder for another response.
func (c *compressed) release(coding string) {
	c.to.Reset(io.Discard)
	encoders[coding].Put(c.to)
}
