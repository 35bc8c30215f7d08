package config

import (
	"errors"
	"strconv"
	"strings"
)

// A VerifyMode says what becomes of a client's certificate. It is written as a
// number, or by the names that IO::Socket::SSL has for its bits, joined by |.
type VerifyMode int

// The modes there are. The bit that is missing between them, to fail without a
// certificate that was not asked for, has no meaning.
const (
	VerifyNone     VerifyMode = 0 // clients are not asked for one
	VerifyPeer     VerifyMode = 1 // one that is sent has to be good
	VerifyRequired VerifyMode = 3 // one has to be sent, and be good
)

// verifyBits are the names of IO::Socket::SSL.
var verifyBits = map[string]VerifyMode{
	"SSL_VERIFY_NONE":                 0,
	"SSL_VERIFY_PEER":                 1,
	"SSL_VERIFY_FAIL_IF_NO_PEER_CERT": 2,
}

var errNotVerifyMode = errors.New("not a mode of verification")

// ParseVerifyMode reads a VerifyMode. Text that is none of the three is an error.
func ParseVerifyMode(text string) (VerifyMode, error) {
	var mode VerifyMode
	for word := range strings.SplitSeq(text, "|") {
		word = strings.TrimSpace(word)
		bits, ok := verifyBits[strings.ToUpper(word)]
		if !ok {
			number, err := strconv.Atoi(word)
			if err != nil {
				return 0, errNotVerifyMode
			}
			bits = VerifyMode(number)
		}
		mode |= bits
	}
	switch mode {
	case VerifyNone, VerifyPeer, VerifyRequired:
		return mode, nil
	}
	return 0, errNotVerifyMode
}
