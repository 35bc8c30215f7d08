package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/server"
)

func configured(t *testing.T, text string) (cfg *config.Config, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "thrall.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, file
}

// smallMachine knows one user and one group.
func smallMachine() accounts {
	return accounts{
		user: func(name string) (*user.User, error) {
			if name == "web" {
				return &user.User{Uid: "7"}, nil
			}
			return nil, user.UnknownUserError(name)
		},
		group: func(name string) (*user.Group, error) {
			if name == "www" {
				return &user.Group{Gid: "8"}, nil
			}
			return nil, user.UnknownGroupError(name)
		},
	}
}

func TestListenersAreWhatTheConfigurationSays(t *testing.T) {
	cfg, _ := configured(t, `
listen = ["/run/a", ":80"]
socket_owner = "web"
[[listener]]
address = "/run/b"
mode = "0640"
owner = "0"
group = "www"
[[listener]]
address = ":81"
backlog = 9
reuse_port = true
tcp_keepalive = 2
ipv6 = false
`)
	got, err := listeners(cfg, smallMachine())
	if err != nil {
		t.Fatal(err)
	}
	plain := server.ListenOptions{IPv6: true, KeepAlive: 15 * time.Second}
	want := []server.Listener{
		{Address: "/run/a", ListenOptions: plain},
		{Address: ":80", ListenOptions: plain},
		{Address: "/run/b", ListenOptions: plain},
		{Address: ":81", ListenOptions: server.ListenOptions{Backlog: 9, ReusePort: true, KeepAlive: 2 * time.Second}},
	}
	want[0].Owner = server.ID{Number: 7, Given: true}
	want[2].Access = server.Access{Mode: 0o640, Owner: server.ID{Given: true}, Group: server.ID{Number: 8, Given: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOwnersThatTheMachineDoesNotKnowAreToldAllAtOnce(t *testing.T) {
	cfg, file := configured(t, "socket = '/run/a'\nsocket_group = 'wwww'\n")
	if _, err := listeners(cfg, smallMachine()); err == nil || err.Error() != file+":2: socket_group: no group named wwww on this machine" {
		t.Errorf("error %v", err)
	}
	cfg, file = configured(t, "[[listener]]\naddress = '/run/a'\nowner = 'wbe'\ngroup = '99999999999'\n")
	_, err := listeners(cfg, smallMachine())
	want := []string{file + ":3: owner: no user named wbe on this machine", file + ":4: group: no group named 99999999999 on this machine"}
	if err == nil || cmp.Diff(want, strings.Split(err.Error(), "\n")) != "" {
		t.Errorf("error %v", err)
	}
}
