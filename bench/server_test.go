package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestVisitorKeepsItsConnection(t *testing.T) {
	addresses := map[string]bool{}
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { addresses[r.RemoteAddr] = true }))
	defer site.Close()
	v := newVisitor(site.Listener.Addr().String(), true)
	defer v.leave()
	for range 3 {
		if _, err := v.get("/"); err != nil {
			t.Fatal(err)
		}
	}
	if len(addresses) != 1 || !v.isOpen() {
		t.Errorf("the server saw %d connections; open: %v", len(addresses), v.isOpen())
	}
}

func TestVisitorFailsForAnErrorOrAShortAnswer(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer site.Close()
	for _, target := range []string{"/error", "/short"} {
		v := newVisitor(site.Listener.Addr().String(), true)
		if _, err := v.get(target); err == nil {
			t.Errorf("%s is taken for an answer", target)
		}
		v.leave()
	}
}

// A server may end a kept connection between two requests at any time: nobody has lost anything.
func TestVisitorOpensAClosedConnectionAnewOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serveAndClose(listener) // ends when the listener is closed
	v := newVisitor(listener.Addr().String(), true)
	defer v.leave()
	for range 2 {
		if _, err := v.get("/"); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, func() bool { return !v.isOpen() })
	}
	if v.reconnects != 1 {
		t.Errorf("the visitor has connected anew %d times, want once", v.reconnects)
	}
}

// serveAndClose answers one request on each connection, and closes it without having said so.
func serveAndClose(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = connection.Read(make([]byte, 4096))
		_, _ = connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		connection.Close()
	}
}

func waitUntil(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(lookEvery) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come in ten seconds")
		}
	}
}

func TestStopEndsGrandchildrenThatDoNotWantTo(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer site.Close()
	port := site.Listener.Addr().(*net.TCPAddr).Port
	p := &peer{name: "stubborn", stop: syscall.SIGTERM, command: func(place) []string {
		return []string{"sh", "-c", "trap '' TERM; sleep 61 & wait; sleep 62"}
	}}
	s, err := start(t.Context(), p, place{port: port})
	if err != nil {
		t.Fatal(err)
	}
	var processes []process
	waitUntil(t, func() bool {
		processes = tree(s.command.Process.Pid)
		return len(processes) > 1
	})
	s.stop()
	for _, one := range processes {
		if one.alive() {
			t.Errorf("process %d lives on", one.pid)
		}
	}
}

func TestTreeBeginsWithItsRoot(t *testing.T) {
	if got := tree(os.Getpid()); len(got) == 0 || got[0].pid != os.Getpid() {
		t.Errorf("got %v", got)
	}
	if bytes, err := memory(tree(os.Getpid())); err != nil || bytes < 1<<20 {
		t.Errorf("memory is %v, %v", bytes, err)
	}
}

func TestCommandsSayWhereToListen(t *testing.T) {
	for _, p := range peers {
		for _, at := range []place{{port: 5123}, {port: 5123, closing: true}, {port: 5123, reloads: true}} {
			command := p.command(at)
			if !slices.ContainsFunc(command, func(word string) bool { return strings.Contains(word, "5123") }) {
				t.Errorf("%s: %s", p.name, shown(command))
			}
		}
	}
}
