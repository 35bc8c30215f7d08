package unixsocket

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// strangers are the numbers of a user and a group that no test runs as.
const strangers = 12345

func listenWant(t *testing.T, access Access) (l *Listener, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "socket")
	l, err := Listen(path, access)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

// wantAccess checks the file of a socket.
func wantAccess(t *testing.T, path string, mode fs.FileMode, uid, gid int) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != mode || int(stat.Uid) != uid || int(stat.Gid) != gid {
		t.Errorf("mode %o of %d:%d, want %o of %d:%d", info.Mode().Perm(), stat.Uid, stat.Gid, mode, uid, gid)
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
}

func TestSocketIsGivenToItsOwners(t *testing.T) {
	asRoot(t)
	_, path := listenWant(t, Access{Mode: 0o666, Owner: ID{strangers, true}, Group: ID{strangers, true}})
	wantAccess(t, path, 0o666, strangers, strangers)
}

func TestSocketOfAGroupIsForThatGroup(t *testing.T) {
	asRoot(t)
	_, path := listenWant(t, Access{Group: ID{strangers, true}})
	wantAccess(t, path, 0o660, os.Geteuid(), strangers)
}

func TestOnlyThisUserMayConnectUntilTheSocketIsGivenAway(t *testing.T) {
	for _, access := range []Access{
		{Mode: 0o666, Owner: ID{1, true}}, {Group: ID{1, true}}, {Mode: 0o066, Group: ID{1, true}},
	} {
		if mode := access.atFirst(); mode == 0 || mode&0o077 != 0 {
			t.Errorf("%+v is bound with %o", access, mode)
		}
	}
}

func TestAccessIsChangedAndChangedBack(t *testing.T) {
	l, path := listenWant(t, Access{Mode: 0o600})
	uid, gid := os.Geteuid(), os.Getegid()
	next := Access{Mode: 0o666, Group: ID{gid, true}}
	if uid == 0 {
		next.Owner, next.Group = ID{strangers, true}, ID{strangers, true}
	}
	undo, err := l.SetAccess(next)
	if err != nil {
		t.Fatal(err)
	}
	if uid == 0 {
		wantAccess(t, path, 0o666, strangers, strangers)
	} else {
		wantAccess(t, path, 0o666, uid, gid)
	}
	undo()
	wantAccess(t, path, 0o600, uid, gid)
}

func TestNothingChangesWhenASocketCannotBeGivenAway(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can give everything away")
	}
	l, path := listenWant(t, Access{Mode: 0o600})
	_, err := l.SetAccess(Access{Mode: 0o666, Owner: ID{strangers, true}})
	if err == nil || !strings.Contains(err.Error(), "only root can give the socket to user 12345") {
		t.Errorf("error %v", err)
	}
	wantAccess(t, path, 0o600, os.Geteuid(), os.Getegid())
}

func TestWhatHasTakenASocketsPlaceIsLeftAlone(t *testing.T) {
	l, path := listenWant(t, Access{Mode: 0o600})
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, path); err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetAccess(Access{Mode: 0o666}); err == nil || !strings.Contains(err.Error(), "another file is in place of the socket") {
		t.Errorf("error %v", err)
	}
	wantAccess(t, precious, 0o600, os.Geteuid(), os.Getegid())
}

func TestWhatTheUmaskSaysCannotBeGivenToAnOpenSocket(t *testing.T) {
	mode, group := Access{Mode: 0o600}, Access{Group: ID{1, true}}
	for _, test := range []struct {
		now, next Access
		keeps     bool
	}{
		{mode, mode, true},
		{mode, Access{Mode: 0o660}, true},
		{Access{}, mode, true},
		{Access{}, Access{}, true},
		{mode, group, true},
		{mode, Access{}, false},
		{group, mode, false},
	} {
		if got := test.now.Keeps(test.next); got != test.keeps {
			t.Errorf("%+v, then %+v: %v", test.now, test.next, got)
		}
	}
}
