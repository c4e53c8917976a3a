package engine

import "fmt"

// names answers an expression that stands in a node.
type names struct {
	r *Run
	f *frame
}

func (r *Run) scopeAt(f *frame) Scope { return Scope{roots: names{r, f}} }

func (n names) root(name string) (v Value, found bool, err error) {
	for f := n.f; f != nil; f = f.parent {
		if v, ok := f.locals[name]; ok {
			return v, true, nil
		}
	}
	p := n.r.playAt(n.f)
	switch name {
	case "inputs":
		v, err = n.r.inputsOf(p)
	case "vars":
		v, err = n.r.varsOf(p)
	case "secrets":
		v = n.r.secrets
	case "targets":
		v = n.r.targetsOf(p)
	case "run":
		v = n.r.facts(p)
	default:
		return nil, false, nil
	}
	return v, true, err
}

// facts are what `run` is in an expression: the one run, as the playbook at hand sees it. The start is told
// in its zone.
func (r *Run) facts(p *play) Record {
	started := r.start.Started
	if p.pb.Timezone != nil {
		started = started.In(p.pb.Timezone)
	}
	facts := Record{"id": r.start.Run, "started": started, "playbook": p.pb.Name}
	if r.timeless {
		facts["started"] = Unknown{After: TrustedRun}
	}
	return facts
}

// step finds the instance of a step that an expression means: the one in the same iteration, else the
// one in the iteration around it.
func (n names) step(id string) (Record, error) {
	for f := n.f; f != nil; f = f.parent {
		if x := n.r.nodes[f.prefix+id]; x != nil {
			return n.r.recordOf(x)
		}
	}
	if n.r.idsOf(n.r.playAt(n.f).pb)[id] {
		return Record{"state": Pending.String()}, nil // so that an `always` can ask how far the run came
	}
	return nil, fmt.Errorf("step %s has not run", id)
}

// recordOf is what steps.<id> is: the result, with the step's state. A loop gives its instances as
// `items`, each with its key, its state and its result.
func (r *Run) recordOf(n *node) (Record, error) {
	if n.said != nil && n.said.known != "" {
		return nil, Unknown{After: n.said.known}
	}
	if !n.closed() && n.role == roleLeaf {
		return nil, fmt.Errorf("step %s has not ended", n.path)
	}
	result := n.result
	if n.said != nil && n.said.withheld && result == nil && n.state != Failed {
		if n.def.Nested == nil {
			return nil, fmt.Errorf("the result of step %s is sensitive and was not stored; run the playbook anew, or take `sensitive` away", n.path)
		}
		var err error
		if result, err = r.outputsOf(n.inside()); err != nil {
			return nil, err
		}
	}
	out := make(Record, len(result)+1)
	for k, v := range result {
		out[k] = v
	}
	out["state"] = n.state.String()
	if n.role != roleEach || n.group == nil {
		return out, nil
	}
	items := make(List, 0, len(n.group.all))
	for i, c := range n.group.all {
		item, err := r.recordOf(c)
		if err != nil {
			return nil, err
		}
		item["key"] = n.group.keys[i]
		items = append(items, item)
	}
	out["items"] = items
	return out, nil
}
