package stack

import (
	"fmt"
	"strconv"
	"strings"
)

// Layout says where the processes of one template keep their stack. It is not
// changed after [ParseLayout], so any number of goroutines may read with it.
type Layout struct {
	// Addresses of variables.
	curcop, curstackinfo uint64

	// Offsets in structs, in bytes.
	copLine, copFile            uint64
	siCxstack, siCxix, siPrev   uint64
	cxOldcop, cxCV              uint64
	cvGV, cvStash               uint64
	gvName, gvStash             uint64
	hvName, hvMax               uint64
	cxSize                      uint64 // of a context, in bytes
	cxSub, cxEval               uint64 // types of contexts
	cvType, gvType              uint64 // types of values: a sub, a glob
	copFileIsGV, hvNameIsBehind uint64 // 1: a file is named by a glob; a stash's name is behind its buckets
}

// What a number of a layout may be.
const (
	minAddress = 1 << 12 // nothing is mapped below
	maxAddress = 1 << 56
	maxOffset  = 1 << 12
	maxType    = 0xff
)

// numbers is the layout's numbers by name, with the limits of each.
func (l *Layout) numbers() map[string]number {
	return map[string]number{
		"curcop":         {&l.curcop, minAddress, maxAddress},
		"curstackinfo":   {&l.curstackinfo, minAddress, maxAddress},
		"cop_line":       {&l.copLine, 0, maxOffset},
		"cop_file":       {&l.copFile, 0, maxOffset},
		"cop_file_gv":    {&l.copFileIsGV, 0, 1},
		"si_cxstack":     {&l.siCxstack, 0, maxOffset},
		"si_cxix":        {&l.siCxix, 0, maxOffset},
		"si_prev":        {&l.siPrev, 0, maxOffset},
		"cx_size":        {&l.cxSize, 2 * wordSize, maxOffset},
		"cx_sub":         {&l.cxSub, 0, typeMask},
		"cx_eval":        {&l.cxEval, 0, typeMask},
		"cx_oldcop":      {&l.cxOldcop, 0, maxOffset},
		"cx_cv":          {&l.cxCV, 0, maxOffset},
		"cv_gv":          {&l.cvGV, 0, maxOffset},
		"cv_stash":       {&l.cvStash, 0, maxOffset},
		"cv_type":        {&l.cvType, 0, maxType},
		"gv_type":        {&l.gvType, 0, maxType},
		"gv_name":        {&l.gvName, 0, maxOffset},
		"gv_stash":       {&l.gvStash, 0, maxOffset},
		"hv_max":         {&l.hvMax, 0, maxOffset},
		"hv_name":        {&l.hvName, 0, maxOffset},
		"hv_name_behind": {&l.hvNameIsBehind, 0, 1},
	}
}

type number struct {
	at       *uint64
	min, max uint64
}

// ParseLayout reads what a template answers when it is asked for its layout, the
// payload of a frame of psgi.TypeLayout: all numbers as NAME=NUMBER, with blanks
// between them; or "unavailable: " and the reason, which is then the error.
func ParseLayout(text string) (*Layout, error) {
	if why, ok := strings.CutPrefix(text, "unavailable: "); ok {
		return nil, fmt.Errorf("the stack of this perl cannot be read: %s", why)
	}
	var l Layout
	missing := l.numbers()
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		n, ok := missing[name]
		if !ok {
			return nil, fmt.Errorf("layout of the stack: %q is unknown, or there twice", name)
		}
		delete(missing, name)
		v, err := strconv.ParseUint(value, 10, 64)
		if err != nil || v < n.min || v > n.max {
			return nil, fmt.Errorf("layout of the stack: %s: got %q, want a number from %d to %d", name, value, n.min, n.max)
		}
		*n.at = v
	}
	for name := range missing {
		return nil, fmt.Errorf("layout of the stack: %s is missing", name)
	}
	if l.cxOldcop+wordSize > l.cxSize || l.cxCV+wordSize > l.cxSize {
		return nil, fmt.Errorf("layout of the stack: cx_oldcop %d or cx_cv %d is outside of cx_size %d", l.cxOldcop, l.cxCV, l.cxSize)
	}
	return &l, nil
}
