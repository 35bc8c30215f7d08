package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/thralld/thralld/pkg/psgi"
)

// SendfileDir is a folder whose files the app may have sent by name.
type SendfileDir struct {
	// Dir is its absolute path. The app names a file in it by an X-Sendfile field that
	// holds the absolute path of the file.
	Dir string
	// Prefix is what stands for Dir in an X-Accel-Redirect field, as a path of a URI:
	// with /protected, /protected/a%20b.pdf is the file "a b.pdf" in Dir. Empty: that
	// field means nothing for the folder.
	Prefix string
}

// sendfile sends files that the app names in place of its body.
type sendfile struct {
	dirs  []sendfileDir
	accel bool // at least one has a prefix
}

type sendfileDir struct {
	prefix string // ends with a slash; "" if there is none
	*folder
}

// openSendfile returns nil for no folders: the fields then mean nothing to the server.
func openSendfile(dirs []SendfileDir) (*sendfile, error) {
	if len(dirs) == 0 {
		return nil, nil
	}
	s := new(sendfile)
	var wrong error
	for _, d := range dirs {
		f, err := openFolder(d.Dir)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("sendfile: %w", err))
			continue
		}
		next := sendfileDir{folder: f}
		if d.Prefix != "" {
			next.prefix, s.accel = mountPoint(d.Prefix)+"/", true
		}
		s.dirs = append(s.dirs, next)
	}
	return s, wrong
}

// follow returns the response itself if it names no file, and else another one in its place,
// whose body is the file. Then, or if there is an error, the response is closed.
func (s *sendfile) follow(resp *psgi.Response) (*psgi.Response, error) {
	name, value, ok := s.field(resp.Header)
	if !ok {
		return resp, nil
	}
	next := *resp
	next.Header = slices.Clone(resp.Header) // where it was is gone when the response is closed
	_ = resp.Body.Close()
	f, info, err := s.open(name, value)
	switch {
	case errors.Is(err, errNoFile):
		return nil, fmt.Errorf("%s: %w", name, err)
	case errors.Is(err, errIsFolder), errors.Is(err, errUnsendable):
		return nil, fmt.Errorf("%w: what %s names cannot be sent: %v", errContract, name, err)
	case err != nil:
		return nil, err
	}
	next.Whole, next.Stream = false, false
	next.File = &psgi.File{File: f, Length: info.Size()}
	next.Body = fileBody{f}
	h := strip(next.Header, "x-sendfile", "x-accel-redirect", "content-length", "transfer-encoding")
	if _, ok := h.Get("Content-Type"); !ok && next.Status != 204 && next.Status != 304 {
		h = append(h, psgi.Field{Name: "Content-Type", Value: mediaType(f.Name())})
	}
	if _, ok := h.Get("Accept-Ranges"); !ok {
		h = append(h, psgi.Field{Name: "Accept-Ranges", Value: "bytes"})
	}
	next.Header = appendValidators(h, info, "", time.Now())
	return &next, nil
}

// field returns the field that names a file, if there is one that counts.
func (s *sendfile) field(h psgi.Header) (name, value string, ok bool) {
	for _, f := range h {
		switch {
		case equalFold(f.Name, "x-sendfile"):
			return "X-Sendfile", f.Value, true
		case s.accel && equalFold(f.Name, "x-accel-redirect"):
			name, value, ok = "X-Accel-Redirect", f.Value, true
		}
	}
	return name, value, ok
}

// open opens what a field names.
func (s *sendfile) open(name, value string) (*os.File, os.FileInfo, error) {
	find := s.byPath
	if name == "X-Accel-Redirect" {
		find = s.byURI
	}
	dir, file, ok := find(value)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s names nothing within the folders of [[sendfile]]", errContract, name)
	}
	return dir.open(file)
}

// byPath finds the folder of a file by the path of the file, which need not be clean: apps
// often make theirs from where they are ("bin/../files").
func (s *sendfile) byPath(file string) (*folder, string, bool) {
	file = filepath.Clean(file)
	for _, d := range s.dirs {
		for _, name := range d.names {
			if rest, ok := strings.CutPrefix(file, strings.TrimSuffix(name, "/")+"/"); ok && rest != "" {
				return d.folder, rest, true
			}
		}
	}
	return nil, "", false
}

// byURI finds it by what X-Accel-Redirect holds: escaped, and maybe with a query, which has
// no meaning here. What is not clean is refused, as nginx does.
func (s *sendfile) byURI(uri string) (*folder, string, bool) {
	raw, _, _ := strings.Cut(uri, "?")
	file, ok := unescape(raw)
	if !ok || filepath.Clean(file) != file {
		return nil, "", false
	}
	for _, d := range s.dirs {
		if rest, ok := strings.CutPrefix(file, d.prefix); d.prefix != "" && ok && rest != "" {
			return d.folder, rest, true
		}
	}
	return nil, "", false
}

// fileBody has no pieces: the response carries the file. Closing closes it.
type fileBody struct{ io.Closer }

func (fileBody) Next() ([]byte, error) { return nil, io.EOF }
