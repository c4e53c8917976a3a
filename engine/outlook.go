package engine

// Lack is something that an operation would miss if it were executed now: a table, a right, a program, room on
// a disk.
type Lack struct {
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
	// Lasting: no step before can be expected to put it right. A table or a container may be made by an earlier step; a
	// right, a program or room on a disk is there or it is not.
	Lasting bool `json:"-"`
	// Unsure: a run need not fail by it; it could not be found out, or it matters only to some of what steps do.
	Unsure bool `json:"-"`
}

// Outlook is one operation of a playbook, of a step or of a probe, before any run.
type Outlook struct {
	Call // the parameters as far as they are known; the rest is [Unknown]
	Pos  Pos
}

// EachOutlook calls f for every operation that the steps of the playbook and their probes name, `undo` and `always`
// included, in the order of the file, whether or not a run would come there. known holds what names at the head of an expression give: inputs,
// targets, run, secrets. What is not in it is not known.
func (p *Playbook) EachOutlook(known Record, f func(Outlook)) {
	outlooks{f}.playbook(p, known, "")
}

type outlooks struct{ f func(Outlook) }

// playbook looks at one playbook: the whole, or one that a step runs.
func (o outlooks) playbook(p *Playbook, known Record, prefix string) {
	seen, vars := Record{}, Record{}
	for name, v := range known {
		seen[name] = v
	}
	seen["vars"] = vars // in the place of those around it
	scope := Scope{roots: partly(seen)}
	for _, v := range p.Vars {
		vars[v.Name] = glimpse(v.Value, scope)
	}
	o.steps(p.Steps, scope, seen, prefix)
	o.steps(p.Always, scope, seen, prefix)
}

func (o outlooks) steps(list []*Step, scope Scope, known Record, prefix string) {
	for _, s := range list {
		switch {
		case s.Nested != nil:
			o.nested(s, scope, known, prefix)
		case s.Group != NoGroup:
			o.steps(s.Steps, scope, known, prefix)
			o.steps(s.Always, scope, known, prefix)
		default:
			o.act(s, scope, prefix)
		}
		o.steps(s.Undo, scope, known, prefix)
	}
}

func (o outlooks) nested(s *Step, scope Scope, known Record, prefix string) {
	given := Record{}
	for _, in := range s.Nested.Inputs {
		given[in.Name] = glimpse(in.Value, scope)
	}
	if accepted, err := s.Nested.Accept(given); err == nil { // what is wrong with them, a run says
		given = accepted
	}
	inner := Record{}
	for name, v := range known {
		inner[name] = v
	}
	inner["inputs"], inner["targets"] = given, Unknown{}
	if outside, ok := known["targets"].(Record); ok {
		own := Record{}
		for name, of := range s.Nested.Targets {
			if t, ok := outside[of]; ok {
				own[name] = t
			}
		}
		inner["targets"] = own
	}
	o.playbook(s.Nested.Playbook, inner, prefix+s.ID+"/")
}

// act tells of the operation of a step, and of those of the probes that it asks.
func (o outlooks) act(s *Step, scope Scope, prefix string) {
	path := prefix + s.ID
	for _, p := range s.DoneIf {
		o.probe(p, scope, path)
	}
	params, _ := glimpse(s.Params, scope).(Record)
	eachProbe(s.Params, func(p *Probe) { o.probe(p, scope, path) })
	if s.Fails != nil { // what it lacks is what it is about
		return
	}
	o.f(Outlook{Pos: s.Pos, Call: Call{
		Step: path, ID: s.ID, Title: s.Title, Kind: s.Kind, Operation: s.Operation.Name, Target: s.Target, Params: params,
		Class: s.Class, Timeout: s.Timeout, Wipes: s.Wipes, Sensitive: s.Sensitive,
	}})
}

func (o outlooks) probe(p *Probe, scope Scope, path string) {
	if p.Kind == "" || p.Fails != nil { // it is about what the run knows, or what it lacks is what it is about
		return
	}
	eachProbe(p.Params, func(inner *Probe) { o.probe(inner, scope, path) })
	params, _ := glimpse(p.Params, scope).(Record)
	o.f(Outlook{Pos: p.Pos, Call: Call{
		Step: path, Kind: p.Kind, Operation: p.Op, Target: p.Target, Params: params, Class: ClassRead,
	}})
}

// eachProbe finds the probes in parameters.
func eachProbe(t Template, f func(*Probe)) {
	if t.Probe != nil {
		f(t.Probe)
	}
	for _, e := range t.List {
		eachProbe(e, f)
	}
	for _, e := range t.Fields {
		eachProbe(e.Value, f)
	}
}

// glimpse renders what can be rendered, and puts [Unknown] for the rest. A probe stays unknown: it is looked at by
// itself.
func glimpse(t Template, s Scope) Value {
	switch {
	case t.List != nil:
		out := make(List, len(t.List))
		for i, e := range t.List {
			out[i] = glimpse(e, s)
		}
		return out
	case t.Fields != nil:
		out := make(Record, len(t.Fields))
		for _, f := range t.Fields {
			out[f.Name] = glimpse(f.Value, s)
		}
		return out
	case t.Probe != nil:
		return Unknown{}
	}
	v, err := t.Render(s)
	if err != nil {
		return Unknown{}
	}
	return v
}

// partly answers with what is given, and with [Unknown] for the rest.
type partly Record

func (p partly) root(name string) (Value, bool, error) {
	if v, ok := p[name]; ok {
		return v, true, nil
	}
	return Unknown{}, true, nil
}

func (partly) step(string) (Record, error) { return nil, Unknown{} }
