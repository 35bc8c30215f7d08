package stack

// Every value of Perl's begins with the address of its body, the part that differs
// between types; a count; flags with the type in their lowest byte; and, for a hash,
// the address of its buckets.
const (
	svFlags   = 12
	svBuckets = 16
)

// unknown is the name of a sub that has none, or whose name could not be read.
const unknown = "(unknown)"

// frames gives calls their names. Subs and places that come again, as in a recursion,
// are read once.
func (l *Layout) frames(m *memory, calls []call) []Frame {
	subs, places := map[uint64]string{}, map[uint64]Frame{}
	frames := make([]Frame, 0, len(calls))
	for i, c := range calls {
		f, known := places[c.cop]
		if !known {
			f = l.place(m, c.cop)
			places[c.cop] = f
		}
		switch name, known := subs[c.cv]; {
		case i == 0:
		case c.eval:
			f.Sub = "(eval)"
		case known:
			f.Sub = name
		default:
			f.Sub = l.sub(m, c.cv)
			subs[c.cv] = f.Sub
		}
		frames = append(frames, f)
	}
	return frames
}

// place is the file and the line of a statement.
func (l *Layout) place(m *memory, cop uint64) Frame {
	f := Frame{Line: int(m.number(cop + l.copLine))}
	file := m.word(cop + l.copFile)
	if l.copFileIsGV == 0 {
		f.File = m.text(file)
	} else if name := l.glob(m, file); len(name) > 2 {
		f.File = name[2:] // behind "_<"
	}
	return f
}

// sub is a sub's full name: that of its glob, or its own where perl has done
// without a glob, as 5.22 and later do.
func (l *Layout) sub(m *memory, cv uint64) string {
	body := m.word(cv)
	named, stash := m.word(body+l.cvGV), m.word(body+l.cvStash)
	var name string
	if l.typeOf(m, named) == l.gvType {
		name, stash = l.glob(m, named), m.word(m.word(named)+l.gvStash)
	} else {
		name = m.key(named)
	}
	if name == "" {
		name = unknown
	}
	if in := l.stash(m, stash); in != "" {
		return in + "::" + name
	}
	return name
}

// typeOf is the type of a value.
func (l *Layout) typeOf(m *memory, sv uint64) uint64 {
	return uint64(m.number(sv+svFlags) & maxType)
}

// glob is the name of a glob.
func (l *Layout) glob(m *memory, gv uint64) string {
	return m.key(m.word(m.word(gv) + l.gvName))
}

// stash is the name of a package. Perl 5.36 and later have it in the body of its
// hash, others behind the buckets.
func (l *Layout) stash(m *memory, hv uint64) string {
	at := m.word(hv)
	if l.hvNameIsBehind != 0 {
		at = m.word(hv+svBuckets) + wordSize*(m.word(at+l.hvMax)+1)
	}
	return m.key(m.word(at + l.hvName))
}
