package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/thralld/thralld/config"
)

// nobody is who a daemon becomes that root has started without saying who.
const nobody = "nobody"

// An identity is the user that the daemon becomes, and so its workers.
type identity struct {
	name   string // as the machine knows it, or the number of a user it does not know
	home   string
	uid    int
	gid    int
	groups []int // all of them, gid too

	switches bool // false: the daemon stays who it is
	chosen   bool // false: nobody was asked for
}

// accounts is what a machine knows of users and groups, and of this process.
type accounts struct {
	euid, egid int
	groups     []int
	user       func(nameOrNumber string) (*user.User, error)
	group      func(nameOrNumber string) (*user.Group, error)
	groupsOf   func(*user.User) ([]string, error)
}

func machine() accounts {
	groups, _ := os.Getgroups() // without them a group that one has counts as one that one has not
	return accounts{
		euid: os.Geteuid(), egid: os.Getegid(), groups: groups,
		user:     byNameOrNumber(user.Lookup, user.LookupId),
		group:    byNameOrNumber(user.LookupGroup, user.LookupGroupId),
		groupsOf: (*user.User).GroupIds,
	}
}

// byNameOrNumber looks for a name first, as chown does: it may consist of digits.
func byNameOrNumber[T any](byName, byNumber func(string) (*T, error)) func(string) (*T, error) {
	return func(text string) (*T, error) {
		found, err := byName(text)
		if _, numeric := number(text); err != nil && numeric {
			found, err = byNumber(text)
		}
		return found, err
	}
}

// number reads the number of a user or a group. The greatest means nobody to the
// kernel.
func number(text string) (n int, ok bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	return int(id), err == nil && id < 1<<32-1
}

// becoming decides whom the daemon becomes. The error is a config.Mistakes.
func becoming(cfg *config.Config, here accounts) (*identity, error) {
	id, problem := userOf(cfg, here)
	if problem != "" {
		return nil, mistaken(cfg, "user", "%s", problem)
	}
	if problem := id.setGroups(cfg.Group, here); problem != "" {
		return nil, mistaken(cfg, "group", "%s", problem)
	}
	switch {
	case here.euid != 0 && id.uid != here.euid:
		return nil, mistaken(cfg, "user", "only root can become another user, and this is %s; start it as %s, or as root", nameOf(here), id.name)
	case here.euid != 0 && !ownGroups(id, cfg.Group, here):
		return nil, mistaken(cfg, "group", "only root can take groups that it is not in already")
	case here.euid == 0 && id.uid == 0 && !cfg.AllowRoot:
		return nil, mistaken(cfg, "user", "the app would run with all of root's rights; name another user or, if that is meant, set allow_root = true, too")
	}
	id.switches = here.euid == 0 && (id.uid != 0 || cfg.Group != "")
	return id, nil
}

// userOf finds the user, with its own groups.
func userOf(cfg *config.Config, here accounts) (id *identity, problem string) {
	name := cfg.User
	switch {
	case name == "" && here.euid != 0:
		return &identity{name: nameOf(here), uid: here.euid, gid: here.egid, groups: here.groups}, ""
	case name == "":
		name = nobody
	}
	id = &identity{name: name, home: "/", gid: -1, chosen: cfg.User != ""}
	u, err := here.user(name)
	if err != nil {
		if uid, ok := number(name); ok && cfg.Group != "" {
			id.uid = uid
			return id, ""
		} else if ok {
			return nil, "no user with the number " + name + " on this machine; with group = \"...\" it can be used nevertheless"
		}
		if cfg.User == "" {
			return nil, "started as root, and there is no user " + nobody + " to become; set user = \"...\""
		}
		return nil, "no user named " + name + " on this machine; one that /etc/passwd does not have can be given by number, with its group"
	}
	id.name, id.home = u.Username, u.HomeDir
	uid, isUser := number(u.Uid)
	gid, isGroup := number(u.Gid)
	if !isUser || !isGroup {
		return nil, fmt.Sprintf("the numbers of user %s are strange: %s and %s", u.Username, u.Uid, u.Gid)
	}
	id.uid, id.gid, id.groups = uid, gid, []int{gid}
	if cfg.Group != "" {
		return id, ""
	}
	others, err := here.groupsOf(u)
	if err != nil {
		return nil, "the groups of user " + u.Username + " cannot be found: " + err.Error()
	}
	for _, other := range others {
		if gid, ok := number(other); ok && !slices.Contains(id.groups, gid) {
			id.groups = append(id.groups, gid)
		}
	}
	return id, ""
}

// setGroups puts those of the key in place of the user's own; the first is the
// one that new files belong to.
func (id *identity) setGroups(list string, here accounts) (problem string) {
	names := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(names) == 0 {
		return ""
	}
	id.groups = nil
	for _, name := range names {
		gid, ok := number(name)
		g, err := here.group(name)
		if err == nil {
			gid, ok = number(g.Gid)
		}
		if !ok {
			return "no group named " + name + " on this machine"
		}
		if !slices.Contains(id.groups, gid) {
			id.groups = append(id.groups, gid)
		}
	}
	id.gid = id.groups[0]
	return ""
}

// ownGroups reports whether this process has the groups already that are asked for.
func ownGroups(id *identity, asked string, here accounts) bool {
	if asked == "" {
		return true
	}
	for _, gid := range id.groups {
		if gid != here.egid && !slices.Contains(here.groups, gid) {
			return false
		}
	}
	return id.gid == here.egid
}

func nameOf(here accounts) string {
	text := strconv.Itoa(here.euid)
	if u, err := here.user(text); err == nil {
		return u.Username
	}
	return "user " + text
}

// setEnviron has the environment say who the daemon is going to be, for the Perl
// processes that inherit it.
func (id *identity) setEnviron() {
	if !id.switches {
		return
	}
	for name, value := range map[string]string{"HOME": id.home, "USER": id.name, "LOGNAME": id.name} {
		_ = os.Setenv(name, value) // fails for a NUL, which /etc/passwd has none of
	}
}

// become makes the whole process this user, for good: all ids and groups change,
// and root's capabilities go. What is open stays open.
func (id *identity) become() error {
	if !id.switches {
		return nil
	}

	// These of package syscall change all threads; Setgroups of package unix does not.
	step := func(what string, err error) error {
		if err != nil {
			return fmt.Errorf("become user %s: %s: %w", id.name, what, err)
		}
		return nil
	}
	if err := step("take its groups", syscall.Setgroups(id.groups)); err != nil {
		return err
	}
	if err := step("take its group", syscall.Setresgid(id.gid, id.gid, id.gid)); err != nil {
		return err
	}
	if err := step("take its number", syscall.Setresuid(id.uid, id.uid, id.uid)); err != nil {
		return err
	}
	return step("give up root's rights", powerless(id.uid))
}

// powerless makes sure that nothing of root is left. A container can be set up so
// that the kernel keeps capabilities over a change of user.
func powerless(uid int) error {
	if uid == 0 {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // of 32 capabilities each
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return err
	}
	if sets[0].Permitted|sets[1].Permitted|sets[0].Effective|sets[1].Effective != 0 {
		return errors.New("capabilities are left over (securebits, or --cap-add for other users?)")
	}
	return nil
}
