package playbook_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
)

func stepsOf(t testing.TB, body string) []*engine.Step {
	t.Helper()
	return load(t, "playbook: test\ntargets: {db: mysql, cache: redis}\nsteps:\n"+body).Steps
}

// mistake loads a playbook that must be wrong in one way.
func mistake(t testing.TB, body string) string {
	t.Helper()
	_, err := playbook.Load("test.yaml", []byte("playbook: test\ntargets: {db: mysql, cache: redis}\nsteps:\n"+body), testCatalogue(), nil)
	all := playbook.Diagnostics(err)
	if len(all) != 1 {
		t.Fatalf("%d mistakes in\n%s\n%s", len(all), body, rendered(err))
	}
	return all[0].Message
}

func TestLiteralsBecomeTheirType(t *testing.T) {
	s := stepsOf(t, `  - {id: a, sql: {query: "q", args: {i: 5, big: 18446744073709551615, f: 0.1, exact: 0.12345678901234567890, t: 2026-01-02, n: null, b: true, s: "5", l: [1, a]}}}
  - {id: w, wait: {for: 1h30m}}
  - {id: s, redis: {sweep: {match: 12, batch: 2MiB}}}
  - {id: h, exec: {hosts: one, argv: [sleep, 1.50]}}
`)
	for i, want := range []string{
		`{"args":{"b":true,"big":18446744073709551615,"exact":{"$decimal":"0.12345678901234567890"},"f":0.1,"i":5,"l":[1,"a"],"n":null,"s":"5","t":"2026-01-02"},"query":"q"}`,
		`{"for":{"$duration":"1h30m0s"}}`,
		`{"sweep":{"batch":2097152,"match":"12"}}`,
		`{"argv":["sleep","1.50"],"hosts":"one"}`,
	} {
		v, err := s[i].Params.Render(engine.FixedScope(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := engine.AppendValue(nil, v); err != nil || string(got) != want {
			t.Errorf("%s (%v), want %s", got, err, want)
		}
	}
}

func TestTemplatesKeepTypesAndInterpolate(t *testing.T) {
	s := stepsOf(t, `  - {id: a, redis: {do: [SET, "${{ 1 + 1 }}", "n=${{ 1 + 1 }}", "${{ '}}' }}${{ {a: {b: 1}}.a.b }}", "$ {{ x }} }}"]}}`+"\n")
	v, err := s[0].Params.Render(engine.FixedScope(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%#v", v.(engine.Record)["do"]); got != `[]interface {}{"SET", 2, "n=2", "}}1", "$ {{ x }} }}"}` {
		t.Error(got)
	}
}

func TestASecretInATextMakesItASecret(t *testing.T) {
	s := stepsOf(t, `  - {id: a, exec: {argv: [x], env: {P: "user:${{ secrets.PW }}@host"}}}`+"\n")
	v, err := s[0].Params.Render(engine.FixedScope(engine.Record{"secrets": engine.Record{"PW": engine.NewSecret("PW", "geheim")}}))
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := v.(engine.Record)["env"].(engine.Record)["P"].(engine.Secret)
	if !ok || secret.Reveal() != "user:geheim@host" {
		t.Errorf("%#v", v)
	}
}

func TestSecretsOfThePlaybookAreListed(t *testing.T) {
	pb := load(t, "playbook: test\ntargets:\n  db: {mysql: {address: a, user: u, database: d, password: \"${{ secrets.ONE }}\"}}\nsteps:\n  - id: a\n    exec: {argv: [x], env: {P: \"${{ secrets.TWO }}\"}}\n")
	if len(pb.Secrets) != 2 || pb.Secrets["ONE"].Line != 3 || pb.Secrets["TWO"].Line != 6 {
		t.Errorf("%v", pb.Secrets)
	}
}

func TestClassAndRiskAreJudged(t *testing.T) {
	s := stepsOf(t, `  - {id: a, redis: {do: [GET, a]}}
  - {id: b, redis: {do: [SET, a, 1]}}
  - {id: c, redis: {do: [SET, a, 1]}, effect: idempotent}
  - {id: d, sql: {exec: DROP TABLE t}}
  - {id: e, sql: {exec: UPDATE t SET a = 1}}
  - {id: f, sql: {exec: UPDATE t SET a = 1}, effect: unrepeatable}
  - {id: g, exec: {argv: [x]}, effect: read}
  - {id: h, approve: Really}
`)
	want := []string{"read reads", "unrepeatable changes", "idempotent changes", "unrepeatable irreversible", "transactional destroys",
		"unrepeatable destroys", "read irreversible", "person reads"}
	for i, w := range want {
		if got := s[i].Class.String() + " " + s[i].Risk.String(); got != w {
			t.Errorf("%s: %s, want %s", s[i].ID, got, w)
		}
	}
}

func TestRetryIsForWhatMayBeRepeated(t *testing.T) {
	stepsOf(t, `  - {id: a, sql: {exec: UPDATE t SET a = 1}, retry: {attempts: 3}}
  - {id: b, exec: {argv: [x]}, effect: idempotent, retry: {attempts: 3}}
  - {id: c, sql: {query: SELECT 1}, retry: {attempts: 3}}
`)
	if m := mistake(t, "  - {id: a, sql: {exec: UPDATE t SET a = 1}, effect: unrepeatable, retry: {attempts: 3}}\n"); !strings.Contains(m, "may not be repeated") {
		t.Error(m)
	}
}

func TestWhoSeesWhom(t *testing.T) {
	for name, c := range map[string]struct{ body, wrong string }{
		"a block passes its steps on": {`  - {id: g, block: [{id: a, sql: {query: x}}, {id: b, when: "len(steps.a.rows) > 0", wait: {for: 1s}}]}
  - {id: c, when: len(steps.a.rows) > 0 and steps.g.state == "ok", wait: {for: 1s}}
`, ""},
		"an iteration sees itself and what is around": {`  - {id: top, sql: {query: x}}
  - id: g
    for_each: ${{ steps.top.rows }}
    key: item.id
    block:
      - {id: a, sql: {query: x, args: {v: "${{ item.id }}", w: "${{ steps.top.rows[0].w }}"}}}
      - id: h
        for_each: [1, 2]
        as: n
        block:
          - {id: b, when: n > 1 and item.id == 3 and len(steps.a.rows) > 0, wait: {for: 1s}}
          - {id: c, when: 'steps.b.state == "ok"', wait: {for: 1s}}
`, ""},
		"a loop shows its items": {`  - {id: g, for_each: [a, b], sql: {query: x, args: {v: "${{ item }}"}}}
  - {id: h, when: "all(steps.g.items, .key != 'z' and len(.rows) > 0 and .state == 'ok')", wait: {for: 1s}}
`, ""},
		"a loop has no result of its own": {`  - {id: g, for_each: [a, b], sql: {query: x}}
  - {id: h, when: len(steps.g.rows) > 0, wait: {for: 1s}}
`, "steps.g has no field rows"},
		"a nested iteration stays inside": {`  - {id: g, for_each: [1], block: [{id: h, for_each: [2], block: [{id: a, sql: {query: x}}]}, {id: b, when: "len(steps.a.rows) > 0", wait: {for: 1s}}]}
`, "step a is inside the loop h"},
		"undo sees the step and those inside of it": {`  - id: g
    block: [{id: a, sql: {exec: x}}]
    undo: [{id: u, when: 'steps.a.affected > 0 and steps.g.state == "ok"', sql: {exec: y}}, {id: v, when: steps.u.affected > 0, wait: {for: 1s}}]
`, ""},
		"always sees what is in the group": {`  - id: g
    parallel: [{id: a, sql: {exec: x}}, {id: b, sql: {exec: x}}]
    always: [{id: u, when: steps.a.affected == steps.b.affected, wait: {for: 1s}}]
`, ""},
		"always is not seen": {`  - {id: g, block: [{id: a, wait: {for: 1s}}], always: [{id: u, sql: {exec: x}}]}
  - {id: h, when: steps.u.affected == 1, wait: {for: 1s}}
`, "step u, in line 4, is not surely done before this"},
		"done_if comes before the step": {`  - {id: a, sql: {exec: x}, done_if: [{sql: {query: x}, expect: steps.a.affected == 1}]}
`, "step a cannot refer to itself"},
		"a result hides what is around": {`  - {id: a, for_each: [1], as: rows, sql: {query: x}, expect: len(rows) == 1}
`, ""},
		"the entry of a loop has the type of its list": {`  - {id: a, for_each: [1, 2], when: "true", wait: {for: 1s}, key: item + "x"}
`, "+ does not go with an integer and a string"},
		"settings of targets": {`  - {id: a, when: targets.db.database == "x" and targets.cache.address != "", wait: {for: 1s}}
`, ""},
		"settings that are secrets": {`  - {id: a, when: targets.db.password == "x", wait: {for: 1s}}
`, "targets.db has no field password"},
		"the run": {`  - {id: a, when: run.id != "" and run.started == now() and run.playbook == "test", wait: {for: 1s}}
`, ""},
		"no clock of its own": {`  - {id: a, when: run.began > now(), wait: {for: 1s}}
`, "run has no field began"},
	} {
		if c.wrong == "" {
			if _, err := playbook.Load("test.yaml", []byte("playbook: test\ntargets: {db: mysql, cache: redis}\nsteps:\n"+c.body), testCatalogue(), nil); err != nil {
				t.Errorf("%s:\n%s", name, rendered(err))
			}
			continue
		}
		if got := mistake(t, c.body); got != c.wrong {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheDigestOfAStep(t *testing.T) {
	digest := func(step string) string { return stepsOf(t, step)[0].Digest }
	one := digest("  - {id: a, sql: {query: SELECT 1, args: {x: 1, y: 2}}}\n")
	for text, same := range map[string]bool{
		"  - id: a # comment\n    sql:\n      args:\n        y: 2\n        x: 1\n      query: 'SELECT 1'\n": true,
		"  - {id: a, sql: {query: SELECT 2, args: {x: 1, y: 2}}}\n":                                         false,
		"  - {id: a, sql: {query: SELECT 1, args: {x: \"1\", y: 2}}}\n":                                     false,
		"  - {id: a, sql: {query: SELECT 1, args: {x: 1, y: 2}}, expect: \"true\"}\n":                       false,
		"  - {id: a, sql: {query: SELECT 1, args: {x: 1, y: 2}}, timeout: 1s}\n":                            false,
		"  - {id: a, title: Named, sql: {query: SELECT 1, args: {x: 1, y: 2}}}\n":                           false,
		"  - {id: a, sql: {query: SELECT 1, args: {x: 1, y: 2}}}\n  - {id: b, wait: {for: 1s}}\n":           true,
	} {
		if (digest(text) == one) != same {
			t.Errorf("the same: %v, want %v:\n%s", !same, same, text)
		}
	}
	group := digest("  - {id: g, block: [{id: a, wait: {for: 1s}}]}\n")
	if group != digest("  - {id: g, block: [{id: a, wait: {for: 2s}}]}\n") {
		t.Error("a group's digest depends on the steps inside of it")
	}
}

func TestTheTargetMayBeLeftOutWhenOneFits(t *testing.T) {
	if s := stepsOf(t, "  - {id: a, sql: {query: x}}\n  - {id: b, verify: [{redis: {do: [PING]}}]}\n"); s[0].Target != "db" {
		t.Errorf("%q", s[0].Target)
	}
}

func environment(t testing.TB, text string) *playbook.Environment {
	t.Helper()
	env, err := playbook.LoadEnvironment("environments/staging.yaml", []byte(text), testCatalogue())
	if err != nil {
		t.Fatal(rendered(err))
	}
	return env
}

const staging = `targets:
  db:    {mysql: {address: "127.0.0.1:3306", user: ops, password: "${{ secrets.DB_PASSWORD }}", database: numbering, timeout: 5s}}
  local: {sqlite: {file: ./a.db}}
secrets:
  DB_PASSWORD: {env: DB_PASSWORD}
  TWO: {command: [pass, show, x], in_plan: true}
  THREE: {command: "pass show x"}
  FOUR: {age: a.age, identity: key.txt}
`

func TestEnvironmentSaysWhereTargetsAre(t *testing.T) {
	env := environment(t, staging)
	if env.Name != "staging" || len(env.Digest) != 64 || env.Secrets["TWO"].Command[1] != "show" || !env.Secrets["TWO"].InPlan ||
		env.Secrets["THREE"].Shell != "pass show x" || env.Secrets["FOUR"].Identity != "key.txt" || env.Secrets["DB_PASSWORD"].Env != "DB_PASSWORD" {
		t.Errorf("%+v", env)
	}
	pb, err := playbook.Load("test.yaml", []byte("playbook: test\ntargets: {db: sql, local: sqlite}\nsteps:\n  - {id: a, on: db, when: targets.db.user == 'ops', sql: {query: x}}\n"), testCatalogue(), env)
	if err != nil {
		t.Fatal(rendered(err))
	}
	typ, settings, err := playbook.ResolveTarget(pb.Targets[0], env, engine.Record{"DB_PASSWORD": engine.NewSecret("DB_PASSWORD", "geheim")})
	if err != nil || typ != "mysql" || settings["timeout"] != 5*time.Second {
		t.Fatalf("%v %v %v", typ, settings, err)
	}
	if s := settings["password"].(engine.Secret); s.Reveal() != "geheim" {
		t.Error(s.Reveal())
	}
	if _, _, err := playbook.ResolveTarget(pb.Targets[0], env, nil); err == nil {
		t.Error("a secret that is not there is accepted")
	}
	other := pb.Targets[1]
	other.Name = "db"
	if _, _, err := playbook.ResolveTarget(other, env, nil); err == nil || !strings.Contains(err.Error(), "sqlite in the playbook and mysql in the environment staging") {
		t.Error(err)
	}
	other.Name = "nowhere"
	if _, _, err := playbook.ResolveTarget(other, env, nil); err == nil || !strings.Contains(err.Error(), "does not say where the target nowhere is") {
		t.Error(err)
	}
	if _, _, err := playbook.ResolveTarget(pb.Targets[0], nil, nil); err == nil || !strings.Contains(err.Error(), "--env") {
		t.Error(err)
	}
}

func TestATargetInThePlaybookNeedsNoEnvironment(t *testing.T) {
	pb := load(t, "playbook: test\ntargets: {db: {sqlite: {file: a.db}}}\nsteps:\n  - {id: a, sql: {query: x}}\n")
	typ, settings, err := playbook.ResolveTarget(pb.Targets[0], nil, nil)
	if err != nil || typ != "sqlite" || settings["file"] != "a.db" {
		t.Errorf("%v %v %v", typ, settings, err)
	}
}

const inputsPlaybook = `playbook: test
inputs:
  type: {type: string, pattern: "^[A-Z]{2,5}$", description: "Document type, such as COR"}
  factor: {type: integer, default: 10, min: 2, max: 100}
  share: {type: number, default: 0.8}
  sure: {type: boolean, required: false}
  pause: {type: duration, default: 1m, max: 1h}
  limit: {type: size, default: 64k}
  mode: {type: enum, values: [fast, slow], default: slow}
  hosts: {type: list, items: string, default: [a]}
  ports: {type: list, items: integer, required: false}
  place: {type: record, fields: {city: string, n: integer}, required: false}
  token: {type: secret, required: false, pattern: "^.{4,}$"}
steps:
  - id: a
    exec:
      argv: ["${{ inputs.type }}"]
      stdin: ${{ inputs.factor }} ${{ inputs.share }} ${{ inputs.sure }} ${{ inputs.pause }} ${{ inputs.limit }} ${{ inputs.mode }} ${{ toJSON([inputs.hosts, inputs.ports, inputs.place]) }}
      env: {T: "${{ inputs.token }}"}
`

func TestInputs(t *testing.T) {
	pb := load(t, inputsPlaybook)
	for name, c := range map[string]struct {
		given map[string]any
		want  string
	}{
		"defaults": {map[string]any{"type": "COR"},
			`{"factor":10,"hosts":["a"],"limit":65536,"mode":"slow","pause":{"$duration":"1m0s"},"share":0.8,"type":"COR"}`},
		"texts of the command line": {map[string]any{"type": "AB", "factor": "7", "share": "0.25", "sure": "true", "pause": "90s", "limit": "2MiB", "mode": "fast",
			"hosts": "x, y", "ports": "[1, 2]", "place": "{city: Bern, n: 3}", "token": "geheim"},
			`{"factor":7,"hosts":["x","y"],"limit":2097152,"mode":"fast","pause":{"$duration":"1m30s"},"place":{"city":"Bern","n":3},"ports":[1,2],"share":0.25,"sure":true,"token":{"$secret":"token"},"type":"AB"}`},
		"values of a file": {map[string]any{"type": "AB", "factor": int64(7), "share": 1.5, "sure": false, "limit": int64(5), "ports": []any{int64(3)}, "place": map[string]any{"city": "Bern", "n": int64(3)}},
			`{"factor":7,"hosts":["a"],"limit":5,"mode":"slow","pause":{"$duration":"1m0s"},"place":{"city":"Bern","n":3},"ports":[3],"share":1.5,"sure":false,"type":"AB"}`},
	} {
		in, err := playbook.ParseInputs(pb, c.given)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := engine.AppendValue(nil, in); err != nil || string(got) != c.want {
			t.Errorf("%s: %s (%v)\nwant %s", name, got, err, c.want)
		}
		if s, ok := in["token"].(engine.Secret); ok && s.Reveal() != "geheim" {
			t.Error("the secret has lost its value")
		}
	}
}

func TestWrongInputsAreAllReported(t *testing.T) {
	pb := load(t, inputsPlaybook)
	_, err := playbook.ParseInputs(pb, map[string]any{"factor": "101", "share": "lots", "sure": "yes", "pause": "2h", "limit": "2kb", "mode": "slwo",
		"hosts": int64(5), "ports": "a,b", "place": "{city: Bern}", "token": "abc", "tpye": "COR"})
	want := []string{
		"test.yaml:3:3: input type is missing: give it with -i type=…",
		"test.yaml:4:3: input factor is 101, more than the maximum 100",
		`test.yaml:5:3: input share must be a number, not "lots"`,
		`test.yaml:6:3: input sure must be true or false, not "yes"`,
		"test.yaml:7:3: input pause is 2h0m0s, more than the maximum 1h0m0s",
		`test.yaml:8:3: input limit must be a size such as 512, 64k or 2MiB, not "2kb"`,
		`test.yaml:9:3: input mode must be one of fast, slow, not "slwo"`,
		"test.yaml:10:3: input hosts must be a list, not an integer",
		`test.yaml:11:3: input ports must be a list, not "a,b"`,
		`test.yaml:12:3: input place must be a mapping, not "{city: Bern}"`,
		"test.yaml:13:3: input token does not match ^.{4,}$",
		"the playbook test has no input tpye",
	}
	var got []string
	for _, d := range playbook.Diagnostics(err) {
		got = append(got, d.Error())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
	for _, d := range playbook.Diagnostics(err) {
		if strings.Contains(d.Render(), "abc") {
			t.Error("a secret is shown")
		}
	}
}

func TestAFileOfInputsIsAsStrictAsAPlaybook(t *testing.T) {
	given, err := playbook.DecodeInputsFile("in.yaml", []byte("type: COR\nfactor: 5\nhosts: [a, b]\n"))
	if err != nil || given["factor"] != int64(5) || given["type"] != "COR" {
		t.Errorf("%v %v", given, err)
	}
	for _, bad := range []string{"a: 1\na: 2\n", "a: 012\n", "- a\n", "", "a: &x 1\nb: *x\n", "a: [\n"} {
		if _, err := playbook.DecodeInputsFile("in.yaml", []byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestLargeAndHostileFilesAreRefused(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for i := 'b'; i < 'k'; i++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"10 MB":         {bytes.Repeat([]byte("# playbook\n"), 1<<20), "the file is larger than 1 MiB"},
		"alias bomb":    {[]byte(bomb), "an anchor cannot be used here"},
		"deep flow":     {[]byte("playbook: test\nsteps: " + strings.Repeat("[", 60000)), "this is not YAML"},
		"deep closed":   {[]byte("playbook: test\nvars: {a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}\nsteps: [{id: a, wait: {for: 1s}}]\n"), "nested more than 64 deep"},
		"many nodes":    {[]byte("playbook: test\nvars: {a: [" + strings.Repeat("1,", 260_000) + "]}\nsteps: [{id: a, wait: {for: 1s}}]\n"), "more than 250000 values"},
		"many mistakes": {[]byte("playbook: test\nsteps:\n" + strings.Repeat("  - {id: a, nope: 1}\n", 1000)), "mistakes"},
		"UTF-16":        {[]byte("\xff\xfep\x00l\x00"), "not UTF-8"},
		"NUL":           {[]byte("playbook: a\x00b\n"), "control characters are not allowed"},
	} {
		_, err := playbook.Load("test.yaml", c.text, testCatalogue(), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.300v", name, err)
		}
		if n := len(playbook.Diagnostics(err)); n > 101 {
			t.Errorf("%s: %d mistakes are reported", name, n)
		}
	}
}

func TestAByteOrderMarkAndOtherLineEndsDoNoHarm(t *testing.T) {
	text := "\ufeffplaybook: test\r\nsteps:\r\n  - {id: a, wait: {for: 1s}}\r\n  - {id: b, wiat: {for: 1s}}\r\n"
	_, err := playbook.Load("test.yaml", []byte(text), testCatalogue(), nil)
	all := playbook.Diagnostics(err)
	if len(all) != 1 || all[0].Pos.Line != 4 || all[0].Pos.Column != 13 || strings.Contains(all[0].Source, "\r") {
		t.Errorf("%s", rendered(err))
	}
}

func TestUnknownPassesThroughTemplates(t *testing.T) {
	s := stepsOf(t, "  - {id: a, sql: {query: x, args: {v: \"n ${{ run.id }}\"}}}\n")
	_, err := s[0].Params.Render(engine.FixedScope(engine.Record{"run": engine.Unknown{After: "x"}}))
	var unknown engine.Unknown
	if !errors.As(err, &unknown) || unknown.After != "x" {
		t.Error(err)
	}
}

func TestKindsPageNamesEveryParameter(t *testing.T) {
	page := string(playbook.KindsMarkdown(testCatalogue()))
	for _, k := range testCatalogue().Kinds() {
		for _, o := range k.Operations {
			for _, f := range o.Params.Fields {
				if !strings.Contains(page, "| `"+f.Name+"` |") {
					t.Errorf("%s.%s: %s is not on the page", k.Name, o.Name, f.Name)
				}
			}
		}
	}
}

func TestACatalogueThatContradictsItselfIsRefused(t *testing.T) {
	good := waitKind()
	for name, change := range map[string]func(k *engine.Kind){
		"name of a step key": func(k *engine.Kind) { k.Name = "retry" },
		"no operations":      func(k *engine.Kind) { k.Operations = nil },
		"no class":           func(k *engine.Kind) { k.Operations[0].Class = engine.ClassUnset },
		"key is no param":    func(k *engine.Kind) { k.Operations[0].Key = "nope" },
		"no key":             func(k *engine.Kind) { k.Operations[0].Key = "" },
		"inline is no param": func(k *engine.Kind) { k.Operations[0].Inline = "nope" },
	} {
		k := good
		k.Operations = append([]engine.Operation(nil), good.Operations...)
		change(&k)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			playbook.NewCatalogue([]engine.Kind{k})
		}()
	}
}
