package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/thralld/thralld/pkg/psgi"
)

// at is the site at another of its addresses.
func (s *site) at(network, addr string) *site {
	return &site{t: s.t, server: s.server, addr: &net.UnixAddr{Name: addr, Net: network}, logs: s.logs, opts: s.opts}
}

// opened is the site at the last listener that a change has opened.
func (s *site) opened() *site {
	s.t.Helper()
	last := s.server.listeners[len(s.server.listeners)-1].Addr()
	return s.at(last.Network(), last.String())
}

func TestAddedListenerServes(t *testing.T) {
	s := serve(t, echo)
	s.change(unchanged, "127.0.0.1:0", filepath.Join(t.TempDir(), "socket"))
	s.opened().dial().get("/").wantStatus(t, 200)
	tcp := s.server.listeners[0].Addr()
	s.at("tcp", tcp.String()).dial().get("/").wantStatus(t, 200)
	if got := s.logged("listening").ContextMap()["address"]; got != tcp.String() {
		t.Errorf("listening on %v is logged, want %v", got, tcp)
	}
}

func TestConnectionsOfARemovedListenerLiveOn(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	socket := filepath.Join(t.TempDir(), "socket")
	s := serve(t, app(func(_ context.Context, req *psgi.Request) (*psgi.Response, error) {
		if req.Line == "GET /slow" {
			close(running)
			<-proceed
		}
		return whole(200, "done"), nil
	}))
	s.change(unchanged, socket)
	there := s.opened()
	slow, kept := there.dial().send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"), there.dial()
	waitFor(t, "the call", running)
	kept.get("/").wantText(t, "done")

	s.change(unchanged)
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("it takes new connections")
	}
	if left := inside(filepath.Dir(socket)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	close(proceed)
	if slow.reply("GET").wantText(t, "done").Close {
		t.Error("the connection ends with the request")
	}
	slow.get("/").wantText(t, "done")
	kept.get("/").wantText(t, "done")
}

func TestSameAddressKeepsItsListenerAndItsQueue(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	addresses := []string{"127.0.0.1:0", "127.0.0.1:0", socket, "@thralld-" + filepath.Base(t.TempDir()) + fmt.Sprint(os.Getpid())}
	s.change(unchanged, addresses...)
	before := s.server.listeners
	s.change(unchanged, addresses[3], addresses[0], addresses[2], addresses[1])
	for _, b := range s.server.listeners {
		if !slices.Contains(before, b) {
			t.Errorf("%s was opened anew", b.address)
		}
	}
	for _, b := range before {
		s.at(b.Addr().Network(), b.Addr().String()).dial().get("/").wantStatus(t, 200)
	}
}

func TestSocketWhoseFileWasRemovedIsOpenedAnew(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	s := serve(t, echo)
	s.change(unchanged, socket)
	kept := s.opened().dial()
	kept.get("/").wantStatus(t, 200)
	if err := os.Rename(socket, socket+".old"); err != nil {
		t.Fatal(err)
	}
	s.change(unchanged, socket)
	s.opened().dial().get("/").wantStatus(t, 200)
	kept.get("/").wantStatus(t, 200)
}

func TestWhatAReloadCannotChangeNeedsARestart(t *testing.T) {
	s := serve(t, echo)
	s.change(unchanged, "127.0.0.1:0", "localhost:0")
	_, port, _ := net.SplitHostPort(s.server.listeners[0].Addr().String())
	for addresses, says := range map[string]string{
		"127.0.0.1:0 :" + port: "as 127.0.0.1:0; to open the same port as another address needs a restart",
		"localhost:0":          "whether an address takes IPv6 cannot change while it is open; this needs a restart",
	} {
		_, err := s.server.Prepare(s.opts, with(ListenOptions{IPv6: true}, strings.Fields(addresses)...))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v does not say %q", addresses, err, says)
		}
	}
	change, err := s.server.Prepare(s.opts, with(ListenOptions{IPv6: true}, "127.0.0.1:0"))
	if err != nil {
		t.Fatalf("an IPv4 address does not care for ipv6: %v", err)
	}
	change.Commit()
}

func TestIPv6AddressIsRefusedOnceIPv6IsOff(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no IPv6")
	}
	s := serve(t, echo)
	change, err := s.server.Prepare(s.opts, with(ListenOptions{IPv6: true}, "[::1]:0"))
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if _, err := s.server.Prepare(s.opts, at("[::1]:0")); err == nil || !strings.Contains(err.Error(), "ipv6 is off") {
		t.Errorf("error %v", err)
	}
}

func TestListenerThatFailsIsReported(t *testing.T) {
	s := serve(t, echo)
	s.server.accept(failing{newPipe()})
	if err := <-s.server.Failed(); err == nil || err.Error() != "no luck" {
		t.Errorf("error %v", err)
	}
	s.dial().get("/").wantStatus(t, 200)
}

// failing is a listener that fails.
type failing struct{ *pipe }

func (failing) Accept() (net.Conn, error) { return nil, fmt.Errorf("no luck") }
