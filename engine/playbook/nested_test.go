package playbook_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
)

// nestedCatalogue is testCatalogue with the kind that runs playbooks.
func nestedCatalogue() *playbook.Catalogue {
	return playbook.NewCatalogue(append(testCatalogue().Kinds(), engine.Kind{
		Name: "playbook", Doc: "Runs another playbook.",
		Operations: []engine.Operation{{
			Name: "run", Key: "run", Nests: true, Class: engine.ClassUnrepeatable, Doc: "Runs it.",
			Params: engine.RecordOf(need("run", statement()), may("inputs", engine.MapOf(engine.Of(engine.TypeAny))), may("targets", engine.MapOf(engine.Of(engine.TypeText)))),
			Result: engine.RecordOf(),
		}},
	}))
}

// shelf is a folder of playbooks, by name.
type shelf map[string]string

func (s shelf) find(from, name string) (playbook.File, error) {
	text, ok := s[name]
	if !ok {
		return playbook.File{}, fmt.Errorf("there is no playbook %s", name)
	}
	return playbook.File{Name: name + ".yaml", Text: []byte("playbook: " + name + "\n" + text)}, nil
}

func (s shelf) load(name string, env *playbook.Environment) (*engine.Playbook, error) {
	file, err := s.find("", name)
	if err != nil {
		return nil, err
	}
	return playbook.LoadTree(file.Name, file.Text, nestedCatalogue(), env, s.find)
}

const backup = `description: Saves a database.
inputs:
  dir: {type: path, pattern: "^/"}
  keep: {type: integer, default: 7, max: 30}
  key: {type: secret, required: false}
targets: {db: sql}
locks: [backup]
steps:
  - {id: a, exec: {argv: [save, "${{ inputs.dir }}", "${{ inputs.keep }}"], env: {K: "${{ inputs.key }}"}}}
  - {id: n, sql: {query: SELECT 1}}
outputs: {file: inputs.dir + '/x', rows: len(steps.n.rows)}
`

func TestANestedPlaybookIsLoadedIntoItsStep(t *testing.T) {
	s := shelf{"backup": backup, "top": `
inputs: {where: {type: string}}
targets: {main: mysql}
locks: [all]
steps:
  - id: b
    playbook: {run: backup, inputs: {dir: "/x/${{ inputs.where }}", key: "${{ secrets.KEY }}"}, targets: {db: main}}
  - {id: c, when: steps.b.rows > 1 and steps.b.state == 'ok', exec: {argv: [see, "${{ steps.b.file }}"]}}
`}
	pb, err := s.load("top", nil)
	if err != nil {
		t.Fatal(rendered(err))
	}
	b := pb.Steps[0]
	if b.Group != engine.PlaybookGroup || b.Nested.Playbook.Name != "backup" || len(b.Steps) != 2 || b.Operation != nil {
		t.Errorf("%+v", b)
	}
	if b.Steps[1].Target != "main" || b.Nested.Targets["db"] != "main" {
		t.Errorf("the target is %q, the targets are %v", b.Steps[1].Target, b.Nested.Targets)
	}
	if !slices.Equal(pb.EveryLock(), []string{"all", "backup"}) || pb.Secrets["KEY"].Line == 0 || len(pb.Targets) != 1 {
		t.Errorf("locks %v, secrets %v, targets %v", pb.EveryLock(), pb.Secrets, pb.Targets)
	}
	if pb.WholeDigest() == pb.Digest || pb.NestedDigests()["backup"] != b.Nested.Playbook.Digest {
		t.Error("the digest of the whole does not hold the nested playbook")
	}
}

func TestInputsOfANestedPlaybookAreCheckedWhenItBegins(t *testing.T) {
	s := shelf{"backup": backup, "top": "inputs: {where: {type: string}}\ntargets: {db: sqlite}\nsteps:\n" +
		"  - {id: b, playbook: {run: backup, inputs: {dir: \"${{ inputs.where }}\", keep: 8}}}\n"}
	pb, err := s.load("top", nil)
	if err != nil {
		t.Fatal(rendered(err))
	}
	accept := pb.Steps[0].Nested.Accept
	got, err := accept(engine.Record{"dir": "/x"})
	if err != nil || got["keep"] != int64(7) || got["dir"] != "/x" || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
	if got, err := accept(engine.Record{"dir": engine.Unknown{After: "z"}, "keep": nil}); err != nil || got["dir"] != (engine.Unknown{After: "z"}) {
		t.Errorf("%v %v", got, err)
	}
	_, err = accept(engine.Record{"dir": "x", "keep": int64(31), "key": "plain"})
	want := "top.yaml:5:51: input dir of backup is \"x\", which does not match ^/\ntop.yaml:5:80: input keep of backup is 31, more than the maximum 30"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got, err := accept(engine.Record{"dir": "/x", "key": "plain"}); err != nil || fmt.Sprint(got["key"]) != engine.Masked {
		t.Errorf("%v %v", got, err)
	}
}

// TestATargetOfItsOwn: a playbook that says itself where a target is keeps it to itself.
func TestATargetOfItsOwn(t *testing.T) {
	s := shelf{
		"own": "targets: {db: {sqlite: {file: own.db}}}\nsteps:\n  - {id: a, sql: {query: SELECT 1}, when: targets.db.file != ''}\n",
		"mid": "steps:\n  - {id: o, playbook: {run: own}}\n",
		"top": "targets: {db: mysql}\nsteps:\n  - {id: m, playbook: {run: mid}}\n  - {id: n, playbook: {run: own}}\n  - {id: a, sql: {query: SELECT 1}}\n",
	}
	pb, err := s.load("top", nil)
	if err != nil {
		t.Fatal(rendered(err))
	}
	if inner := pb.Steps[0].Steps[0].Steps[0]; inner.Target != "own/db" || pb.Steps[2].Target != "db" {
		t.Errorf("targets %q and %q", inner.Target, pb.Steps[2].Target)
	}
	if len(pb.Targets) != 2 || pb.Targets[1].Name != "own/db" || pb.Targets[1].Settings == nil {
		t.Errorf("%+v", pb.Targets)
	}
}

func TestASensitiveStepMakesAllOfItsPlaybookSensitive(t *testing.T) {
	s := shelf{
		"low": "steps:\n  - {id: a, wait: {for: 1s}}\n",
		"mid": "inputs: {x: {type: string}}\nsteps:\n  - {id: o, playbook: {run: low}}\n  - {id: p, exec: {argv: [see, \"${{ inputs.x }}\"]}}\n",
		"top": "targets: {db: mysql}\nsteps:\n  - {id: pw, sensitive: true, sql: {query: SELECT 1}}\n" +
			"  - {id: m, sensitive: true, playbook: {run: mid, inputs: {x: \"${{ steps.pw.rows[0].x }}\"}}}\n  - {id: n, playbook: {run: low}}\n",
	}
	pb, err := s.load("top", nil)
	if err != nil {
		t.Fatal(rendered(err))
	}
	got := map[string]bool{}
	pb.EachPath(func(path string, s *engine.Step) { got[path] = s.Sensitive })
	want := map[string]bool{"pw": true, "m": true, "m/o": true, "m/o/a": true, "m/p": true, "n": false, "n/a": false}
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s is sensitive: %v", path, got[path])
		}
	}
}

// deep is a chain of playbooks that run each other, and at its end something else.
func deep(n int, last string) shelf {
	s := shelf{}
	for i := range n {
		s[fmt.Sprintf("p%d", i)] = fmt.Sprintf("steps:\n  - {id: n, playbook: {run: p%d}}\n", i+1)
	}
	s[fmt.Sprintf("p%d", n)] = last
	return s
}

func TestMistakesInAndAroundNestedPlaybooks(t *testing.T) {
	leaf := "steps:\n  - {id: a, wait: {for: 1s}}\n"
	step := func(rest string) string { return "targets: {db: mysql}\nsteps:\n  - {id: b, " + rest + "}\n" }
	for name, c := range map[string]struct {
		shelf shelf
		top   string
		want  []string
	}{
		"missing": {shelf{}, step("playbook: {run: none}"), []string{"top.yaml:4:29: there is no playbook none"}},
		"missing below": {shelf{"mid": "steps:\n  - {id: x, playbook: {run: none}}\n"}, step("playbook: {run: mid}"), []string{
			"top.yaml:4:29: the playbook mid, which this step runs, has mistakes; they are in mid.yaml", "mid.yaml:3:29: there is no playbook none"}},
		"itself": {shelf{}, step("playbook: {run: top}"), []string{"top.yaml:4:29: top runs itself: top → top"}},
		"a cycle of three": {shelf{"mid": "steps:\n  - {id: x, playbook: {run: low}}\n", "low": "steps:\n  - {id: x, playbook: {run: top}}\n"}, step("playbook: {run: mid}"), []string{
			"top.yaml:4:29: the playbook mid, which this step runs, has mistakes; they are in mid.yaml",
			"low.yaml:3:29: top runs itself: top → mid → low → top",
			"mid.yaml:3:29: the playbook low, which this step runs, has mistakes; they are in low.yaml"}},
		"mistakes of both": {shelf{"mid": "steps:\n  - {id: x, wait: {four: 1s}}\n"}, step("when: steps.z.state == 'ok', playbook: {run: mid}"), []string{
			"top.yaml:4:25: there is no step z", "top.yaml:4:58: the playbook mid, which this step runs, has mistakes; they are in mid.yaml",
			"mid.yaml:3:20: wait has no operation four"}},
		"no name":        {shelf{}, step("playbook: {inputs: {}}"), []string{"top.yaml:4:23: it is not said which playbook is run"}},
		"a template":     {shelf{}, step("playbook: {run: \"${{ run.id }}\"}"), []string{"top.yaml:4:30: no ${{ }} can stand in run: it must be known before a run"}},
		"inputs missing": {shelf{"backup": backup}, step("playbook: {run: backup}"), []string{"top.yaml:4:29: backup needs the input dir"}},
		"inputs wrong": {shelf{"backup": backup}, step("playbook: {run: backup, inputs: {dir: x, keep: many, dirr: /x, key: hunter2}}"), []string{
			"top.yaml:4:51: the input dir of backup is \"x\", which does not match ^/", "top.yaml:4:60: the input keep must be an integer, not \"many\"",
			"top.yaml:4:66: backup has no input dirr", "top.yaml:4:81: the input key of backup is a secret; it cannot stand in a playbook"}},
		"an input of another type": {shelf{"backup": backup}, step("playbook: {run: backup, inputs: {dir: /x, keep: \"${{ run.started }}\"}}"), []string{
			"top.yaml:4:61: the input keep must be an integer, not a time"}},
		"a secret in the open": {shelf{"backup": backup}, step("playbook: {run: backup, inputs: {dir: \"${{ secrets.K }}\"}}"), []string{
			"top.yaml:4:51: the input dir must be a path, not a secret"}},
		"a sensitive result": {shelf{"backup": backup}, "targets: {db: mysql}\nsteps:\n  - {id: pw, sensitive: true, sql: {query: SELECT 1}}\n  - {id: b, playbook: {run: backup, inputs: {dir: \"${{ steps.pw.rows[0].x }}\"}}}\n", []string{
			"top.yaml:5:51: the result of a sensitive step would be recorded as the input dir of backup"}},
		"nothing of the parent is seen": {shelf{"low": "steps:\n  - {id: x, when: inputs.dir != '' and steps.b.state == 'ok' and vars.v, wait: {for: 1s}}\n"},
			"inputs: {dir: {type: path}}\nvars: {v: true}\nsteps:\n  - {id: a, when: inputs.dir != '' and vars.v, wait: {for: 1s}}\n  - {id: b, playbook: {run: low}}\n", []string{
				"top.yaml:6:29: the playbook low, which this step runs, has mistakes; they are in low.yaml",
				"low.yaml:3:26: there is no inputs.dir", "low.yaml:3:46: there is no step b", "low.yaml:3:71: there is no vars.v"}},
		"nothing of the child is seen": {shelf{"low": leaf}, "steps:\n  - {id: b, playbook: {run: low}}\n  - {id: c, when: steps.a.state == 'ok' or steps.b.file == '', wait: {for: 1s}}\n", []string{
			"top.yaml:4:25: there is no step a", "top.yaml:4:52: steps.b has no field file"}},
		"a target missing": {shelf{"low": "targets: {cache: redis}\nsteps:\n  - {id: x, redis: {do: [PING]}}\n"}, step("playbook: {run: low}"), []string{
			"top.yaml:4:29: low acts on a target cache, and there is none of that name here"}},
		"a target of another type": {shelf{"low": "targets: {db: sqlite}\nsteps:\n  - {id: x, sql: {query: SELECT 1}}\n"}, step("playbook: {run: low}"), []string{
			"top.yaml:4:29: low takes its target db as sqlite; db is mysql here"}},
		"a target that it has not": {shelf{"low": leaf}, step("playbook: {run: low, targets: {cache: db, x: none}}"), []string{
			"top.yaml:4:51: low has no target cache", "top.yaml:4:58: there is no target none"}},
		"keys that do not go": {shelf{"low": leaf}, step("timeout: 5s, expect: true, on: db, done_if: [], playbook: {run: low}"), []string{
			"top.yaml:4:13: timeout does not go with a step that runs a playbook", "top.yaml:4:26: expect does not go with a step that runs a playbook",
			"top.yaml:4:40: on does not go with a step that runs a playbook", "top.yaml:4:48: done_if does not go with a step that runs a playbook"}},
		"an output that hides": {shelf{"low": leaf + "outputs: {state: 1}\n"}, step("playbook: {run: low}"), []string{
			"top.yaml:4:29: the output state of low cannot be seen: state is what is known of the step itself"}},
		"too deep": {deep(9, leaf), step("playbook: {run: p0}"), []string{"", "p6.yaml:3:29: playbooks run each other more than 8 deep: top → p0 → p1 → p2 → p3 → p4 → p5 → p6 → p7"}},
		"as a probe": {shelf{"low": leaf}, step("done_if: {playbook: {run: low}}, exec: {argv: [x]}"), []string{
			"top.yaml:4:23: a probe only reads; playbook.run is unrepeatable"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.shelf["top"] = c.top
			_, err := c.shelf.load("top", nil)
			var got []string
			for _, d := range playbook.Diagnostics(err) {
				got = append(got, d.Error())
			}
			if len(c.want) > 0 && c.want[0] == "" { // among others
				if !slices.Contains(got, c.want[1]) {
					t.Errorf("got\n%s", strings.Join(got, "\n"))
				}
				return
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestManyRunsAreRefusedBeforeTheyFillTheMemory: each of eight playbooks runs the next one eight times.
func TestManyRunsAreRefusedBeforeTheyFillTheMemory(t *testing.T) {
	s := shelf{"p6": "steps:\n  - {id: a, wait: {for: 1s}}\n"}
	for i := range 6 {
		var b strings.Builder
		b.WriteString("steps:\n")
		for j := range 8 {
			fmt.Fprintf(&b, "  - {id: n%d, playbook: {run: p%d}}\n", j, i+1)
		}
		s[fmt.Sprintf("p%d", i)] = b.String()
	}
	_, err := s.load("p0", nil)
	if err == nil || !strings.Contains(err.Error(), "the playbook runs more than 200 others") {
		t.Errorf("%v", err)
	}
}

// TestTheEnvironmentDecidesForNestedPlaybooks: their targets are those of the playbook around them.
func TestTheEnvironmentDecidesForNestedPlaybooks(t *testing.T) {
	env, err := playbook.LoadEnvironment("staging.yaml", []byte("targets: {main: {sqlite: {file: x.db}}}\n"), nestedCatalogue())
	if err != nil {
		t.Fatal(err)
	}
	s := shelf{"low": "targets: {db: mysql}\nsteps:\n  - {id: x, sql: {query: SELECT 1}}\n",
		"top": "targets: {main: sql}\nsteps:\n  - {id: b, playbook: {run: low, targets: {db: main}}}\n"}
	if _, err := s.load("top", nil); err != nil {
		t.Error(rendered(err))
	}
	_, err = s.load("top", env)
	if err == nil || err.Error() != "top.yaml:4:48: low takes its target db as mysql; main is sqlite here" {
		t.Errorf("%v", err)
	}
}
