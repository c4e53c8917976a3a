package view

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/revision"
	"github.com/handrail-dev/handrail/internal/schematest"
)

// differing is a diff in which everything that a diff can say is said.
func differing() *revision.Diff {
	would := engine.StandingWould
	face := func(risk engine.Risk, class engine.Class) *revision.Face {
		return &revision.Face{Title: "Old orders", Kind: "sql", Operation: "exec", Target: "db", Class: class, Risk: risk, File: "playbooks/shop.yaml", Line: 4}
	}
	planned := face(engine.RiskDestroys, engine.ClassUnrepeatable)
	planned.Standing, planned.Would, planned.Figures = &would, "drop orders", []engine.Figure{{Name: "rows", Value: 3, Certainty: engine.FigureExact}}
	asks := &revision.Face{Kind: "approve", Operation: "approve", Class: engine.ClassPerson, Approval: true, File: "playbooks/shop.yaml", Line: 9}
	group := &revision.Face{Group: "playbook", Operation: "inner", File: "playbooks/shop.yaml", Line: 12}
	inner := face(engine.RiskChanges, engine.ClassIdempotent)
	inner.Depth = 1
	d := &revision.Diff{Version: revision.Version, Before: revision.Side{Name: "origin/main", Commit: "0123456789abcdef0123"}, After: revision.Side{Name: "the files as they are"},
		Environment: "staging", Warnings: []string{"a secret was not fetched"}, Playbooks: []revision.Playbook{
			{Name: "shop", File: "playbooks/shop.yaml", Change: revision.Changed, Planned: true, Unchanged: 2, Risk: engine.RiskDestroys,
				Warnings: []revision.Warning{{Text: "not locked any more: shop"}, {Step: "purge", Text: "its risk was changes and is destroys"}},
				Settings: []revision.Setting{{Name: "inputs.state", Before: "string; default old", After: "string; default all"}, {Playbook: "inner", Name: "vars.key", After: "x"}},
				Steps: []revision.Step{
					{Path: "drop", Change: revision.Added, After: planned, Settings: []revision.Setting{{Name: "exec", After: "DROP TABLE orders"}}},
					{Path: "purge", Change: revision.Changed, Before: face(engine.RiskChanges, engine.ClassTransactional), After: face(engine.RiskDestroys, engine.ClassTransactional),
						Settings: []revision.Setting{{Name: "exec", Before: "DELETE FROM orders\nWHERE state = 'old'\nLIMIT 9", After: "DELETE FROM orders\nLIMIT 9"}, {Name: "args.password", Before: engine.Masked, After: engine.Masked}},
						Impact:   []revision.Setting{{Name: "rows", Before: "2 (exact)", After: "3 (exact)"}, {Name: "keys", After: "1 (estimate)"}}},
					{Path: "sure", Change: revision.Removed, Before: asks, Settings: []revision.Setting{{Name: "message", Before: "sure?"}}},
					{Path: "mark_it", Was: "mark", Change: revision.Renamed, Before: face(engine.RiskChanges, engine.ClassTransactional), After: face(engine.RiskChanges, engine.ClassTransactional)},
					{Path: "look", Change: revision.Moved, Before: face(engine.RiskReads, engine.ClassRead), After: face(engine.RiskReads, engine.ClassRead), Move: &revision.Move{From: "first", To: "after purge"}},
					{Path: "nested", Change: revision.Reached, Before: group, After: group, Through: []string{"inputs.state"}},
					{Path: "nested/note", Change: revision.Reached, Before: inner, After: inner, Through: []string{"inputs.what"}},
				}},
			{Name: "broken", File: "playbooks/broken.yaml", Change: revision.Uncompared,
				Problems: []revision.Problem{{Side: "after", File: "playbooks/broken.yaml", Line: 3, Column: 5, Message: "there is no kind sqll"}, {Side: "after", File: "playbooks/broken.yaml", Message: "and 2 more"}},
				Steps:    []revision.Step{{Path: "still", Change: revision.Uncompared, Before: face(engine.RiskChanges, engine.ClassIdempotent)}}},
			{Name: "words", File: "playbooks/words.yaml", Change: revision.Same, Planned: true, Unchanged: 1},
		}}
	d.Summarize()
	return d
}

func diffMarkdownOf(t *testing.T, d *revision.Diff, most int) string {
	t.Helper()
	var b bytes.Buffer
	if err := DiffMarkdown(&b, d, most); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDiffForms(t *testing.T) {
	golden(t, "diff.md", diffMarkdownOf(t, differing(), CommentLimit))
	var text, doc, none bytes.Buffer
	if err := DiffText(&text, differing()); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", text.String())
	if err := WriteJSON(&doc, differing()); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.json", doc.String())
	if err := DiffText(&none, &revision.Diff{Before: revision.Side{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	if none.String() != "No playbook differs\nsince a, by the files alone\n" {
		t.Errorf("of nothing it says %q", none.String())
	}
}

// TestADiffIsAsItsSchemaSays, which is the published one; what the schema does not know is refused by it.
func TestADiffIsAsItsSchemaSays(t *testing.T) {
	published, err := os.ReadFile("../../../docs/diff.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	now, err := DiffSchema()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(published, now) {
		t.Error("docs/diff.schema.json is not what `handrail schema diff` writes: run make docs")
	}
	if seen := everyProperty(t, now); seen < 60 {
		t.Errorf("only %d properties were found", seen)
	}
	s := schematest.Compile(t, published)
	full := &revision.Diff{}
	fill(reflect.ValueOf(full).Elem())
	for name, d := range map[string]*revision.Diff{"differing": differing(), "full": full, "none": {Version: 1, Playbooks: []revision.Playbook{}}} {
		var b bytes.Buffer
		if err := WriteJSON(&b, d); err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, wrong := range []func(map[string]any){
			func(d map[string]any) { d["surprise"] = 1 },
			func(d map[string]any) { d["version"] = 99 },
			func(d map[string]any) { delete(d, "playbooks") },
			func(d map[string]any) { d["before"] = "main" },
		} {
			refused(t, s, name, doc, wrong)
		}
	}
}

// TestMarkdownOfADiffKeepsHostileTextsInTheirPlace: a pull request of a stranger holds whatever the stranger likes.
func TestMarkdownOfADiffKeepsHostileTextsInTheirPlace(t *testing.T) {
	filled := func(with string) string {
		d := differing()
		d.Before.Name, d.Environment, d.Warnings = with, with, []string{with}
		for i := range d.Playbooks {
			p := &d.Playbooks[i]
			p.Name, p.File, p.Settings = with, with, []revision.Setting{{Playbook: with, Name: with, Before: with, After: with + "."}}
			p.Warnings = []revision.Warning{{Step: with, Text: with}}
			for j := range p.Problems {
				p.Problems[j].File, p.Problems[j].Message = with, with
			}
			for j := range p.Steps {
				s := &p.Steps[j]
				s.Path, s.Was, s.Move, s.Through = with, with, &revision.Move{From: with, To: with}, []string{with}
				s.Settings, s.Impact = []revision.Setting{{Name: with, Before: with, After: with + "."}}, []revision.Setting{{Name: with, Before: with, After: with}}
				for _, f := range []*revision.Face{s.Before, s.After} {
					if f != nil {
						f.Title, f.Kind, f.Operation, f.Target = with, with, with, with
					}
				}
			}
		}
		return diffMarkdownOf(t, d, CommentLimit)
	}
	calm := filled("w")
	for _, evil := range hostile {
		wild := filled(evil)
		if a, b := skeleton(calm), skeleton(wild); a != b {
			t.Errorf("%q changes what the page is made of:\n%s\nnot\n%s", evil, b, a)
		}
		outside := regexp.MustCompile(`(?s)<pre>.*?</pre>|<code>.*?</code>`).ReplaceAllString(wild, "")
		if found := regexp.MustCompile(`@\w|#\d|://|www\.\w|(?i:gh)-\d`).FindString(html.UnescapeString(outside)); found != "" {
			t.Errorf("%q: a forge would follow %q:\n%s", evil, found, outside)
		}
		if found := regexp.MustCompile(`(?m)^[ ]{0,1}/\w+`).FindString(wild); found != "" {
			t.Errorf("%q: GitLab would obey %q", evil, found)
		}
		if strings.ContainsAny(wild, "\u202e\x1b") {
			t.Errorf("%q: what cannot be seen is still there", evil)
		}
	}
}

// TestMarkdownOfADiffFits, however much there is to say; it says how much was left out, and what destroys stays longest.
func TestMarkdownOfADiffFits(t *testing.T) {
	d := differing()
	for i := range 1500 {
		p := d.Playbooks[0]
		p.Name = fmt.Sprintf("book%d", i)
		p.Steps = append([]revision.Step{}, p.Steps...)
		for j := range p.Steps {
			p.Steps[j].Settings = []revision.Setting{{Name: strings.Repeat("é@", 300), Before: strings.Repeat("<\n", 900), After: strings.Repeat("&", 5000)}}
		}
		d.Playbooks = append(d.Playbooks, p)
	}
	d.Summarize()
	small := differing()
	read := small.Playbooks[0].Steps[4]
	read.Path = strings.Repeat("r", 50)
	for range 40 {
		small.Playbooks[0].Steps = append([]revision.Step{read}, small.Playbooks[0].Steps...)
	}
	small.Summarize()
	for _, most := range []int{CommentLimit, 20000, 5000, 1500} {
		got := diffMarkdownOf(t, d, most)
		for _, want := range []string{"1503 playbooks (1 cannot be read): 1501 steps added / 1501 removed / 1501 changed", "There was no room here for ", "lines of details", "Nothing was run."} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in %d bytes:\n%s", want, most, got)
			}
		}
		few := diffMarkdownOf(t, small, most)
		if most > 2000 && !strings.Contains(few, "<code>drop</code>") {
			t.Errorf("a step that destroys was left out of %d bytes:\n%s", most, few)
		}
		for _, page := range []string{got, few} {
			if len(page) > most {
				t.Errorf("%d bytes where %d have room", len(page), most)
			}
			if strings.Count(page, "<details>") != strings.Count(page, "</details>") || strings.Count(page, "<code>") != strings.Count(page, "</code>") {
				t.Error("an element is not closed")
			}
		}
	}
	if few := diffMarkdownOf(t, small, 5000); !strings.Contains(few, "steps for reading only") {
		t.Errorf("what was left out is not said:\n%s", few)
	}
}
