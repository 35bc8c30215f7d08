package server

import (
	"io"
	"slices"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// Compression says which responses are compressed on their way, and how. The zero value
// compresses none.
type Compression struct {
	// Codings are the content codings that may be used, the preferred one first: "zstd",
	// "br", "gzip". A client gets the first one of those that it likes best.
	Codings []string
	// Types are the media types to compress, without parameters: "text/html", or "text/*".
	// None means those of text and of data that is like it.
	Types []string
	// MinBytes is the length from which it is worth it; a body whose length is not known is
	// taken for a long one. Zero is any length.
	MinBytes int64
}

// commonTypes are the media types that compress well.
var commonTypes = []string{
	"text/*", "application/json", "application/javascript", "application/xml", "application/manifest+json",
	"application/ld+json", "application/xhtml+xml", "application/rss+xml", "application/atom+xml",
	"application/wasm", "image/svg+xml", "image/bmp", "image/x-icon", "font/ttf", "font/otf",
}

// choose changes the head of a response that is going to be compressed, and returns the
// coding; "" leaves the body as it is. Whoever gets another form of it by other
// Accept-Encoding is told so, by Vary, and a strong ETag becomes a weak one (RFC 9110, 8.8.1).
func (c *Compression) choose(r *request, h *head, stream bool) (coding string) {
	if len(c.Codings) == 0 || stream || !c.suits(h) {
		return ""
	}
	addVary(h)
	if coding = c.negotiate(r); coding == "" {
		return ""
	}
	h.length = -1
	h.header = slices.DeleteFunc(h.header, func(f psgi.Field) bool {
		return equalFold(f.Name, "accept-ranges") // they would be of another body
	})
	for i, f := range h.header {
		if equalFold(f.Name, "etag") && strings.HasPrefix(f.Value, `"`) {
			h.header[i].Value = "W/" + f.Value
		}
	}
	h.header = append(h.header, psgi.Field{Name: "Content-Encoding", Value: coding})
	return coding
}

// suits reports whether a response may be compressed, whoever asks.
func (c *Compression) suits(h *head) bool {
	if h.status == 206 || h.status == 204 || h.status == 304 || h.length >= 0 && h.length < max(c.MinBytes, 1) {
		return false
	}
	typed := false
	for _, f := range h.header {
		switch {
		case equalFold(f.Name, "content-encoding"), equalFold(f.Name, "content-range"):
			return false
		case equalFold(f.Name, "cache-control"):
			if hasToken(f.Value, "no-transform") {
				return false
			}
		case equalFold(f.Name, "content-type"):
			typed = c.isFor(f.Value)
		}
	}
	return typed
}

// isFor reports whether bodies of a media type are compressed.
func (c *Compression) isFor(contentType string) bool {
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.ToLower(strings.Trim(name, " \t"))
	types := c.Types
	if len(types) == 0 {
		types = commonTypes
	}
	return slices.ContainsFunc(types, func(t string) bool {
		prefix, all := strings.CutSuffix(t, "*")
		return all && strings.HasPrefix(name, prefix) && name != "text/event-stream" || strings.EqualFold(t, name)
	})
}

// addVary adds Accept-Encoding to Vary, unless it is there.
func addVary(h *head) {
	for i, f := range h.header {
		if equalFold(f.Name, "vary") {
			if !hasToken(f.Value, "accept-encoding") && !hasToken(f.Value, "*") {
				h.header[i].Value += ", Accept-Encoding"
			}
			return
		}
	}
	h.header = append(h.header, psgi.Field{Name: "Vary", Value: "Accept-Encoding"})
}

// negotiate returns the coding for a client (RFC 9110, 12.5.3); "" for none. A client of
// HTTP/1.0 would get a body without a length.
func (c *Compression) negotiate(r *request) string {
	if r.proto == "HTTP/1.0" {
		return ""
	}
	best, most := "", 0
	for _, coding := range c.Codings {
		if q := acceptance(r.header, coding); q > most {
			best, most = coding, q
		}
	}
	return best
}

// acceptance is the weight that a client gives to a coding, from 0 to 1000.
func acceptance(header psgi.Header, coding string) int {
	named, others := -1, 0
	for _, f := range header {
		if !equalFold(f.Name, "accept-encoding") {
			continue
		}
		for item := range strings.SplitSeq(f.Value, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			name = strings.Trim(name, " \t")
			switch {
			case strings.EqualFold(name, coding), coding == "gzip" && strings.EqualFold(name, "x-gzip"):
				named = weight(parameters)
			case name == "*":
				others = weight(parameters)
			}
		}
	}
	if named >= 0 {
		return named
	}
	return others
}

// weight reads a weight, in thousandths (RFC 9110, 12.4.2): 1000 for none, and 0 for what
// is none.
func weight(parameters string) int {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
		if !equalFold(name, "q") {
			continue
		}
		whole, part, _ := strings.Cut(value, ".")
		if len(part) > 3 || whole != "0" && whole != "1" || strings.Trim(part, "0123456789") != "" {
			return 0
		}
		q := int(whole[0]-'0') * 1000
		for i, place := 0, 100; i < len(part); i, place = i+1, place/10 {
			q += int(part[i]-'0') * place
		}
		return min(q, 1000)
	}
	return 1000
}

// compressed is an exchange whose body is compressed on its way.
type compressed struct {
	exchange
	to encoder
}

func (c *compressed) write(p []byte) error {
	_, err := c.to.Write(p)
	return err
}

func (c *compressed) flush() error {
	if err := c.to.Flush(); err != nil {
		return err
	}
	return c.exchange.flush()
}

// sendFile reads the file and compresses it, where the plain one is left to the kernel.
func (c *compressed) sendFile(f *psgi.File) (int64, error) {
	n, err := io.Copy(writer{c}, io.NewSectionReader(f.File, f.Offset, f.Length))
	if err == nil && n < f.Length {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// end writes what the encoder has kept, and the end of its format.
func (c *compressed) end() error { return c.to.Close() }

// writer is an exchange as an io.Writer.
type writer struct{ exchange }

func (w writer) Write(p []byte) (int, error) {
	if err := w.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
