package truth

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
)

// Table is what the runs of many tests came to, for the page about plans. A playbook's row shows the first of its runs that ended
// well and had an effect, or else the first that ended well.
type Table struct {
	mu   sync.Mutex
	runs []entry
}

type entry struct {
	test, run, playbook string
	nested, well        bool
	Tally
}

// Add takes one run in. One that is in it already, because a test was run again, is not counted twice.
func (t *Table) Add(test string, r *engine.Run, tallies map[string]Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := r.View()
	tallies = with(tallies, v.Playbook)
	for playbook, tally := range tallies {
		e := entry{test: test, run: fmt.Sprint(v.ID), playbook: playbook, nested: playbook != v.Playbook,
			well: v.State == engine.RunOK || v.State == engine.RunDegraded, Tally: tally}
		t.runs = append(t.runs, e)
	}
}

func with(tallies map[string]Tally, playbook string) map[string]Tally {
	if _, ok := tallies[playbook]; ok {
		return tallies
	}
	all := map[string]Tally{playbook: {}}
	for name, tally := range tallies {
		all[name] = tally
	}
	return all
}

// Has: a run of the playbook, or of one that runs it, has ended well.
func (t *Table) Has(playbook string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.runs, func(e entry) bool { return e.playbook == playbook && e.well })
}

// rows are the lines of the table, by playbook.
func (t *Table) rows(only []string) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	shown := map[string]entry{}
	for _, e := range t.runs {
		if was, ok := shown[e.playbook]; e.well && (!ok || was.nested && !e.nested && e.Done > 0 || was.Done == 0 && e.Done > 0) {
			shown[e.playbook] = e
		}
	}
	rows := map[string]string{}
	for name, e := range shown {
		if len(only) == 0 || slices.Contains(only, name) {
			rows[name] = fmt.Sprintf("| `%s` | %d | %d | %d | %d | %d | %d | %d |", name, e.Steps, e.Later, e.Effects, e.Done, e.Exact, e.Estimates, e.Rough)
		}
	}
	return rows
}

// Check asks that a page has a row for each playbook that was compared and for no other, between the comments `<!-- plans: NAME -->` and
// `<!-- end -->`. The numbers are those of when they were written: a figure more in some plan makes it no less true, and is no reason
// for a test to fail.
func (t *Table) Check(page, name string, only ...string) error {
	_, was, _, err := cut(page, name)
	if err != nil {
		return err
	}
	there, compared := slices.Sorted(maps.Keys(rowsOf(was))), slices.Sorted(maps.Keys(t.rows(only)))
	if !slices.Equal(there, compared) {
		return fmt.Errorf("the table %s of %s has rows for %v, and compared were %v; write it anew with HANDRAIL_UPDATE=1", name, page, there, compared)
	}
	return nil
}

// Write writes the rows of what was compared into a page; others stay.
func (t *Table) Write(page, name string, only ...string) error {
	before, was, after, err := cut(page, name)
	if err != nil {
		return err
	}
	rows := rowsOf(was)
	maps.Copy(rows, t.rows(only))
	is := "\n| playbook | steps | known later | effects listed | had | exact, equal | estimates, within bounds | without bounds |\n|---|---|---|---|---|---|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		is += rows[name] + "\n"
	}
	return os.WriteFile(page, []byte(before+is+"\n"+after), 0o644) //nolint:gosec // it is a page for everybody
}

// cut finds the table in a page.
func cut(page, name string) (before, table, after string, err error) {
	text, err := os.ReadFile(page)
	begin, end := "<!-- plans: "+name+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if err == nil && !(ok && ok2) {
		err = fmt.Errorf("%s has no place for the table %s", page, name)
	}
	return before + begin, table, end + after, err
}

// rowsOf are the lines of a table, by playbook.
func rowsOf(table string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && strings.HasPrefix(line, "| `") {
			rows[name] = strings.TrimSpace(line)
		}
	}
	return rows
}
