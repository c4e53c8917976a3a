package engine

import (
	"errors"
	"fmt"
	"time"
)

// Probe is an operation that only reads, and what is expected of its result. It has three answers:
// yes, no, and could not ask. Verify grades it; the rest only ask whether `expect` holds. Without an operation
// it is about what the run knows already.
type Probe struct {
	Kind, Op string // empty: it asks nothing of the world
	Target   string
	Params   Template
	Expect   Expr // nil: that the operation succeeds
	Tolerate Expr // nil: nothing less than Expect will do
	Fails    Expr // that it fails so; nil: it is not expected to fail
	Message  *Template
	Each     bool // Expect is asked of every node; see [Judgement]
	Pos      Pos
}

// Source is a text by which two probes are equal if they ask the same.
func (p *Probe) Source() string {
	s := p.Kind + "." + p.Op + "@" + p.Target + p.Params.Source()
	for _, e := range []Expr{p.Expect, p.Tolerate, p.Fails} {
		if e != nil {
			s += ";" + e.String()
		}
	}
	return s
}

func (p *Probe) bind(s Scope) (Value, error) {
	v, err := p.Params.Render(s)
	if err != nil {
		return nil, err
	}
	params, ok := v.(Record)
	if !ok && v != nil {
		return nil, fmt.Errorf("parameters of a probe are %s, not a record", TypeName(v))
	}
	return Question{probe: p, Params: params, scope: s}, nil
}

// Question is a probe with its parameters filled in, ready to be asked.
type Question struct {
	probe   *Probe
	Params  Record
	Timeout time.Duration // of the step whose done_if it is; 0: none
	scope   Scope
}

// Operation names what has to be executed to ask.
func (q Question) Operation() (kind, op, target string) {
	return q.probe.Kind, q.probe.Op, q.probe.Target
}

// String is the question in one line.
func (q Question) String() string {
	if q.probe.Kind == "" {
		return q.probe.Expect.String()
	}
	s := q.probe.Kind + "." + q.probe.Op
	if q.probe.Target != "" {
		s += " on " + q.probe.Target
	}
	if q.probe.Expect != nil {
		s += ": " + q.probe.Expect.String()
	}
	if q.probe.Fails != nil {
		s += " fails: " + q.probe.Fails.String()
	}
	return s
}

func (q Question) digest() string { return Digest(q.probe.Source()) }

// After names the step after which a question that asks nothing of the world can be answered; empty: now.
func (q Question) After() string {
	if q.probe.Kind != "" {
		return ""
	}
	_, err := Test(q.probe.Expect, q.scope)
	var unknown Unknown
	if errors.As(err, &unknown) {
		return unknown.After
	}
	return ""
}

// Judge turns what the operation brought back into an answer.
func (q Question) Judge(o Outcome) Answer {
	a := Answer{Asked: Yes, Result: o.Result, Grade: o.Grade}
	switch {
	case q.probe.Fails != nil:
		if a = q.judgeFailure(o); a.Asked == No {
			return a // what the message tells of has not happened
		}
	case o.Err != "":
		return Answer{Asked: CouldNotAsk, Message: o.Err, Result: o.Result}
	case q.probe.Expect != nil:
		a = q.judgeExpect(a)
	case o.Grade == GradeFailed:
		a.Asked = No
	}
	if q.probe.Message != nil && a.Asked != CouldNotAsk {
		v, err := q.probe.Message.Render(q.scope.with(a.Result))
		if err != nil {
			return Answer{Asked: CouldNotAsk, Message: "message: " + err.Error(), Result: a.Result}
		}
		a.Message = Text(v)
	} else if a.Asked == No && a.Message == "" {
		a.Message = q.String() + " does not hold"
	}
	return a
}

func (q Question) judgeExpect(a Answer) Answer {
	p := q.probe
	grade, where, err := expectation{p.Expect, p.Tolerate, p.Each}.ask(q.scope, a.Result)
	switch {
	case err != nil:
		return Answer{Asked: CouldNotAsk, Message: where + err.Error(), Result: a.Result}
	case grade == GradeFailed:
		a.Asked = No
		if where != "" {
			a.Message = where + q.String() + " does not hold"
		}
	}
	if grade != GradeOK {
		a.Grade = grade
	}
	return a
}

// Asked is one of the three answers of a probe.
type Asked int

// The answers. CouldNotAsk is never taken for No.
const (
	CouldNotAsk Asked = iota
	Yes
	No
)

var askedNames = [...]string{"could not ask", "yes", "no"}

func (a Asked) String() string { return askedNames[a] }

// MarshalText writes the name.
func (a Asked) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the name.
func (a *Asked) UnmarshalText(b []byte) error {
	return parseName(askedNames[:], b, (*int)(a), "answer")
}

// Grade is how well something is.
type Grade int

// The grades, in falling order.
const (
	GradeOK Grade = iota
	GradeDegraded
	GradeFailed
)

var gradeNames = [...]string{"ok", "degraded", "failed"}

func (g Grade) String() string { return gradeNames[g] }

// MarshalText writes the name.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the name.
func (g *Grade) UnmarshalText(b []byte) error { return parseName(gradeNames[:], b, (*int)(g), "grade") }

// Answer is what came of asking a probe.
type Answer struct {
	Asked   Asked
	Grade   Grade
	Message string
	Result  Record
	// Withheld: a dry-run does not ask such a question; the real run would.
	Withheld bool
}
