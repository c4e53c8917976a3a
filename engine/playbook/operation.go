package playbook

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// chosen is an operation with its parameters.
type chosen struct {
	op     *engine.Operation
	params engine.Template
	class  engine.Class
	risk   engine.Risk
	judged bool // the class is what the operation says of these parameters
	each   bool // it acts on several nodes
}

// tested is the shape of what `expect` is asked of.
func (c *chosen) tested() engine.Shape {
	if c.each {
		return c.op.NodeShape()
	}
	return c.op.Result
}

// fullName is kind.operation, or the kind alone where it has but one.
func fullName(kind string, op *engine.Operation) string {
	if op.Key == "" {
		return kind
	}
	return kind + "." + op.Name
}

// operation reads what stands behind the name of a kind.
// It acts on the target of that name, and wipes it as the step says.
func (l *loader) operation(k *engine.Kind, e *field, target string, wipes bool, names *names) *chosen {
	op := l.choose(k, e)
	if op == nil {
		l.skipped = true
		return nil
	}
	before := len(l.found) + l.more
	what := fullName(k.Name, op)
	var list []engine.FieldTemplate
	if n := e.value; n.Kind != yaml.MappingNode && op.Inline != "" {
		f, _ := op.Params.FieldNamed(op.Inline)
		shape := f.Shape
		shape.Literal = shape.Literal || op.Params.Literal
		list = []engine.FieldTemplate{{Name: op.Inline, Value: l.value(n, shape, op.Inline, place{names: names})}}
		for _, other := range op.Params.Fields {
			if other.Required && other.Name != op.Inline {
				l.node(n, "write it as a mapping", "%s needs %s", what, other.Name)
			}
		}
	} else {
		list, _ = l.recordFields(n, op.Params, what, place{names: names})
	}
	if list == nil {
		list = []engine.FieldTemplate{}
	}
	c := &chosen{op: op, params: engine.Template{Fields: list}, class: op.Class, risk: op.Risk}
	if len(l.found)+l.more == before { // a mistake that is known already is not judged again
		l.judge(c, e.value, target, wipes)
	}
	return c
}

// choose finds the operation by the key that is there.
func (l *loader) choose(k *engine.Kind, e *field) *engine.Operation {
	n := e.value
	if isNull(n) {
		l.node(e.key, "it takes one of: "+strings.Join(operationKeys(k), ", "), "%s says nothing", k.Name)
		return nil
	}
	if n.Kind != yaml.MappingNode {
		for i := range k.Operations {
			if k.Operations[i].Inline != "" {
				return &k.Operations[i]
			}
		}
	}
	if len(k.Operations) == 1 && k.Operations[0].Key == "" {
		return &k.Operations[0]
	}
	f, ok := l.entries(n, k.Name)
	if !ok {
		return nil
	}
	var found []*engine.Operation
	for i := range k.Operations {
		if o := &k.Operations[i]; f.get(o.Key) != nil {
			found = append(found, o)
		}
	}
	if len(found) > 1 {
		found = ownersOf(found)
	}
	switch len(found) {
	case 1:
		return found[0]
	case 0:
		l.noOperation(k, e, f)
	default:
		for _, x := range f.list {
			if x.key.Value == found[1].Key {
				l.node(x.key, "make two steps of it", "%s does one thing; this has %s and %s", k.Name, found[0].Key, found[1].Key)
			}
		}
	}
	return nil
}

// ownersOf keeps the operations for which the keys of all the others are parameters: `export` takes a
// `query`, but `query` takes no `export`.
func ownersOf(found []*engine.Operation) []*engine.Operation {
	var owners []*engine.Operation
	for _, o := range found {
		all := true
		for _, other := range found {
			_, has := o.Params.FieldNamed(other.Key)
			all = all && has
		}
		if all {
			owners = append(owners, o)
		}
	}
	if len(owners) == 0 {
		return found
	}
	return owners
}

func (l *loader) noOperation(k *engine.Kind, e *field, f fields) {
	keys := operationKeys(k)
	for _, x := range f.list {
		if near, ok := expression.Nearest(x.key.Value, keys); ok {
			l.node(x.key, "did you mean "+near+"?", "%s has no operation %s", k.Name, x.key.Value)
			return
		}
	}
	if len(f.list) == 1 {
		l.node(f.list[0].key, "its operations are: "+strings.Join(keys, ", "), "%s has no operation %s", k.Name, f.list[0].key.Value)
		return
	}
	l.node(e.key, "its operations are: "+strings.Join(keys, ", "), "it is not said what %s is to do", k.Name)
}

func operationKeys(k *engine.Kind) []string {
	var keys []string
	for _, o := range k.Operations {
		if o.Key != "" {
			keys = append(keys, o.Key)
		} else {
			keys = append(keys, fieldNames(o.Params)...)
		}
	}
	return keys
}

// judge asks the operation what it thinks of its parameters as far as they are known.
func (l *loader) judge(c *chosen, n *yaml.Node, target string, wipes bool) {
	if c.op.Judge == nil {
		return
	}
	known, _ := c.params.Outline().(engine.Record)
	proposal := engine.Proposal{Params: known, On: target, Wipes: wipes}
	if t, ok := l.targets[target]; ok {
		proposal.Target = t.typ
	}
	j := c.op.Judge(proposal)
	for _, r := range j.Remarks {
		l.remark(r, locate(n, r.Path, c.op.Inline))
	}
	if j.Class != engine.ClassUnset {
		c.class, c.judged = j.Class, true
	}
	// An operation that only finds problems leaves the risk at its zero value, which no writing
	// operation means.
	if j.Risk != engine.RiskReads || c.class == engine.ClassRead {
		c.risk = j.Risk
	}
	c.each = j.Each
	for _, p := range j.Problems {
		at := locate(n, p.Path, c.op.Inline)
		if at.Kind == yaml.ScalarNode && p.Offset > 0 {
			l.within(at, p.Offset, 1, "", "%s", p.Message)
			continue
		}
		if at.Kind == yaml.ScalarNode && at.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			l.within(at, 0, 1, "", "%s", p.Message)
			continue
		}
		l.node(at, "", "%s", p.Message)
	}
}

// remark notes a trap that an operation sees in its parameters.
func (l *loader) remark(r engine.Remark, at *yaml.Node) {
	f := engine.Finding{Rule: r.Rule, Step: l.acting, Message: r.Message}
	offset := l.src.start(at)
	if back := l.src.scalarMap(at); r.Offset < len(back) && r.Offset >= 0 {
		offset = back[r.Offset]
	}
	f.Pos.File = l.src.file
	f.Pos.Line, f.Pos.Column = l.src.place(offset)
	l.remarks = append(l.remarks, f)
}

// locate follows a path such as transaction[2].exec as far as it leads.
func locate(n *yaml.Node, path, inline string) *yaml.Node {
	if n.Kind != yaml.MappingNode && inline != "" {
		path = strings.TrimPrefix(path, inline)
	}
	for path != "" {
		path = strings.TrimPrefix(path, ".")
		if index, rest, ok := cutIndex(path); ok {
			if n.Kind != yaml.SequenceNode {
				if index == 0 { // a single value in the place of a list
					path = rest
					continue
				}
				return n
			}
			if index >= len(n.Content) {
				return n
			}
			n, path = n.Content[index], rest
			continue
		}
		name := path
		if end := strings.IndexAny(path, ".["); end >= 0 {
			name = path[:end]
		}
		next := (*yaml.Node)(nil)
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == path { // a name with a dot in it
					name = path
				}
				if n.Content[i].Value == name {
					next = n.Content[i+1]
				}
			}
		}
		if next == nil {
			return n
		}
		n, path = next, path[len(name):]
	}
	return n
}

// cutIndex takes [i] from the front of a path.
func cutIndex(path string) (index int, rest string, ok bool) {
	if !strings.HasPrefix(path, "[") {
		return 0, path, false
	}
	end := strings.IndexByte(path, ']')
	if end < 0 {
		return 0, path, false
	}
	i, err := strconv.Atoi(path[1:end])
	if err != nil || i < 0 {
		return 0, path, false
	}
	return i, path[end+1:], true
}

// probe reads a question: one operation that only reads, and what is expected of it.
func (l *loader) probe(n *yaml.Node, what string, outer *names) *engine.Probe {
	if outer == nil {
		l.node(n, "", "no probe can stand in %s", what)
		return nil
	}
	f, ok := l.entries(n, "a probe of "+what)
	if !ok {
		return nil
	}
	var kind *field
	known := true // every key
	kinds := l.cat.kindNames()
	for i, e := range f.list {
		switch {
		case contains(kinds, e.key.Value) && kind == nil:
			kind = &f.list[i]
		case contains(kinds, e.key.Value):
			l.node(e.key, "make two probes of it", "a probe asks one thing; this one has %s and %s", kind.key.Value, e.key.Value)
		case !contains(probeKeys(), e.key.Value):
			known = false
			l.unknownKey(e.key, "a probe", append(append([]string(nil), kinds...), probeKeys()...))
		}
	}
	if kind == nil {
		if known && f.get("expect") != nil {
			return l.claim(n, f, what, outer)
		}
		l.skipped = true
		if known {
			l.node(n, "give it one of: "+strings.Join(kinds, ", ")+"; or an expect over what is known already", "the probe asks nothing")
		}
		return nil
	}
	k := l.cat.byName[kind.key.Value]
	target := l.targetOf(f.get("on"), k, kind.key)
	p := &engine.Probe{Kind: k.Name, Pos: l.posOf(n), Target: l.targets[target].run}
	c := l.operation(k, kind, target, false, outer)
	if c == nil {
		return p
	}
	p.Op, p.Params = c.op.Name, c.params
	l.mustRead(f.get("effect"), kind, c)
	l.probeTests(f, p, c, outer)
	return p
}

// claim reads a probe without an operation: it is about what earlier steps have brought back.
func (l *loader) claim(n *yaml.Node, f fields, what string, outer *names) *engine.Probe {
	p := &engine.Probe{Pos: l.posOf(n)}
	if strings.HasPrefix(what, "until[") {
		l.node(n, "give it an operation that looks again each time", "what is known already does not change while it is waited for")
	}
	for _, key := range []string{"on", "effect", "fails"} {
		if v := f.get(key); v != nil {
			l.node(v, "", "%s goes with an operation; this probe asks nothing of a target", key)
		}
	}
	l.probeTests(f, p, &chosen{op: &engine.Operation{Result: engine.RecordOf()}}, outer)
	return p
}

func probeKeys() []string { return []string{"on", "expect", "tolerate", "fails", "message", "effect"} }

// mustRead refuses what is not known to read, unless the author vouches for it.
func (l *loader) mustRead(effect *yaml.Node, kind *field, c *chosen) {
	class := c.class
	if effect != nil {
		class = l.effect(effect, c)
	}
	if class == engine.ClassRead {
		return
	}
	remedy := ""
	if class == engine.ClassUnrepeatable {
		remedy = "if it changes nothing, say so: effect: read"
	}
	l.node(kind.key, remedy, "a probe only reads; %s is %s", fullName(kind.key.Value, c.op), class)
}

func (l *loader) probeTests(f fields, p *engine.Probe, c *chosen, outer *names) {
	p.Each = c.each
	in := outer.narrowed(seeForTests).with(c.tested())
	if n := f.get("expect"); n != nil {
		in.where = "expect"
		p.Expect = l.condition(n, "expect", in)
	}
	if n := f.get("tolerate"); n != nil {
		in.where = "tolerate"
		p.Tolerate = l.condition(n, "tolerate", in)
		if f.get("expect") == nil {
			l.node(n, "", "tolerate goes with expect only")
		}
	}
	shape := c.op.ResultShape(c.each)
	if p.Kind != "" {
		if p.Fails = l.fails(f, c, in, "expect", "tolerate"); p.Fails != nil {
			shape = engine.FailureShape()
		}
	}
	if n := f.get("message"); n != nil {
		in = outer.narrowed(seeForTests).with(shape)
		in.where = "message"
		t := l.value(n, engine.Of(engine.TypeText), "message", place{names: in})
		p.Message = &t
	}
}
