package main

import "testing"

func TestWishesThatWaitBecomeOneThatFulfilsBoth(t *testing.T) {
	file := wish{why: "thrall.toml has changed"}
	code := wish{why: "SIGHUP", what: newCode}
	room := wish{why: "SIGTTIN", what: newCode, room: 9}
	for name, test := range map[string]struct{ first, second, want wish }{
		"the code after the file": {file, code, code},
		"the file after the code": {code, file, code},
		"the code after room":     {room, code, code},
		"room after the code":     {code, room, code},
		"the file after room":     {room, file, wish{why: file.why, what: newCode}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWishes()
			w.add(test.first)
			w.add(test.second)
			_, got, ok := w.take(t.Context())
			w.fulfilled()
			if !ok || got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
