package supervisor

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestDecideComesToAnEndFromEverySituation goes through all crews of up to five
// workers of every kind, and does what is decided, as if all took effect in time,
// until nothing is left to do. Generation 2 is wanted.
func TestDecideComesToAnEndFromEverySituation(t *testing.T) {
	kinds := []member{
		{generation: 1, state: booting},
		{generation: 1, state: ready, idle: true},
		{generation: 2, state: booting},
		{generation: 2, state: ready},
		{generation: 2, state: ready, idle: true},
		{generation: 2, state: ready, due: true},
		{generation: 2, state: ready, due: true, spent: true},
		{generation: 2, state: retiring, told: noon},
		{generation: 2, state: gone, told: noon},
		{generation: 3, state: ready}, // the candidate, or given up
	}
	var crews func(members []member, from int)
	situations := 0
	crews = func(members []member, from int) {
		for wanted := 1; wanted <= 3; wanted++ {
			for _, swift := range []bool{false, true} {
				for _, candidate := range []int{0, 3} {
					if candidate != 0 && trials(members) > 1 {
						continue // it gets one worker
					}
					situations++
					settleCrew(t, view{
						now: noon, wanted: wanted, target: 2, candidate: candidate, swift: swift, members: members,
					})
				}
			}
		}
		if len(members) == 5 {
			return
		}
		for i := from; i < len(kinds); i++ {
			m := kinds[i]
			m.born = noon.Add(time.Duration(len(members)-100) * time.Second)
			crews(append(slices.Clone(members), m), i)
		}
	}
	crews(nil, 0)
	if situations < 20000 {
		t.Fatalf("only %d situations", situations)
	}
}

// trials counts the workers of generation 3.
func trials(members []member) (n int) {
	for _, m := range members {
		if m.generation == 3 {
			n++
		}
	}
	return n
}

// String is a view for who has to find out what went wrong.
func (v view) String() string {
	text := fmt.Sprintf("%d wanted, candidate %d, swift %t:", v.wanted, v.candidate, v.swift)
	for _, m := range v.members {
		text += fmt.Sprintf(" [%d %s, idle %t, due %t, spent %t]", m.generation, m.state, m.idle, m.due, m.spent)
	}
	return text
}

// settleCrew does what is decided until it is nothing, lets what takes time come
// about, and so on. It checks each step, and the end.
func settleCrew(t *testing.T, v view) {
	t.Helper()
	first := v
	v.members = slices.Clone(v.members)
	for rounds := 0; ; rounds++ {
		done := 0
		for ; ; done++ {
			v.free, v.freeTrial = 20-len(v.members), 20-len(v.members)
			d := decide(v)
			if d.do == wait {
				break
			}
			if done+rounds > 20 {
				t.Fatalf("no end: %s, from %s", d.tell(v), first)
			}
			obey(t, &v, d)
		}
		unsettled := slices.ContainsFunc(v.members, func(m member) bool { return m.state != ready })
		if done == 0 && !unsettled {
			break
		}
		v.members = slices.DeleteFunc(v.members, func(m member) bool { return m.state > ready })
		for i := range v.members {
			v.members[i].state = ready
		}
		v.now = v.now.Add(time.Second)
	}

	c := v.count()
	switch {
	case c.ready < v.wanted:
		t.Fatalf("%d of %d serve in the end, from %s", c.ready, v.wanted, first)
	case v.candidate != 0:
		if c.trial == 0 {
			t.Fatalf("no place for the candidate, from %s", first)
		}
	case c.ready > v.wanted+1, c.fresh < v.wanted && c.ready <= v.wanted:
		t.Fatalf("%d serve in the end, %d for longer, of %d, from %s", c.ready, c.fresh, v.wanted, first)
	case slices.ContainsFunc(v.members, func(m member) bool { return m.generation != 2 || m.spent }):
		t.Fatalf("somebody who should have gone is there: %s, from %s", v, first)
	}
}

// obey does what was decided, at once.
func obey(t *testing.T, v *view, d decision) {
	t.Helper()
	serving := v.count().ready
	switch d.do {
	case spawnOne:
		v.members = append(v.members, member{generation: v.target, state: booting, born: v.now})
	case spawnTrial:
		v.members = append(v.members, member{generation: v.candidate, state: booting, born: v.now})
	case retireOne:
		m := &v.members[d.member]
		switch m.state {
		case ready:
			if serving <= v.wanted && !v.swift {
				t.Fatalf("retired although %d of %d serve: %s", serving, v.wanted, v)
			}
			m.state = retiring
		case booting:
			m.state = ending
		default:
			t.Fatalf("retired although it is %s: %s", m.state, v)
		}
		m.told = v.now
	case wait:
	}
}
