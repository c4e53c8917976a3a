package engine

import "fmt"

// NodesField is where an operation that acts on several nodes of its target puts what each of them
// brought back, and NodeField is the name of the node in each.
const (
	NodesField = "nodes"
	NodeField  = "node"
)

// ResultShape is the shape of what the operation brings back, from one node or from several.
func (o Operation) ResultShape(each bool) Shape {
	if !each {
		return o.Result
	}
	return RecordOf(Field{Name: NodesField, Doc: "what each node brought back", Shape: ListOf(o.NodeShape()), Required: true})
}

// NodeShape is the shape of what one of several nodes brings back.
func (o Operation) NodeShape() Shape {
	one := o.Result
	fields := []Field{{Name: NodeField, Doc: "the address of the node", Shape: Of(TypeText), Required: true}}
	for _, f := range o.Result.Fields {
		if f.Name != NodeField {
			fields = append(fields, f)
		}
	}
	one.Fields = fields
	return one
}

// expectation is what a step or a probe expects of a result.
type expectation struct {
	expect, tolerate Expr
	each             bool // asked of every node
}

// ask grades a result; of several nodes the worst counts. where begins with the node that it is about.
func (x expectation) ask(s Scope, result Record) (g Grade, where string, err error) {
	if !x.each {
		g, err = x.askOne(s.with(result))
		return g, "", err
	}
	nodes, ok := result[NodesField].(List)
	if !ok || len(nodes) == 0 {
		return GradeFailed, "", fmt.Errorf("no node has answered")
	}
	for _, v := range nodes {
		node, _ := v.(Record)
		one, err := x.askOne(s.with(node))
		if err != nil {
			return GradeFailed, "on " + Text(node[NodeField]) + ": ", err
		}
		if one > g {
			g, where = one, "on "+Text(node[NodeField])+": "
		}
	}
	return g, where, nil
}

func (x expectation) askOne(s Scope) (Grade, error) {
	holds, err := Test(x.expect, s)
	if err != nil {
		return GradeFailed, fmt.Errorf("expect %s: %w", x.expect, err)
	}
	if holds {
		return GradeOK, nil
	}
	if x.tolerate == nil {
		return GradeFailed, nil
	}
	holds, err = Test(x.tolerate, s)
	if err != nil {
		return GradeFailed, fmt.Errorf("tolerate %s: %w", x.tolerate, err)
	}
	if holds {
		return GradeDegraded, nil
	}
	return GradeFailed, nil
}
