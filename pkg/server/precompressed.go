package server

import (
	"os"

	"github.com/thralld/thralld/pkg/psgi"
)

// precompressed are the codings that files may be kept in beside themselves, the one that
// is smallest as a rule first.
var precompressed = [...]struct{ coding, extension string }{
	{"br", ".br"}, {"zstd", ".zst"}, {"gzip", ".gz"},
}

// compressed opens the file in the first coding that the client accepts and there is a
// file of. It returns nil if there is none.
func (m *mount) compressed(name string, asked psgi.Header) (coding string, f *os.File, info os.FileInfo) {
	for _, p := range precompressed {
		if acceptance(asked, p.coding) == 0 {
			continue
		}
		if f, info, err := m.open(name + p.extension); err == nil {
			return p.coding, f, info
		}
	}
	return "", nil, nil
}
