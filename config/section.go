package config

import (
	"path/filepath"
	"strconv"
)

// A section is a part of thrall.toml while it is read: what stands above the tables,
// or one of them.
type section struct {
	Table
	kind   Key   // whose tables are such; the zero Key for what stands above all
	header entry // where it begins
	lines  map[string]int
	tried  map[string]bool // keys that stand there, though not as they should
}

// entries lays what a file says. Its mistakes show the name that it was given by,
// origins have its absolute path.
func (l *loader) entries(entries []entry, name string) (mistakes []fileMistake) {
	part := &section{Table: l.cfg.whole(), lines: map[string]int{}, tried: map[string]bool{}}
	above := part
	for _, e := range entries {
		var problem string
		switch {
		case e.table != "":
			mistakes = append(mistakes, l.end(part, name)...)
			part, problem = l.begin(e, above)
		case e.broken:
			part.tried[e.key] = true
		default:
			problem = l.entry(e, part)
		}
		if problem != "" {
			mistakes = append(mistakes, e.mistake(name, problem))
		}
	}
	return append(mistakes, l.end(part, name)...)
}

// begin opens the section below a header. Of a table that there is not, the keys are
// taken for those that are probably meant.
func (l *loader) begin(header entry, above *section) (part *section, problem string) {
	var names []string
	for _, k := range Tables() {
		names = append(names, k.Name)
	}
	kind, ok := findIn(Tables(), header.table)
	near := Nearest(header.table, names)
	switch {
	case ok && !header.double:
		problem = "want two brackets, [[" + kind.Name + "]], as there may be several"
	case ok:
	case near != "":
		kind, _ = findIn(Tables(), near)
		problem = "unknown table; did you mean [[" + near + "]]?"
	default:
		return above, "unknown table; write its keys without it, above all tables"
	}
	part = &section{Table: newTable(kind), kind: kind, header: header, lines: map[string]int{}, tried: map[string]bool{}}
	part.origins[""] = l.at(header)
	return part, problem
}

// end takes a table in that has been read, and says what is wrong with it as a whole.
func (l *loader) end(part *section, name string) (mistakes []fileMistake) {
	if !part.kind.isTable() {
		return nil
	}
	for _, key := range part.lacks() {
		if !part.tried[key] {
			mistakes = append(mistakes, part.header.mistake(name, "needs the key "+key))
		}
	}
	part.wrong(func(key, problem string) {
		at := part.header
		if line, ok := part.lines[key]; ok {
			at = entry{line: line, key: key}
		}
		mistakes = append(mistakes, at.mistake(name, problem))
	})
	l.cfg.add(part.kind, part.Table)
	return mistakes
}

// entry lays one key of the file, or says what is wrong with it.
func (l *loader) entry(e entry, part *section) (problem string) {
	k, ok := findIn(part.keys, e.key)
	if !ok {
		return part.unknown(e.key)
	}
	if first, ok := part.lines[k.Name]; ok {
		return "is already on line " + strconv.Itoa(first)
	}
	part.lines[k.Name], part.tried[k.Name] = e.line, true

	value, ok := k.fromTOML(e.value)
	if !ok {
		return k.refuse(e.value)
	}
	value, problem = k.finish(value, filepath.Dir(l.cfg.file))
	if problem != "" {
		return problem
	}
	part.set(k, value)
	part.origins[k.Name] = l.at(e)
	return ""
}

// unknown says why a name is not a key of the section.
func (s *section) unknown(name string) string {
	if !s.kind.isTable() {
		return unknown(name)
	}
	if _, ok := find(name); ok {
		return "is no key of [[" + s.kind.Name + "]] but of the whole file; write it above all tables"
	}
	return "unknown key of [[" + s.kind.Name + "]]" + didYouMean(name, namesOf(s.keys))
}

// at is the origin of what stands in the file.
func (l *loader) at(e entry) string { return l.cfg.file + ":" + strconv.Itoa(e.line) }
