package server

import (
	"os"
	"strconv"
	"strings"
)

// precompressed are the codings that files may be kept in beside themselves, the one that
// is smallest as a rule first.
var precompressed = [...]struct{ coding, extension string }{
	{"br", ".br"}, {"zstd", ".zst"}, {"gzip", ".gz"},
}

// compressed opens the file in the first coding that the client accepts and there is a
// file of. It returns nil if there is none.
func (m *mount) compressed(name, accepted string) (coding string, f *os.File, info os.FileInfo) {
	if accepted == "" {
		return "", nil, nil
	}
	for _, p := range precompressed {
		if !accepts(accepted, p.coding) {
			continue
		}
		if f, info, err := m.open(name + p.extension); err == nil {
			return p.coding, f, info
		}
	}
	return "", nil, nil
}

// accepts reports whether an Accept-Encoding field allows a coding (RFC 9110, 12.5.3): by
// its name or, if that is not there, by *, and with a weight other than 0. A weight that is
// malformed counts as 0.
func accepts(field, coding string) bool {
	others := false
	for item := range strings.SplitSeq(field, ",") {
		name, parameter, _ := strings.Cut(item, ";")
		name = strings.Trim(name, " \t")
		switch {
		case equalFold(name, coding), coding == "gzip" && equalFold(name, "x-gzip"):
			return qvalue(parameter) > 0
		case name == "*":
			others = qvalue(parameter) > 0
		}
	}
	return others
}

// qvalue reads q=0.5; nothing is 1.
func qvalue(parameter string) float64 {
	parameter = strings.Trim(parameter, " \t")
	if parameter == "" {
		return 1
	}
	name, value, ok := strings.Cut(parameter, "=")
	q, err := strconv.ParseFloat(strings.Trim(value, " \t"), 64)
	if !ok || !equalFold(strings.Trim(name, " \t"), "q") || err != nil || q < 0 || q > 1 {
		return 0
	}
	return q
}
