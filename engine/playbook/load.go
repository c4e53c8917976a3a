package playbook

import (
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// loader is the work on one file.
type loader struct {
	*document
	cat      *Catalogue
	env      *Environment
	compiler *expression.Compiler

	digest      string
	inputs      map[string]*inputInfo
	vars        map[string]engine.Shape
	varNames    []string
	targets     map[string]targetInfo
	ids         map[string]idInfo
	declared    map[string]SecretSource // nil: not known
	usedSecrets map[string]engine.Pos   // nil: nobody asks
	current     *yaml.Node              // the scalar that is being compiled
	acting      *engine.Step            // the step that is being read
	remarks     []engine.Finding

	tree          *tree              // nil: the playbook can run no other
	chain         []string           // the files of the playbooks that run each other, down to this one
	outer         *binding           // of a playbook that another one runs
	nestedTargets []engine.TargetUse // of the playbooks that this one runs
	skipped       bool               // a step or probe could not be read as far as its expressions
}

type inputInfo struct {
	decl *engine.Input
	key  *yaml.Node
	used bool
}

var snake = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Load reads a playbook that runs no other. With an environment it is held against that one; without, a
// target's type is what the playbook says. The error holds every mistake; see [Diagnostics].
func Load(file string, src []byte, cat *Catalogue, env *Environment) (*engine.Playbook, error) {
	return LoadTree(file, src, cat, env, nil)
}

func newLoader(file string, src []byte, cat *Catalogue, env *Environment) *loader {
	l := &loader{
		document: read(file, src), cat: cat, env: env, usedSecrets: map[string]engine.Pos{},
		inputs: map[string]*inputInfo{}, vars: map[string]engine.Shape{}, targets: map[string]targetInfo{}, ids: map[string]idInfo{},
	}
	if env != nil {
		l.declared = env.Secrets
	}
	l.digest = engine.Digest(string(src))
	return l
}

// load reads the playbook; what is wrong with it is in the report.
func (l *loader) load() *engine.Playbook {
	pb := &engine.Playbook{File: l.src.file, Digest: l.digest, Secrets: l.usedSecrets}
	if l.root != nil {
		l.playbook(pb)
	}
	pb.Remarks = l.remarks
	pb.Targets = append(pb.Targets, l.nestedTargets...)
	return pb
}

// playbookKeys are the keys of a playbook, in the order of the documents.
func playbookKeys() []string {
	return []string{"playbook", "description", "timezone", "objectives", "inputs", "targets", "locks", "vars", "steps", "outputs", "always"}
}

func (l *loader) playbook(pb *engine.Playbook) {
	f, ok := l.mapping(l.root, "a playbook", playbookKeys())
	if !ok {
		return
	}
	l.head(pb, f)
	l.compiler = expression.NewCompiler(pb.Timezone)
	if n := f.get("inputs"); n != nil {
		pb.Inputs = l.inputDeclarations(n)
	}
	if n := f.get("targets"); n != nil {
		pb.Targets = l.targetUses(n)
	}
	if n := f.get("vars"); n != nil {
		pb.Vars = l.varTemplates(n)
	}
	steps, always := f.get("steps"), f.get("always")
	order := 0
	l.collectIDs(steps, nil, &order)
	l.collectIDs(always, nil, &order)
	top := &scope{}
	if steps == nil {
		l.node(l.root, "", "a playbook needs steps")
	} else if pb.Steps = l.steps(steps, "steps", top); len(pb.Steps) == 0 && !l.failed() {
		l.node(steps, "", "a playbook needs at least one step")
	}
	if n := f.get("outputs"); n != nil {
		pb.Outputs = l.outputs(n, top)
		l.ageIsATime(n, pb)
	}
	if always != nil {
		pb.Always = l.steps(always, "always", top.child())
	}
	for _, in := range l.inputs {
		// What could not be read may have used it.
		if !in.used && !(l.skipped && strings.Contains(l.src.text, "inputs."+in.key.Value)) {
			l.node(in.key, "use it as inputs."+in.key.Value+", or take it away", "the input %s is not used", in.key.Value)
		}
	}
}

// head reads what stands before the inputs.
func (l *loader) head(pb *engine.Playbook, f fields) {
	if n := f.get("playbook"); n == nil {
		l.node(l.root, "begin with `playbook: "+stem(l.src.file)+"`", "the playbook has no name")
	} else if pb.Name = l.plainText(n, "playbook"); pb.Name != "" {
		l.checkName(n, pb.Name)
	}
	if l.tree != nil && l.outer == nil {
		l.tree.files[pb.Name] = l.src.file
	}
	if n := f.get("description"); n != nil {
		pb.Description = l.plainText(n, "description")
	}
	if n := f.get("timezone"); n != nil {
		pb.Timezone = l.timezone(n)
	}
	if n := f.get("objectives"); n != nil {
		if o, ok := l.mapping(n, "objectives", []string{"rto", "rpo"}); ok {
			pb.Objectives = engine.Objectives{RTO: l.duration(o.get("rto"), "rto"), RPO: l.duration(o.get("rpo"), "rpo")}
		}
	}
	if n := f.get("locks"); n != nil {
		pb.Locks = l.words(n, "locks", lockForm, "a lock")
	}
}

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	lockForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
	secretForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func stem(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func (l *loader) checkName(n *yaml.Node, name string) {
	if !nameForm.MatchString(name) {
		l.node(n, "use small letters, digits and -", "%q cannot be the name of a playbook", name)
		return
	}
	if ext := filepath.Ext(l.src.file); (ext == ".yaml" || ext == ".yml") && stem(l.src.file) != name {
		l.node(n, "call the playbook "+stem(l.src.file)+", or the file "+name+ext, "the playbook %s is in a file of another name", name)
	}
}

func (l *loader) timezone(n *yaml.Node) *time.Location {
	name := l.plainText(n, "timezone")
	if name == "" {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		l.node(n, "zones are named as in Asia/Bangkok", "there is no time zone %q", name)
		return nil
	}
	return zone
}

// plainText reads a text without expressions.
func (l *loader) plainText(n *yaml.Node, what string) string {
	v, _ := l.value(n, engine.Of(engine.TypeText), what, place{}).Literal.(string)
	return v
}

// duration reads a duration without expressions; 0 if it is not given.
func (l *loader) duration(n *yaml.Node, what string) time.Duration {
	if n == nil {
		return 0
	}
	d, ok := l.value(n, engine.Of(engine.TypeDuration), what, place{}).Literal.(time.Duration)
	if ok && d == 0 {
		l.node(n, "leave it out if there is none", "%s is no time at all", what)
	}
	return d
}

func (l *loader) boolean(n *yaml.Node, what string) bool {
	if n == nil {
		return false
	}
	v, _ := l.value(n, engine.Of(engine.TypeBool), what, place{}).Literal.(bool)
	return v
}

// words reads a list of different names.
func (l *loader) words(n *yaml.Node, what string, form *regexp.Regexp, one string) []string {
	list, ok := l.sequence(n, what)
	if !ok {
		return nil
	}
	var out []string
	for _, e := range list {
		w := l.plainText(e, what)
		switch {
		case w == "":
		case !form.MatchString(w):
			l.node(e, "", "%q cannot be the name of %s", w, one)
		case contains(out, w):
			l.node(e, "", "%s is named twice", w)
		default:
			out = append(out, w)
		}
	}
	return out
}

// varTemplates reads vars. Each may use those before it.
func (l *loader) varTemplates(n *yaml.Node) []engine.FieldTemplate {
	f, ok := l.entries(n, "vars")
	if !ok {
		return nil
	}
	for _, e := range f.list {
		l.varNames = append(l.varNames, e.key.Value)
	}
	p := place{names: &names{l: l, sight: seeInputs | seeVars | seeTargets | seeRun, where: "vars"}}
	var out []engine.FieldTemplate
	for _, e := range f.list {
		if !snake.MatchString(e.key.Value) {
			l.node(e.key, "", "%q is not a name in snake_case", e.key.Value)
		}
		t, shape := l.shaped(e.value, e.key.Value, p)
		l.vars[e.key.Value] = shape
		out = append(out, engine.FieldTemplate{Name: e.key.Value, Value: t})
	}
	return out
}

// shaped reads a value of any shape and finds the shape that it has.
func (l *loader) shaped(n *yaml.Node, what string, p place) (engine.Template, engine.Shape) {
	if hasExpression(n) {
		return l.text(n, p)
	}
	t := l.value(n, engine.Shape{}, what, p)
	return t, literalShape(t)
}

// literalShape is the shape of a literal, as far as it helps to find mistakes.
func literalShape(t engine.Template) engine.Shape {
	if t.List != nil {
		return engine.Of(engine.TypeList)
	}
	if t.Fields != nil {
		s := engine.Shape{Type: engine.TypeRecord}
		for _, f := range t.Fields {
			s.Fields = append(s.Fields, engine.Field{Name: f.Name, Shape: literalShape(f.Value)})
		}
		return s
	}
	if !isLiteral(t) {
		return engine.Shape{}
	}
	switch x := t.Literal.(type) {
	case string:
		return engine.Of(engine.TypeText)
	case bool:
		return engine.Of(engine.TypeBool)
	case int64, uint64:
		return engine.Of(engine.TypeInteger)
	case float64, engine.Decimal:
		return engine.Of(engine.TypeNumber)
	case engine.List:
		if len(x) == 0 {
			return engine.Of(engine.TypeList)
		}
		elem := literalShape(engine.Template{Literal: x[0]})
		for _, e := range x[1:] {
			elem = expression.Unified(elem, literalShape(engine.Template{Literal: e}))
		}
		return engine.ListOf(elem)
	case engine.Record:
		s := engine.Shape{Type: engine.TypeRecord}
		for _, k := range engine.Keys(x) {
			s.Fields = append(s.Fields, engine.Field{Name: k, Shape: literalShape(engine.Template{Literal: x[k]})})
		}
		return s
	}
	return engine.Shape{}
}

func (l *loader) outputs(n *yaml.Node, top *scope) []engine.Output {
	f, ok := l.entries(n, "outputs")
	if !ok {
		return nil
	}
	var out []engine.Output
	for _, e := range f.list {
		if !snake.MatchString(e.key.Value) {
			l.node(e.key, "", "%q is not a name in snake_case", e.key.Value)
		}
		x, shape := l.bare(e.value, "the output "+e.key.Value, &names{l: l, sight: seeForTests, scope: top, where: "outputs"})
		if x == nil {
			continue
		}
		if shape.Type == engine.TypeSecret {
			l.node(e.value, "", "the output %s is a secret; outputs are shown and recorded", e.key.Value)
		}
		out = append(out, engine.Output{Name: e.key.Value, Expr: x, Shape: shape})
	}
	return out
}

// ageIsATime: the output data_at is of when the data is that a playbook with an RPO has brought back, and is held against it.
func (l *loader) ageIsATime(n *yaml.Node, pb *engine.Playbook) {
	if pb.Objectives.RPO == 0 {
		return
	}
	for _, o := range pb.Outputs {
		if o.Name == "data_at" && o.Shape.Type != engine.TypeTime && o.Shape.Type != engine.TypeAny {
			l.node(n, "give a time; date(text) makes one of a text", "the output data_at is of when the restored data is, for the RPO; it is a %s and must be a time", o.Shape.Type)
		}
	}
}

// posOf is the place of a node for what is loaded.
func (l *loader) posOf(n *yaml.Node) engine.Pos {
	if n == nil {
		return engine.Pos{File: l.src.file}
	}
	return engine.Pos{File: l.src.file, Line: n.Line, Column: n.Column}
}

// width is how many characters a key has.
func width(n *yaml.Node) int { return utf8.RuneCountInString(n.Value) }
