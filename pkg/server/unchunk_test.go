package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

// inChunks is an answer whose app has framed it.
func inChunks(answer *psgi.Response) *psgi.Response {
	answer.Header = append(answer.Header, psgi.Field{Name: "Transfer-Encoding", Value: "Chunked"})
	return answer
}

func TestChunksOfTheAppAreUndone(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for name, answer := range map[string]*psgi.Response{
		"in one piece":               whole(200, "3\r\none\r\n4\r\n two\r\n0\r\n\r\n"),
		"in a stream":                stream(script("3\r\none\r\n", "4\r\n two\r\n", "0\r\n\r\n")),
		"cut anywhere":               pieces(script("3", "\r\no", "ne\r", "\n4\r\n two\r\n0", "\r\n\r\n")),
		"with trailers":              pieces(script("7\r\none two\r\n0\r\nX: y\r\n\r\n")),
		"with more after their end":  pieces(script("7\r\none two\r\n0\r\n\r\n", "lost", "words")),
		"with nothing after the end": pieces(script("7\r\none two\r\n0\r\n")),
	} {
		t.Run(name, func(t *testing.T) {
			_, c, r := ask(t, inChunks(answer))
			r.wantText(t, "one two")
			next := c.send(getOne).reply("GET")
			next.wantText(t, "next")
		})
	}
	_, _, r := ask(t, inChunks(whole(200, "186A0\r\n"+large+"\r\n0\r\n\r\n")))
	r.wantText(t, large)
}

func TestMalformedChunksOfTheAppAreABreach(t *testing.T) {
	for name, body := range map[string]string{
		"not chunked": "one two",
		"empty":       "",
		"cut short":   "7\r\none",
	} {
		t.Run(name, func(t *testing.T) {
			s, _, r := ask(t, inChunks(whole(200, body)))
			switch {
			case r.StatusCode == http.StatusInternalServerError:
				s.logged("app broke the contract")
			case r.err == nil:
				t.Errorf("a whole response: %q", r.text)
			}
		})
	}
}

func TestOldClientGetsWhatIsInTheAppsChunks(t *testing.T) {
	s := serve(t, always(func() *psgi.Response { return inChunks(whole(200, "2\r\nhi\r\n0\r\n\r\n")) }))
	r := s.dial().send("GET / HTTP/1.0\r\n\r\n").reply("GET")
	if r.wantText(t, "hi"); len(r.TransferEncoding) > 0 {
		t.Errorf("coding %v", r.TransferEncoding)
	}
}

func TestAnswerWithoutBodyNeedsNoChunks(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		_, _, r := ask(t, inChunks(whole(status, "")))
		r.wantStatus(t, status)
	}
}
