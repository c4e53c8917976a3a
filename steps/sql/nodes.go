package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// Which servers of a target a query is sent to, beside the one that takes writes.
const (
	nodesAny  = "any"
	nodesEach = "each"
)

const nodeOrNodes = "give either `node` or `nodes`"

// membersOf are the servers of a step's target; one that is alone is the only one.
func membersOf(ctx context.Context, env *steps.Env) ([]*member, error) {
	got, err := env.Conn(ctx)
	if err != nil {
		return nil, err
	}
	switch c := got.(type) {
	case *group:
		return c.members, nil
	case *Conn:
		m := &member{address: c.address, turn: make(chan struct{}, 1), conn: c}
		m.turn <- struct{}{}
		return []*member{m}, nil
	}
	return nil, errors.New("the connection is not one to a database")
}

// connAt is the connection to one server of a step's target, by its address, whatever it says of itself; without an address that
// of the step.
func connAt(ctx context.Context, env *steps.Env, address *string) (*Conn, error) {
	if address == nil {
		return connOf(ctx, env)
	}
	members, err := membersOf(ctx, env)
	if err != nil {
		return nil, err
	}
	known := make([]string, len(members))
	for i, m := range members {
		if m.address == *address {
			c, err := m.get(ctx)
			if err != nil {
				return nil, err
			}
			return c, c.saw(ctx)
		}
		known[i] = m.address
	}
	return nil, fmt.Errorf("target %s has no server %q; its addresses are %s", env.Target.Name, *address, strings.Join(known, ", "))
}

// unfitForOne is why a statement may not be sent to a server that was chosen by its address; empty: it may. Rows and tables
// belong to the server that takes writes, which keeps the marker as well.
func unfitForOne(class statement.Class) string {
	switch class.Sort {
	case statement.Commits, statement.Other, statement.Reads, statement.Session:
		return ""
	case statement.Writes, statement.Calls, statement.Defines, statement.Control:
	}
	return class.Verb + " is not for one server among several, whose rows and tables come from the one that takes writes; leave `node` out"
}

// unfitForMany is why a step may not be sent to a server that may be a replica; nil: it may.
func (q *query) unfitForMany(env *steps.Env) error {
	if env.Call.Class != engine.ClassUnrepeatable {
		return nil
	}
	return fmt.Errorf("`nodes: %s` is for what reads, and this statement is not known to; if it does, say `effect: read`; nothing was sent", q.nodes)
}

// any asks one server after the other until one answers. That one refuses the statement is an answer.
func (q *query) any(ctx context.Context, env *steps.Env) engine.Outcome {
	members, err := membersOf(ctx, env)
	if err == nil {
		err = q.unfitForMany(env)
	}
	if err != nil {
		return failure(err)
	}
	var silent []string
	var last error
	for _, m := range members {
		result, err := q.onMember(ctx, m)
		switch {
		case err == nil:
			result[engine.NodeField] = m.address
			return engine.Outcome{Result: result, Message: strings.Join(append([]string{"answered by " + m.address}, silent...), "; ")}
		case ctx.Err() != nil, !absentNode(err):
			return failure(err)
		}
		last = err
		silent = append(silent, saying{m: m, err: err}.String())
	}
	o := failure(last)
	o.Err = fmt.Sprintf("none of the %d servers answers: %s", len(members), strings.Join(silent, ", "))
	return o
}

func (q *query) onMember(ctx context.Context, m *member) (engine.Record, error) {
	c, err := m.get(ctx)
	if err != nil {
		return nil, err
	}
	return q.on(ctx, c)
}

// absentNode: there was no answer of the server about the statement.
func absentNode(err error) bool {
	var f *fault
	return errors.As(err, &f) && (f.reach == lost || f.reach == notSent && f.sort == busyFault || f.reach == refused && f.sort == busyFault)
}

// each asks all servers side by side.
func (q *query) each(ctx context.Context, env *steps.Env) engine.Outcome {
	members, err := membersOf(ctx, env)
	if err == nil {
		err = q.unfitForMany(env)
	}
	if err != nil {
		return failure(err)
	}
	results, errs := make([]engine.Record, len(members)), make([]error, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() { results[i], errs[i] = q.onMember(ctx, m) })
	}
	all.Wait()
	return gathered(members, results, errs)
}

// gathered makes one outcome of what the servers brought. One that did not answer is a failure of the whole: what
// is said of every server must not be said without it.
func gathered(members []*member, results []engine.Record, errs []error) engine.Outcome {
	var list engine.List
	var failed, answered []string
	size := 0
	out := engine.Outcome{Transient: true}
	for i, m := range members {
		if errs[i] != nil {
			o := failure(errs[i])
			failed = append(failed, o.Err)
			out.Transient = out.Transient && o.Transient
			continue
		}
		results[i][engine.NodeField] = m.address
		list = append(list, results[i])
		answered = append(answered, m.address)
		if text, err := encode(results[i]); err == nil {
			size += len(text)
		}
	}
	switch {
	case len(failed) > 0:
		out.Err = fmt.Sprintf("%d of %d servers: %s", len(failed), len(members), strings.Join(failed, "; "))
		if len(answered) > 0 {
			out.Evidence = []string{"answered by " + strings.Join(answered, ", ")}
		}
		return out
	case size > maxBytes:
		return engine.Outcome{Err: fmt.Sprintf("the servers together brought %d KiB, and at most %d KiB are kept; let the query bring less", size>>10, maxBytes>>10)}
	}
	return engine.Outcome{Result: engine.Record{engine.NodesField: list}}
}

// previewNodes asks as the step would.
func (q *query) previewNodes(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	members, err := membersOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	st, err := statement.Parse(grammarOf(env.Target.Type), q.text)
	if err != nil {
		return engine.Impact{}, fmt.Errorf("target %s: %w", env.Target.Name, err)
	}
	impact := engine.Impact{Standing: engine.StandingWould, Would: "read: " + oneLine(st.Source), Risk: riskOf(st.Class),
		Details: detailsOf(env, entry{st: st, query: true}, values{path: "args", all: q.all})}
	unknown := func(why string) (engine.Impact, error) {
		impact.Standing, impact.Why, impact.Warnings = engine.StandingUnknown, why, []string{why}
		return impact, nil
	}
	if err := q.unfitForMany(env); err != nil {
		return unknown(err.Error())
	}
	if st.Class.Sort != statement.Reads {
		return unknown("the statement is not known to read, so a dry-run does not send it: " + st.Class.Why)
	}
	o := q.Execute(ctx, env)
	if o.Err != "" {
		return unknown(o.Err)
	}
	if q.nodes == nodesAny {
		impact.Would += " (from the first server that answers)"
		impact.Facts = []engine.Fact{{Name: "now on " + engine.Text(o.Result[engine.NodeField]), Value: shownRows(env, o.Result)}}
		return impact, nil
	}
	impact.Would += fmt.Sprintf(" (from each of %d servers)", len(members))
	list, _ := o.Result[engine.NodesField].(engine.List)
	for _, v := range list {
		one, _ := v.(engine.Record)
		impact.Facts = append(impact.Facts, engine.Fact{Name: "now on " + engine.Text(one[engine.NodeField]), Value: shownRows(env, one)})
	}
	return impact, nil
}
