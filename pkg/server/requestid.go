package server

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"github.com/thralld/thralld/pkg/psgi"
)

// requestIDs names requests: 24 hexadecimal digits, of which the first 12 are
// drawn by lot for each server and the others count. So a name is unique in a
// process, as good as unique in a site's logs, and sorts by arrival.
type requestIDs struct {
	prefix [6]byte
	count  atomic.Uint64
}

func newRequestIDs() *requestIDs {
	ids := new(requestIDs)
	_, _ = rand.Read(ids.prefix[:]) // never fails
	return ids
}

func (ids *requestIDs) next() string {
	var raw [14]byte
	binary.BigEndian.PutUint64(raw[6:], ids.count.Add(1)) // its two high bytes are zero
	copy(raw[:], ids.prefix[:])
	copy(raw[6:], raw[8:])
	return hex.EncodeToString(raw[:12])
}

// givenID returns the id that a proxy has given to a request, or "" if there is none
// that could stand in a log as it is.
func givenID(h psgi.Header) string {
	for i := range h {
		if !equalFold(h[i].Name, "x-request-id") {
			continue
		}
		id, _ := joined(h[i:]) // of two fields it has a blank
		if len(id) > psgi.MaxID || !within(id, plainClass) || strings.ContainsAny(id, ` "'\`) {
			return ""
		}
		return id
	}
	return ""
}
