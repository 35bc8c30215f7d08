package main

import (
	"errors"
	"os/user"
	"slices"
	"strings"
	"testing"

	"github.com/thralld/thralld/config"
)

// town is a machine with a few users.
func town(euid int) accounts {
	users := []user.User{
		{Username: "root", Uid: "0", Gid: "0", HomeDir: "/root"},
		{Username: "nobody", Uid: "65534", Gid: "65534", HomeDir: "/nonexistent"},
		{Username: "web", Uid: "1000", Gid: "1000", HomeDir: "/home/web"},
		{Username: "1001", Uid: "2000", Gid: "2000", HomeDir: "/home/digits"},
		{Username: "other", Uid: "1001", Gid: "1001", HomeDir: "/home/other"},
	}
	groups := []user.Group{{Name: "web", Gid: "1000"}, {Name: "ssl-cert", Gid: "110"}, {Name: "adm", Gid: "4"}}
	find := func(kind string) error { return errors.New("unknown " + kind) }
	return accounts{
		euid: euid, egid: euid, groups: []int{euid, 110},
		user: func(text string) (*user.User, error) {
			for _, by := range []func(*user.User) string{
				func(u *user.User) string { return u.Username }, func(u *user.User) string { return u.Uid },
			} {
				for i := range users {
					if by(&users[i]) == text {
						return &users[i], nil
					}
				}
			}
			return nil, find("user")
		},
		group: func(text string) (*user.Group, error) {
			for i := range groups {
				if groups[i].Name == text || groups[i].Gid == text {
					return &groups[i], nil
				}
			}
			return nil, find("group")
		},
		groupsOf: func(u *user.User) ([]string, error) {
			if u.Username == "web" {
				return []string{"1000", "110", "4"}, nil
			}
			return []string{u.Gid}, nil
		},
	}
}

func TestWhomTheDaemonBecomes(t *testing.T) {
	for _, c := range []struct {
		situation   string
		euid        int
		user, group string
		allowRoot   bool
		uid         int
		groups      []int
		switches    bool
	}{
		{situation: "root says nothing", uid: 65534, groups: []int{65534}, switches: true},
		{situation: "root allows root and asks for none", allowRoot: true, uid: 65534, groups: []int{65534}, switches: true},
		{situation: "root asks twice for root", user: "root", allowRoot: true, uid: 0, groups: []int{0}},
		{situation: "root by number", user: "0", allowRoot: true, uid: 0, groups: []int{0}},
		{situation: "root in other groups", user: "root", group: "adm", allowRoot: true, uid: 0, groups: []int{4}, switches: true},
		{situation: "a user brings its groups", user: "web", uid: 1000, groups: []int{1000, 110, 4}, switches: true},
		{situation: "a user by number", user: "1000", uid: 1000, groups: []int{1000, 110, 4}, switches: true},
		{situation: "a name of digits is a name first", user: "1001", uid: 2000, groups: []int{2000}, switches: true},
		{situation: "groups in place of its own", user: "web", group: "ssl-cert, adm", uid: 1000, groups: []int{110, 4}, switches: true},
		{situation: "groups by number, with blanks", user: "web", group: "4 4\t7", uid: 1000, groups: []int{4, 7}, switches: true},
		{situation: "a number without an account", user: "7000", group: "7000", uid: 7000, groups: []int{7000}, switches: true},
		{situation: "nobody in another group", group: "adm", uid: 65534, groups: []int{4}, switches: true},
		{situation: "a user says nothing", euid: 1000, uid: 1000, groups: []int{1000, 110}},
		{situation: "a user stays itself", euid: 1000, user: "web", uid: 1000, groups: []int{1000, 110, 4}},
		{situation: "a user keeps its groups", euid: 1000, group: "web,ssl-cert", uid: 1000, groups: []int{1000, 110}},
	} {
		id, err := becoming(identityConfig(c.user, c.group, c.allowRoot), town(c.euid))
		if err != nil {
			t.Errorf("%s: %v", c.situation, err)
			continue
		}
		if id.uid != c.uid || id.gid != c.groups[0] || !slices.Equal(id.groups, c.groups) || id.switches != c.switches {
			t.Errorf("%s: got %+v", c.situation, *id)
		}
	}
}

func TestWhomTheDaemonCannotBecome(t *testing.T) {
	for _, c := range []struct {
		euid        int
		user, group string
		want        string
	}{
		{user: "ghost", want: "user: no user named ghost on this machine"},
		{user: "7000", want: "no user with the number 7000 on this machine; with group"},
		{user: "4294967295", want: "no user named 4294967295"},
		{user: "web", group: "adm,ghosts", want: "group: no group named ghosts on this machine"},
		{user: "root", want: "set allow_root = true, too"},
		{user: "0", want: "set allow_root = true, too"},
		{euid: 1000, user: "other", want: "only root can become another user, and this is web; start it as other, or as root"},
		{euid: 1000, user: "root", want: "only root can become another user"},
		{euid: 1000, group: "adm", want: "only root can take groups"},
		{euid: 1000, group: "ssl-cert", want: "only root can take groups"},
		{euid: 5, user: "web", want: "this is user 5"},
	} {
		_, err := becoming(identityConfig(c.user, c.group, false), town(c.euid))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d becomes %s %s: got %v, want %s", c.euid, c.user, c.group, err, c.want)
		}
	}
}

func TestRootWithoutNobodyHasToChoose(t *testing.T) {
	here := town(0)
	here.user = func(string) (*user.User, error) { return nil, errors.New("unknown") }
	_, err := becoming(identityConfig("", "", false), here)
	if err == nil || !strings.Contains(err.Error(), "there is no user nobody to become; set user") {
		t.Errorf("got %v", err)
	}
}

func identityConfig(user, group string, allowRoot bool) *config.Config {
	cfg := config.Default()
	cfg.User, cfg.Group, cfg.AllowRoot = user, group, allowRoot
	return &cfg
}
