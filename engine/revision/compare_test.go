package revision_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/engine/revision"
	"github.com/handrail-dev/handrail/steps/all"
)

func catalogue() *playbook.Catalogue {
	var defs []engine.Kind
	for _, k := range all.Kinds() {
		defs = append(defs, k.Define())
	}
	return playbook.NewCatalogue(defs)
}

// loaded is the playbook p of a folder of files: before/p.yaml, and before/inner.yaml if p runs it.
func loaded(t *testing.T, cat *playbook.Catalogue, folder string, files map[string]string) *engine.Playbook {
	t.Helper()
	find := func(_, name string) (playbook.File, error) {
		text, ok := files[folder+"/"+name+".yaml"]
		if !ok {
			return playbook.File{}, fmt.Errorf("there is no playbook %s", name)
		}
		return playbook.File{Name: name + ".yaml", Text: []byte(text)}, nil
	}
	text, ok := files[folder+"/p.yaml"]
	if !ok {
		return nil
	}
	pb, err := playbook.LoadTree("p.yaml", []byte(text), cat, nil, find)
	if err != nil {
		t.Fatal(err)
	}
	return pb
}

// told is a comparison in short lines.
func told(p revision.Playbook) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d the same, %s\n", p.Change, p.Unchanged, p.Risk)
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "! %s: %s\n", w.Step, w.Text)
	}
	settings := func(indent string, all []revision.Setting) {
		for _, s := range all {
			fmt.Fprintf(&b, "%s%s%s: %q → %q\n", indent, map[bool]string{true: s.Playbook + "/"}[s.Playbook != ""], s.Name, s.Before, s.After)
		}
	}
	settings("", p.Settings)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s", s.Change, s.Path)
		if s.Was != "" {
			b.WriteString(", was " + s.Was)
		}
		if s.Move != nil {
			b.WriteString(", " + s.Move.From + " → " + s.Move.To)
		}
		if len(s.Through) > 0 {
			b.WriteString(", through " + strings.Join(s.Through, " "))
		}
		b.WriteString("\n")
		settings("    ", s.Settings)
	}
	return b.String()
}

// TestStories: each file of testdata is one thing that can become of a playbook, and what is said of it.
func TestStories(t *testing.T) {
	cat := catalogue()
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatal(err, len(stories))
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(story)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, f := range archive.Files {
				files[f.Name] = string(f.Data)
			}
			before, after := loaded(t, cat, "before", files), loaded(t, cat, "after", files)
			p := revision.Compare("p.yaml", revision.Revision{Playbook: before}, revision.Revision{Playbook: after})
			got := told(p)
			if os.Getenv("HANDRAIL_UPDATE") != "" {
				i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
				archive.Files[i].Data = []byte(got)
				if err := os.WriteFile(story, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got != files["want"] {
				t.Errorf("it is\n%s\nnot\n%s", got, files["want"])
			}
			again := revision.Compare("p.yaml", revision.Revision{Playbook: loaded(t, cat, "before", files)}, revision.Revision{Playbook: loaded(t, cat, "after", files)})
			if a, b := asJSON(t, p), asJSON(t, again); a != b {
				t.Errorf("the same twice is not the same:\n%s\n%s", a, b)
			}
			if after == nil {
				return
			}
			same := revision.Compare("p.yaml", revision.Revision{Playbook: after}, revision.Revision{Playbook: after})
			if same.Change != revision.Same || len(same.Steps)+len(same.Settings)+len(same.Warnings) > 0 {
				t.Errorf("a revision is not the same as itself: %s", told(same))
			}
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestNothingThatIsSaidIsLeftOut: whoever adds a field to what a playbook can say is told to compare it, too. That of a step is
// either among its settings (see saidByStep) or says where it stands.
func TestNothingThatIsSaidIsLeftOut(t *testing.T) {
	for typ, compared := range map[reflect.Type]string{
		reflect.TypeFor[engine.Step](): "ID Title Pos Digest Group Steps Nested Kind Operation Target Params Class Risk Expect Tolerate Fails Each DoneIf Retry " +
			"Timeout Wipes WipesToo Sensitive When ForEach As Key AtOnce OnError Undo Always Unsettles Kept",
		reflect.TypeFor[engine.Probe]():    "Kind Op Target Params Expect Tolerate Fails Message Each Pos",
		reflect.TypeFor[engine.Playbook](): "Name Description File Digest Timezone Objectives Inputs Targets Locks Vars Steps Always Outputs Remarks Secrets",
		reflect.TypeFor[engine.Template](): "Literal Expr Parts List Fields Probe Condition Late",
		reflect.TypeFor[engine.Input]():    "Name Description Shape Required Default Min Max Pattern Pos",
	} {
		var fields []string
		for i := range typ.NumField() {
			fields = append(fields, typ.Field(i).Name)
		}
		if got := strings.Join(fields, " "); got != compared {
			t.Errorf("%s has the fields\n%s\nand those that are compared are\n%s", typ, got, compared)
		}
	}
}

// TestOrderIsAllThatMoved: whatever order independent steps are put in, none is said to be new or gone, and as few as
// possible are said to have been moved.
func TestOrderIsAllThatMoved(t *testing.T) {
	cat := catalogue()
	write := func(ids string) *engine.Playbook {
		text := "playbook: p\nsteps:\n"
		for _, id := range ids {
			text += fmt.Sprintf("  - {id: %c, exec: {argv: [echo, %c]}}\n", id, id)
		}
		return loaded(t, cat, "x", map[string]string{"x/p.yaml": text})
	}
	before := write("abcdef")
	for order, moved := range map[string]int{"abcdef": 0, "bacdef": 1, "fabcde": 1, "bcdefa": 1, "abedcf": 2, "defabc": 3, "fedcba": 5} {
		p := revision.Compare("p.yaml", revision.Revision{Playbook: before}, revision.Revision{Playbook: write(order)})
		for _, s := range p.Steps {
			if s.Change != revision.Moved {
				t.Errorf("%s: %s is %s", order, s.Path, s.Change)
			}
		}
		if len(p.Steps) != moved || p.Unchanged != 6-moved {
			t.Errorf("%s: %d are moved and %d the same, not %d", order, len(p.Steps), p.Unchanged, moved)
		}
	}
}

// TestAGateSeesWhatTouchesAStep: the same destruction passes when nothing touches it.
func TestAGateSeesWhatTouchesAStep(t *testing.T) {
	cat := catalogue()
	const base = "playbook: p\ntargets: {db: sqlite}\nvars: {name: old}\nsteps:\n" +
		"  - {id: sure, approve: {message: sure}}\n" +
		"  - {id: gone, title: Gone, when: vars.name != 'x', sql: {exec: DROP TABLE a}}\n" +
		"  - {id: look, sql: {query: SELECT 1 AS n}}\n"
	pb := func(text string) revision.Revision {
		return revision.Revision{Playbook: loaded(t, cat, "x", map[string]string{"x/p.yaml": text})}
	}
	for change, want := range map[string]string{
		"SELECT 1→SELECT 2": "",
		"Gone→Went":         "",
		"TABLE a→TABLE b":   "gone: destroys, changed",
		"name: old→name: y": "gone: destroys, reached",
		"  - {id: sure, approve: {message: sure}}\n→": "sure: approval is not asked for where it was",
	} {
		from, to, _ := strings.Cut(change, "→")
		p := revision.Compare("p.yaml", pb(base), pb(strings.Replace(base, from, to, 1)))
		var got []string
		for _, s := range p.Steps {
			if why := s.RuledOut(p, engine.RiskDestroys); why != "" {
				got = append(got, s.Path+": "+why)
			}
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%q: ruled out is %q, not %q", change, got, want)
		}
	}
}
