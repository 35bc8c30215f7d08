package supervisor

import (
	"fmt"
	"strings"
	"time"
)

// situation is a view, in words. Its clock stands at noon.
type situation struct {
	name    string
	workers string // "1 ready 5s due", separated by commas; see read
	change  func(v *view)
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// ago is a time before now.
func ago(d time.Duration) time.Time { return noon.Add(-d) }

// read makes the view: two workers of generation 2 are wanted, and generation 1 is
// what was there before. A worker is its generation and state, how long ago it was
// told to end, and what else is known of it. The later ones were born later.
func (s situation) read() view {
	v := view{now: noon, wanted: 2, target: 2, free: 7, freeTrial: 7}
	for i, text := range strings.Split(s.workers, ", ") {
		if text == "" {
			continue
		}
		m := member{born: ago(time.Hour).Add(time.Duration(i) * time.Second)}
		words := strings.Fields(text)
		if _, err := fmt.Sscan(words[0], &m.generation); err != nil {
			panic(err)
		}
		for m.state.String() != words[1] {
			m.state++
		}
		for _, word := range words[2:] {
			switch word {
			case "idle":
				m.idle = true
			case "due":
				m.due = true
			case "spent":
				m.due, m.spent = true, true
			default:
				told, err := time.ParseDuration(word)
				if err != nil {
					panic(err)
				}
				m.told = ago(told)
			}
		}
		v.members = append(v.members, m)
	}
	if s.change != nil {
		s.change(&v)
	}
	return v
}

// tell puts a decision into words.
func (d decision) tell(v view) string {
	switch {
	case d.do == retireOne:
		return fmt.Sprintf("retire number %d", d.member+1)
	case d.do == wait && !d.again.IsZero():
		return fmt.Sprintf("wait %s", d.again.Sub(v.now))
	}
	return d.do.String()
}

func everySecond(v *view) { v.interval = time.Second }

// What is decided in which situation. Two workers of generation 2 are wanted.
func Example_decide() {
	for _, s := range []situation{
		{"nothing to run yet", "", func(v *view) { v.target, v.free = 0, 0 }},
		{"the first candidate", "", func(v *view) { v.target, v.free, v.candidate = 0, 0, 1 }},
		{"it boots", "1 booting", func(v *view) { v.target, v.free, v.candidate = 0, 0, 1 }},
		{"start", "2 ready", nil},
		{"start, every second", "2 ready", func(v *view) { v.interval, v.spawned = time.Second, ago(300*time.Millisecond) }},
		{"start, the second boots", "2 ready, 2 booting", nil},
		{"all is well", "2 ready, 2 ready", nil},
		{"one has died", "2 ready, 2 gone", nil},
		{"and is buried", "2 ready", nil},
		{"and workers keep failing", "2 ready", func(v *view) { v.notBefore = v.now.Add(400 * time.Millisecond) }},
		{"all have died", "", nil},
		{"no slot is free", "2 ready, 2 retiring 1h", func(v *view) { v.free = 0 }},
		{},
		{"growth", "2 ready, 2 ready", func(v *view) { v.wanted = 3 }},
		{"shrink: an idle one", "2 ready, 2 ready idle, 2 ready", nil},
		{"shrink: the youngest", "2 ready idle, 2 ready idle, 2 ready idle", nil},
		{"shrink: busy as they are", "2 ready, 2 ready, 2 ready", nil},
		{"shrink, every second", "2 ready, 2 ready, 2 ready", func(v *view) { v.interval, v.retired = time.Second, ago(900*time.Millisecond) }},
		{},
		{"roll: the new one is ready", "1 ready, 1 ready, 2 ready", nil},
		{"roll: an old one ends", "1 retiring 100ms, 1 ready, 2 ready", nil},
		{"roll: it takes long", "1 retiring 2s, 1 ready, 2 ready", nil},
		{"roll: the second boots", "1 ready, 2 ready, 2 booting", nil},
		{"roll: it is ready", "1 ready, 2 ready, 2 ready", nil},
		{"roll: done", "2 ready, 2 ready, 1 ending 10s", nil},
		{"every second: retire at once", "1 ready, 1 ready, 2 ready", everySecond},
		{"every second: then spawn", "1 ready, 2 ready", func(v *view) { v.interval, v.spawned = time.Second, ago(600*time.Millisecond) }},
		{"every second: then retire", "1 ready, 2 ready, 2 ready", func(v *view) { v.interval, v.retired = time.Second, ago(600*time.Millisecond) }},
		{"every second: spawn and retire", "1 ready, 2 ready, 2 ready", func(v *view) {
			v.wanted, v.interval = 4, time.Second
			v.spawned, v.retired = ago(600*time.Millisecond), ago(200*time.Millisecond)
		}},
		{"an old one dies meanwhile", "1 ready", nil},
		{"the new one dies meanwhile", "1 ready, 1 ready", func(v *view) { v.notBefore = v.now.Add(100 * time.Millisecond) }},
		{},
		{"a candidate waits for room", "1 ready, 2 ready, 2 booting", func(v *view) { v.candidate = 3 }},
		{"room by retiring", "1 ready, 2 ready, 2 ready", func(v *view) { v.candidate = 3 }},
		{"a candidate goes first", "1 ready, 2 ready", func(v *view) { v.candidate = 3 }},
		{"the roll waits for it", "1 ready, 2 ready, 3 booting", func(v *view) { v.candidate = 3 }},
		{"it is on probation", "2 ready, 2 ready, 3 ready", func(v *view) { v.candidate = 3 }},
		{"a worker dies meanwhile", "2 ready, 3 ready", func(v *view) { v.candidate = 3 }},
		{"it has failed", "2 ready, 2 ready", func(v *view) { v.candidate, v.freeTrial = 3, 0 }},
		{"superseded: what boots goes", "1 ready, 2 ready, 2 booting, 3 ready", func(v *view) { v.target = 3 }},
		{"superseded: the oldest goes", "2 ready, 1 ready, 3 ready", func(v *view) { v.target = 3 }},
		{"superseded: nobody between", "2 ready, 3 ready, 3 booting", func(v *view) { v.target = 3 }},
		{"rollback: what boots goes", "2 ready, 3 ready, 3 booting", nil},
		{"rollback: a stable one comes", "2 ready, 3 ready", nil},
		{"rollback: the failed one goes", "2 ready, 3 ready, 2 ready", nil},
		{"a candidate is dropped", "2 ready, 2 ready, 3 booting", nil},
		{},
		{"swift: all go at once", "1 ready, 1 ready, 2 ready", func(v *view) { v.swift, v.interval, v.retired = true, time.Second, noon }},
		{"swift: also the last", "1 ready, 2 ready, 1 retiring 0s", func(v *view) { v.swift, v.interval, v.retired = true, time.Second, noon }},
		{"swift: whoever lingers", "1 retiring 0s, 1 retiring 0s, 2 ready", func(v *view) { v.swift = true }},
		{"swift: none is ready", "1 ready, 1 ready, 2 booting", func(v *view) { v.swift = true }},
		{},
		{"near its limit: a successor", "2 ready due, 2 ready", nil},
		{"it boots", "2 ready due, 2 ready, 2 booting", nil},
		{"it is ready: run the last", "2 ready due, 2 ready, 2 ready", nil},
		{"unless a candidate waits", "2 ready due, 2 ready, 2 ready", func(v *view) { v.candidate = 3 }},
		{"spent, no successor", "2 ready spent, 2 ready", nil},
		{"spent", "2 ready spent, 2 ready, 2 ready", nil},
		{"spent goes before due", "2 ready due, 2 ready spent, 2 ready", nil},
		{"all near their limit", "2 ready due, 2 ready due, 2 ready due", nil},
		{"and fewer wanted", "2 ready due, 2 ready due, 2 ready due", func(v *view) { v.wanted = 1 }},
		{"spent in a roll: old ones first", "2 ready spent, 1 ready, 2 ready", nil},
	} {
		if s.name == "" {
			fmt.Println()
			continue
		}
		v := s.read()
		line := fmt.Sprintf("%-31s | %-40s | %s", s.name, s.workers, decide(v).tell(v))
		fmt.Println(line)
	}

	// Output:
	// nothing to run yet              |                                          | wait
	// the first candidate             |                                          | spawn trial
	// it boots                        | 1 booting                                | wait
	// start                           | 2 ready                                  | spawn
	// start, every second             | 2 ready                                  | wait 700ms
	// start, the second boots         | 2 ready, 2 booting                       | wait
	// all is well                     | 2 ready, 2 ready                         | wait
	// one has died                    | 2 ready, 2 gone                          | wait
	// and is buried                   | 2 ready                                  | spawn
	// and workers keep failing        | 2 ready                                  | wait 400ms
	// all have died                   |                                          | spawn
	// no slot is free                 | 2 ready, 2 retiring 1h                   | wait
	//
	// growth                          | 2 ready, 2 ready                         | spawn
	// shrink: an idle one             | 2 ready, 2 ready idle, 2 ready           | retire number 2
	// shrink: the youngest            | 2 ready idle, 2 ready idle, 2 ready idle | retire number 3
	// shrink: busy as they are        | 2 ready, 2 ready, 2 ready                | retire number 3
	// shrink, every second            | 2 ready, 2 ready, 2 ready                | wait 100ms
	//
	// roll: the new one is ready      | 1 ready, 1 ready, 2 ready                | retire number 1
	// roll: an old one ends           | 1 retiring 100ms, 1 ready, 2 ready       | wait 1.9s
	// roll: it takes long             | 1 retiring 2s, 1 ready, 2 ready          | spawn
	// roll: the second boots          | 1 ready, 2 ready, 2 booting              | wait
	// roll: it is ready               | 1 ready, 2 ready, 2 ready                | retire number 1
	// roll: done                      | 2 ready, 2 ready, 1 ending 10s           | wait
	// every second: retire at once    | 1 ready, 1 ready, 2 ready                | retire number 1
	// every second: then spawn        | 1 ready, 2 ready                         | wait 400ms
	// every second: then retire       | 1 ready, 2 ready, 2 ready                | wait 400ms
	// every second: spawn and retire  | 1 ready, 2 ready, 2 ready                | wait 400ms
	// an old one dies meanwhile       | 1 ready                                  | spawn
	// the new one dies meanwhile      | 1 ready, 1 ready                         | wait 100ms
	//
	// a candidate waits for room      | 1 ready, 2 ready, 2 booting              | wait
	// room by retiring                | 1 ready, 2 ready, 2 ready                | retire number 1
	// a candidate goes first          | 1 ready, 2 ready                         | spawn trial
	// the roll waits for it           | 1 ready, 2 ready, 3 booting              | wait
	// it is on probation              | 2 ready, 2 ready, 3 ready                | wait
	// a worker dies meanwhile         | 2 ready, 3 ready                         | spawn
	// it has failed                   | 2 ready, 2 ready                         | wait
	// superseded: what boots goes     | 1 ready, 2 ready, 2 booting, 3 ready     | retire number 3
	// superseded: the oldest goes     | 2 ready, 1 ready, 3 ready                | retire number 2
	// superseded: nobody between      | 2 ready, 3 ready, 3 booting              | wait
	// rollback: what boots goes       | 2 ready, 3 ready, 3 booting              | retire number 3
	// rollback: a stable one comes    | 2 ready, 3 ready                         | spawn
	// rollback: the failed one goes   | 2 ready, 3 ready, 2 ready                | retire number 2
	// a candidate is dropped          | 2 ready, 2 ready, 3 booting              | retire number 3
	//
	// swift: all go at once           | 1 ready, 1 ready, 2 ready                | retire number 1
	// swift: also the last            | 1 ready, 2 ready, 1 retiring 0s          | retire number 1
	// swift: whoever lingers          | 1 retiring 0s, 1 retiring 0s, 2 ready    | spawn
	// swift: none is ready            | 1 ready, 1 ready, 2 booting              | spawn
	//
	// near its limit: a successor     | 2 ready due, 2 ready                     | spawn
	// it boots                        | 2 ready due, 2 ready, 2 booting          | wait
	// it is ready: run the last       | 2 ready due, 2 ready, 2 ready            | wait
	// unless a candidate waits        | 2 ready due, 2 ready, 2 ready            | retire number 1
	// spent, no successor             | 2 ready spent, 2 ready                   | spawn
	// spent                           | 2 ready spent, 2 ready, 2 ready          | retire number 1
	// spent goes before due           | 2 ready due, 2 ready spent, 2 ready      | retire number 2
	// all near their limit            | 2 ready due, 2 ready due, 2 ready due    | wait
	// and fewer wanted                | 2 ready due, 2 ready due, 2 ready due    | retire number 1
	// spent in a roll: old ones first | 2 ready spent, 1 ready, 2 ready          | retire number 2
}
