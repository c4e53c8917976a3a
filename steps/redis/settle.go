package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Settle asks the marker what became of an attempt that was cut off, AFTER it has made sure that the
// attempt cannot begin any more.
func (a *onceOnly) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	if env.Call.Class == engine.ClassUnrepeatable {
		return settleSender(ctx, env, "the "+a.what)
	}
	c, slot, err := a.seat(ctx, env)
	if err != nil {
		return engine.Settlement{Evidence: []string{err.Error()}}
	}
	p := newProtocol(env, c, slot, a.keys)
	var senders []string
	if note, ok := env.Call.Note.(engine.Record); ok {
		if s, ok := note["sender"].(string); ok {
			senders = append(senders, s)
		}
	}
	m, n, err := p.settle(ctx, c, senders, c.patience())
	if err != nil {
		return engine.Settlement{Evidence: []string{fmt.Sprintf("the marker %s could not be asked: %v", p.marker, err)}}
	}
	distrust := ""
	if m.verdict == "absent" {
		now, err := n.glance(ctx)
		if err != nil {
			return engine.Settlement{Evidence: []string{err.Error()}}
		}
		distrust = c.whyAbsenceProvesNothing(env.Call.Seen, now, n.address, env.Now())
	}
	return a.settlement(n, p, m, distrust)
}

func (a *onceOnly) settlement(n *node, p protocol, m mark, distrust string) engine.Settlement {
	switch m.verdict {
	case "absent":
		if distrust != "" {
			return engine.Settlement{Dead: true, Evidence: []string{"there is no marker " + p.marker, distrust}}
		}
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true, Evidence: []string{
			fmt.Sprintf("there is no marker %s on %s, and an attempt that is still on its way is shut out now", p.marker, n.address)}}
	case "stale":
		return engine.Settlement{Evidence: []string{fmt.Sprintf("another process has taken the run over (epoch %d, this one has %d)", m.epoch, p.epoch)}}
	}
	out := a.outcome(n, p, m, "")
	s := engine.Settlement{Dead: true}
	switch {
	case out.Err == "":
		s.Verdict, s.Result = engine.VerdictDone, out.Result
		s.Evidence = []string{"the marker " + p.marker + " says done"}
	case out.Effect == engine.EffectStands:
		s.Verdict, s.Err = engine.VerdictDone, out.Err
		s.Evidence = []string{"the marker " + p.marker + " says done"}
	default:
		s.Evidence = append(out.Evidence, out.Err)
	}
	for i, e := range s.Evidence {
		s.Evidence[i], _ = masked(e, a.secrets).(string)
	}
	s.Err, _ = masked(s.Err, a.secrets).(string)
	if s.Result != nil {
		s.Result, _ = masked(s.Result, a.secrets).(engine.Record)
	}
	return s
}

// preview is what both kinds of it say of the server.
func (a *onceOnly) preview(ctx context.Context, env *steps.Env, im engine.Impact) (engine.Impact, error) {
	im.Standing, im.Risk = engine.StandingWould, a.risk
	c, slot, err := a.seat(ctx, env)
	var bad engine.Problem
	switch {
	case errors.As(err, &bad):
		im.Standing, im.Why = engine.StandingUnknown, bad.Message
		return im, nil
	case err != nil:
		return engine.Impact{}, err
	}
	var out engine.Impact
	err = c.follow(ctx, slot, c.patience(), func(at try) (err error) {
		out, err = a.previewAt(ctx, env, c, at, slot, im)
		return err
	})
	return out, err
}

func (a *onceOnly) previewAt(ctx context.Context, env *steps.Env, c *Conn, at try, slot int, im engine.Impact) (engine.Impact, error) {
	n := at.node
	now, err := n.glance(ctx)
	if err != nil {
		return engine.Impact{}, err
	}
	switch err := n.replicaProblem(now); {
	case err != nil && c.form != single:
		return im, err
	case err != nil:
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	switch c.form {
	case clustered:
		im.Facts = append(im.Facts, engine.Fact{Name: "node", Value: fmt.Sprintf("%s, slot %d", at.address, slot)})
	case watched:
		im.Facts = append(im.Facts, engine.Fact{Name: "node", Value: at.address})
	case single:
	}
	im.Warnings = append(im.Warnings, now.warnings()...)
	im.Facts = append(im.Facts, now.memory()...)
	if now.evicts() {
		im.Warnings = append(im.Warnings, fmt.Sprintf(
			"policy %s may evict the marker; a crash during this step may then have to be decided by a person", now.policy))
	}
	if why := n.dryRunMarker(ctx, newProtocol(env, c, slot, a.keys).marker); why != "" {
		im.Class = engine.ClassUnrepeatable
		im.Warnings = append(im.Warnings, why)
	}
	list, _, err := n.keyFacts(ctx, a.keys)
	if err != nil {
		return im, err
	}
	im.Facts = append(im.Facts, concealedFacts(list, a.secrets)...)
	return im, nil
}

// dryRunMarker asks the server, without doing it, whether this user could keep a marker. A server that
// cannot be asked (before 7.0, or for lack of rights) gives no answer, and Prepare finds out.
func (n *node) dryRunMarker(ctx context.Context, marker string) string {
	user, err := n.ask(ctx, "ask for the user", "ACL", "WHOAMI")
	if err != nil {
		return ""
	}
	for _, words := range [][]any{{"EVAL", "return 1", 1, marker}, {"HSET", marker, "state", "begun"}} {
		v, err := n.ask(ctx, "ask for rights", append([]any{"ACL", "DRYRUN", raw(user)}, words...)...)
		if err == nil && v != "OK" {
			return "the user may not keep a marker under handrail:* (" + raw(v) + "), so a crash on the way leaves the step in doubt"
		}
	}
	return ""
}
