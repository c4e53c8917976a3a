package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/internal/schematest"
)

// reviewed is a plan in which everything that a plan can say is said.
func reviewed() *preview.Plan {
	would := engine.StandingWould
	return &preview.Plan{
		Version: preview.Version, Playbook: "raise", Digest: "d1", Environment: "staging", Made: noon, RTO: time.Minute,
		Steps: []preview.Step{
			{Path: "usage", Title: "How full is it?", Kind: "sql", Operation: "query", Target: "db", Line: 4, Impact: engine.Impact{
				Standing: would, Would: "read numbering.sequences", Class: engine.ClassRead,
				Figures: []engine.Figure{{Name: "rows", Value: 1, Certainty: engine.FigureExact}}}},
			{Path: "each", Group: "for_each", Line: 7, Impact: engine.Impact{Standing: would, Would: "for each of 2 items"}},
			{Path: "each[a]", Depth: 1, Kind: "sql", Operation: "exec", Target: "db", Line: 7, Impact: engine.Impact{
				Standing: would, Would: "change rows of sequences", Class: engine.ClassTransactional, Risk: engine.RiskDestroys,
				Figures:  []engine.Figure{{Name: "rows", Value: 3, Certainty: engine.FigureEstimate, Why: "a trigger fires"}, {Name: "locks"}},
				Facts:    []engine.Fact{{Name: "sequences", Value: "16 KiB"}},
				Warnings: []string{"no marker can be made there"}, Details: []string{"DELETE FROM sequences\nWHERE id = 1"}}},
			{Path: "sure", Kind: "approve", Line: 9, Maybe: true, KnownAfter: "usage", Impact: engine.Impact{
				Standing: would, Would: "ask a person: sure?", Class: engine.ClassPerson, Why: "whether it runs is known after step usage"}},
			{Path: "gone", Line: 14, Impact: engine.Impact{Standing: engine.StandingSkip, Why: "when is false"}},
			{Path: "there", Line: 15, Impact: engine.Impact{Standing: engine.StandingAlready, Would: "done already", Class: engine.ClassIdempotent}},
			{Path: "late", Section: "always", Line: 12, Kind: "redis", Operation: "do", Impact: engine.Impact{
				Standing: engine.StandingUnknown, Why: "it cannot be reached", Class: engine.ClassUnrepeatable, Risk: engine.RiskChanges}},
		},
		Locks: []preview.Lock{
			{Name: "numbering", In: preview.ThisHost}, {Name: "numbering", In: "db", Run: runID, Held: "the lock numbering is held by run " + runID + " of raise"},
			{Name: "nights", In: "db"}, {Name: "backup", In: "db", Why: "it cannot be reached"},
		},
		Error: "an output is missing", Warnings: []string{"a secret was not fetched"},
		Summary:  preview.Summary{Steps: 6, Reads: 1, Changes: 1, Destroys: 1, Approvals: 1, Already: 1, Skipped: 1, Unknown: 1},
		LastRuns: []preview.LastRun{{ID: runID, State: engine.RunOK, Started: noon.Add(-time.Hour), Took: 70 * time.Second}},
		Expected: &objective.Ahead{Runs: 4, P50: 50 * time.Second, P95: 2 * time.Minute, Late95: "each"},
	}
}

func markdownOf(t *testing.T, p *preview.Plan, most int) string {
	t.Helper()
	var b bytes.Buffer
	if err := PlanMarkdown(&b, p, most); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if os.Getenv("HANDRAIL_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; it is\n%s", name, got)
	}
}

func TestPlanForms(t *testing.T) {
	golden(t, "plan.md", markdownOf(t, reviewed(), CommentLimit))
	var text, doc bytes.Buffer
	if err := PlanText(&text, reviewed()); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.txt", text.String())
	if err := PlanJSON(&doc, reviewed()); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", doc.String())
}

func planSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("../../../docs/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schematest.Compile(t, text)
}

// TestThePublishedSchemaIsTheOneOfThePlan: the page in docs is what the type says today.
func TestThePublishedSchemaIsTheOneOfThePlan(t *testing.T) {
	published, err := os.ReadFile("../../../docs/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	now, err := PlanSchema()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(published, now) {
		t.Error("docs/plan.schema.json is not what `handrail schema plan` writes: run make docs")
	}
}

func TestEveryPropertyOfAPlanIsExplained(t *testing.T) {
	text, err := PlanSchema()
	if err != nil {
		t.Fatal(err)
	}
	if seen := everyProperty(t, text); seen < 30 {
		t.Errorf("only %d properties were found", seen)
	}
}

// everyProperty of a schema has a description; it gives how many there are.
func everyProperty(t *testing.T, schema []byte) int {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(schema, &doc); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(at string, s map[string]any)
	walk = func(at string, s map[string]any) {
		if items, ok := s["items"].(map[string]any); ok {
			walk(at+"[]", items)
		}
		properties, _ := s["properties"].(map[string]any)
		for name, p := range properties {
			seen++
			property, _ := p.(map[string]any)
			if property["description"] == nil {
				t.Errorf("%s.%s is not explained; see the words beside the schema", at, name)
			}
			walk(at+"."+name, property)
		}
	}
	walk("", doc)
	return seen
}

// TestAPlanIsAsItsSchemaSays, a full one and an empty one; what the schema does not know is refused by it.
func TestAPlanIsAsItsSchemaSays(t *testing.T) {
	s := planSchema(t)
	full := &preview.Plan{}
	fill(reflect.ValueOf(full).Elem())
	full.Version = preview.Version
	for name, p := range map[string]*preview.Plan{"reviewed": reviewed(), "full": full,
		"small": {Version: 1, Playbook: "p", Made: noon, Steps: []preview.Step{{Path: "a"}}}} {
		var b bytes.Buffer
		if err := PlanJSON(&b, p); err != nil {
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
			func(d map[string]any) { delete(d, "steps") },
			func(d map[string]any) { d["steps"].([]any)[0].(map[string]any)["standing"] = "succeeded" },
		} {
			refused(t, s, name, doc, wrong)
		}
	}
}

// refused says that a document is none any more once something is wrong in it.
func refused(t *testing.T, s *jsonschema.Schema, name string, doc any, wrong func(map[string]any)) {
	t.Helper()
	again, err := jsonschema.UnmarshalJSON(strings.NewReader(mustJSON(t, doc)))
	if err != nil {
		t.Fatal(err)
	}
	wrong(again.(map[string]any))
	if s.Validate(again) == nil {
		t.Errorf("%s: what is none passes", name)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fill gives every field a value, so that nothing is left out for being empty.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(noon))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic(fmt.Sprintf("a plan holds a %s", v.Type()))
	}
}

// hostile are texts that a playbook or a target could hold to get out of their place.
var hostile = []string{
	"| a | b |\n| c |", "</code></td></table><script>x</script>", "</pre></details>\n# Approved\n", "```\n**approved**\n```",
	"@octocat @org/team", "closes #12, GH-12, octo/repo#12", "https://evil.example/?x www.evil.example mailto:a@b.example",
	"![p](https://evil.example/pixel)", "[approve](javascript:x)", "\n/merge\n/approve", "a\u202eb\u200bc\x1b[2J", "<!-- handrail plan -->",
	"&#64;octocat", "\\|", "$`x`$", ":tada:",
}

// TestMarkdownKeepsHostileTextsInTheirPlace puts each of them everywhere.
func TestMarkdownKeepsHostileTextsInTheirPlace(t *testing.T) {
	for _, evil := range hostile {
		p := reviewed()
		p.Playbook, p.Environment, p.Error, p.Warnings = evil, evil, evil, []string{evil}
		for i := range p.Steps {
			s := &p.Steps[i]
			s.Path, s.Title, s.Would, s.Why = s.Path+evil, evil, evil, evil
			s.Warnings, s.Details = []string{evil}, []string{evil}
			s.Facts = []engine.Fact{{Name: evil, Value: evil}}
			s.Figures = []engine.Figure{{Name: evil, Why: evil}}
		}
		calm, wild := markdownOf(t, harmless(p), CommentLimit), markdownOf(t, p, CommentLimit)
		if a, b := skeleton(calm), skeleton(wild); a != b {
			t.Errorf("%q changes what the page is made of:\n%s\nnot\n%s", evil, b, a)
		}
		outside := regexp.MustCompile(`(?s)<pre>.*?</pre>|<code>.*?</code>`).ReplaceAllString(wild, "")
		read := html.UnescapeString(outside)
		if found := regexp.MustCompile(`@\w|#\d|://|www\.\w|(?i:gh)-\d`).FindString(read); found != "" {
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

// harmless is the same plan with a word in the place of each text.
func harmless(p *preview.Plan) *preview.Plan {
	q := *p
	q.Playbook, q.Environment, q.Error, q.Warnings = "w", "w", "w", []string{"w"}
	q.Steps = append([]preview.Step(nil), p.Steps...)
	for i := range q.Steps {
		s := &q.Steps[i]
		s.Path, s.Title = "w", "w"
		s.Impact = s.Texts(func(string) string { return "w" })
	}
	return &q
}

// skeleton is what a page is made of: its elements, and where lines, cells and headings begin.
func skeleton(page string) string {
	inPre := false
	var b strings.Builder
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "<pre>"):
			inPre = true
		case strings.HasPrefix(line, "</pre>"):
			inPre = false
		case inPre:
			if strings.ContainsAny(line, "<>") {
				b.WriteString("BROKEN " + line)
			}
			continue
		}
		b.WriteString(strings.Join(regexp.MustCompile("<[^>]*>|\\||`|\\*|[\\[\\]]|^#+ |^- |^> ").FindAllString(line, -1), "") + "\n")
	}
	return b.String()
}

// TestMarkdownFitsWhereItIsPut, however much there is to say, and keeps what a reviewer must not miss.
func TestMarkdownFitsWhereItIsPut(t *testing.T) {
	p := reviewed()
	for i := range 1500 {
		s := p.Steps[0]
		s.Path, s.Title, s.Warnings = fmt.Sprintf("read_%d", i), strings.Repeat("é@", 300), []string{strings.Repeat("<", 900)}
		s.Details = []string{strings.Repeat("&", 5000)}
		if i%100 == 0 {
			s.Risk, s.Class = engine.RiskDestroys, engine.ClassUnrepeatable
		}
		p.Steps = append(p.Steps, s)
	}
	for _, most := range []int{CommentLimit, 20000, 5000, 1500} {
		got := markdownOf(t, p, most)
		if len(got) > most {
			t.Errorf("%d bytes where %d have room", len(got), most)
		}
		for _, want := range []string{"6 steps: 1 read / 1 change / 1 destroy / 1 need approval", "Nothing was changed."} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in %d bytes", want, most)
			}
		}
		if most == CommentLimit && (!strings.Contains(got, "read&#95;100<") || !strings.Contains(got, "that only read")) {
			t.Errorf("a step that destroys was left out before one that reads:\n%s", got)
		}
		if strings.Count(got, "<details>") != strings.Count(got, "</details>") || strings.Count(got, "<code>") != strings.Count(got, "</code>") {
			t.Error("an element is not closed")
		}
	}
}
