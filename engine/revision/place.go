package revision

import (
	"slices"
	"sort"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// spot is a step with where it stands.
type spot struct {
	path  string // as in [engine.Playbook.EachPath]
	step  *engine.Step
	list  string // that it is an entry of: steps, always, or of which step it is the block, the undo, the always
	at    int    // in that list
	prev  string // the path of the entry before; empty: it is the first
	said  said
	side  bool // the list is done side by side, so that its order means nothing
	deep  int
	order int // among all steps of the playbook
}

// spots lists every step of a playbook in its order, those of the playbooks that it runs included.
func spots(p *engine.Playbook) []*spot {
	if p == nil {
		return nil
	}
	var out []*spot
	var add func(list []*engine.Step, prefix, name string, deep int, aside bool)
	add = func(list []*engine.Step, prefix, name string, deep int, aside bool) {
		prev := ""
		for i, s := range list {
			x := &spot{path: prefix + s.ID, step: s, list: name, at: i, prev: prev, said: saidByStep(s), side: aside, deep: deep, order: len(out)}
			prev = x.path
			out = append(out, x)
			inner := prefix
			if s.Nested != nil {
				inner += s.ID + "/"
			}
			add(s.Steps, inner, "the steps of "+x.path, deep+1, s.Group == engine.ParallelGroup)
			add(s.Always, inner, "the always of "+x.path, deep+1, false)
			add(s.Undo, prefix, "the undo of "+x.path, deep+1, false)
		}
	}
	add(p.Steps, "", topList, 0, false)
	add(p.Always, "", "always", 0, false)
	return out
}

// pair is a step in both revisions, or in one.
type pair struct {
	before, after *spot
	move          *Move
}

// paired finds for each step of one revision the same one in the other: by its path, and where there is none, by what it
// says, if exactly one other in its place says the same. They come in the order of the later revision; what is gone stands
// behind what it stood behind.
func paired(before, after []*spot) []*pair {
	later := map[string]*spot{}
	for _, s := range after {
		later[s.path] = s
	}
	of := map[*spot]*spot{} // from later to earlier
	var gone []*spot
	for _, s := range before {
		if a := later[s.path]; a != nil {
			of[a] = s
		} else {
			gone = append(gone, s)
		}
	}
	gone = renamed(gone, after, of)
	was := map[string]string{} // how a path of the earlier revision is called in the later one
	out := make([]*pair, 0, len(after)+len(gone))
	for _, a := range after {
		p := &pair{before: of[a], after: a}
		if p.before != nil {
			was[p.before.path] = a.path
		}
		out = append(out, p)
	}
	moves(out, was)
	for _, g := range gone {
		at := 0
		if g.prev == "" {
			at = slices.IndexFunc(out, func(p *pair) bool { return p.after != nil && p.after.list == renamedList(g.list, was) })
			at = max(at, 0)
			if at == 0 && g.list != topList {
				at = len(out)
			}
		} else if i := slices.IndexFunc(out, func(p *pair) bool { return p.before != nil && p.before.path == g.prev }); i >= 0 {
			at = i + 1
			for at < len(out) && deeper(out[at]) > g.deep { // behind all that stands in that one
				at++
			}
		}
		out = slices.Insert(out, at, &pair{before: g})
	}
	return out
}

func deeper(p *pair) int {
	if p.after != nil {
		return p.after.deep
	}
	return p.before.deep
}

// renamed pairs what is left over on both sides, and gives what is still gone.
func renamed(gone, after []*spot, of map[*spot]*spot) []*spot {
	byWords := func(list []*spot, skip func(*spot) bool) map[string][]*spot {
		m := map[string][]*spot{}
		for _, s := range list {
			if !skip(s) {
				key := s.list + "\n" + s.said.raw() + childIDs(s.step)
				m[key] = append(m[key], s)
			}
		}
		return m
	}
	was := byWords(gone, func(*spot) bool { return false })
	is := byWords(after, func(s *spot) bool { return of[s] != nil })
	found := map[*spot]bool{}
	prefixes := map[string]string{}
	for key, list := range was {
		if others := is[key]; len(list) == 1 && len(others) == 1 {
			of[others[0]] = list[0]
			found[list[0]] = true
			if list[0].step.Nested != nil {
				prefixes[list[0].path+"/"] = others[0].path + "/"
			}
		}
	}
	later := map[string]*spot{}
	for _, s := range after {
		if of[s] == nil {
			later[s.path] = s
		}
	}
	for _, s := range gone { // what is in a playbook whose step was renamed
		for from, to := range prefixes {
			if rest, ok := strings.CutPrefix(s.path, from); ok && later[to+rest] != nil && !found[s] {
				of[later[to+rest]] = s
				found[s] = true
			}
		}
	}
	return slices.DeleteFunc(gone, func(s *spot) bool { return found[s] })
}

// childIDs tells groups of steps from each other; those of a nested playbook are told by its name.
func childIDs(s *engine.Step) string {
	if s.Nested != nil {
		return ""
	}
	var ids []string
	for _, list := range [][]*engine.Step{s.Steps, s.Always, s.Undo} {
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		ids = append(ids, ";")
	}
	return strings.Join(ids, ",")
}

// moves finds the steps that stand elsewhere. Of those in the same list, the fewest are said to have been moved: all
// but the longest row that kept its order.
func moves(pairs []*pair, was map[string]string) {
	lists := map[string][]*pair{}
	for _, p := range pairs {
		switch {
		case p.before == nil:
		case renamedList(p.before.list, was) != p.after.list:
			p.move = &Move{From: position(p.before), To: position(p.after)}
		case !p.after.side:
			lists[p.after.list] = append(lists[p.after.list], p)
		}
	}
	for _, list := range lists {
		kept := inOrder(list)
		for i, p := range list {
			if !kept[i] {
				p.move = &Move{From: position(p.before), To: position(p.after)}
			}
		}
	}
}

// renamedList is the name of a list of the earlier revision in the later one.
func renamedList(list string, was map[string]string) string {
	for _, head := range []string{"the steps of ", "the always of ", "the undo of "} {
		if path, ok := strings.CutPrefix(list, head); ok && was[path] != "" {
			return head + was[path]
		}
	}
	return list
}

func position(s *spot) string {
	in := " in " + s.list
	if s.list == topList {
		in = ""
	}
	switch {
	case s.side:
		return "in " + s.list
	case s.prev == "":
		return "first" + in
	}
	return "after " + s.prev + in
}

// topList are the steps of the playbook itself.
const topList = "the steps"

// inOrder marks the longest row whose steps stood in the same order before.
func inOrder(list []*pair) []bool {
	var ends []int // ends[k]: the last of the best row of k+1 steps
	before := make([]int, len(list))
	for i, p := range list {
		k := sort.Search(len(ends), func(k int) bool { return list[ends[k]].before.at >= p.before.at })
		before[i] = -1
		if k > 0 {
			before[i] = ends[k-1]
		}
		if k == len(ends) {
			ends = append(ends, i)
		} else {
			ends[k] = i
		}
	}
	kept := make([]bool, len(list))
	if len(ends) > 0 {
		for i := ends[len(ends)-1]; i >= 0; i = before[i] {
			kept[i] = true
		}
	}
	return kept
}

func sortedNames[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}
