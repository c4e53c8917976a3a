package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// onceOnly is what transaction and script have in common: one Lua script that carries a marker.
type onceOnly struct {
	what    string // "transaction", "script", for messages
	mode    string // of the protocol
	keys    []string
	body    []any
	risk    engine.Risk
	after   *engine.Unknown
	secrets []string
	// total is how many commands there are; 0 if only the script knows.
	total int
	// result makes the step's result of the reply.
	result func(engine.Value) engine.Record
	// plain carries it out without a marker, where the server does not allow one. The error is one that left
	// nothing behind.
	plain func(ctx context.Context, n *node, conn *pinned) (engine.Outcome, error)
}

// Prepare looks at the server BEFORE the intent: whether it takes writes at all, whether it lets this user
// keep a marker, and what a missing marker will prove later.
func (a *onceOnly) Prepare(ctx context.Context, env *steps.Env) (p engine.Preparation, err error) {
	c, slot, err := a.seat(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	marker := newProtocol(env, c, slot, a.keys).marker
	err = c.follow(ctx, slot, c.patience(), func(at try) (err error) {
		p, err = a.prepareAt(ctx, env, at, marker, slot)
		return err
	})
	return p, err
}

func (a *onceOnly) prepareAt(ctx context.Context, env *steps.Env, at try, marker string, slot int) (engine.Preparation, error) {
	now, err := at.glance(ctx)
	if err != nil {
		return engine.Preparation{}, err
	}
	if err := at.replicaProblem(now); err != nil {
		return engine.Preparation{}, err
	}
	if now.blind {
		if err := at.writable(ctx); err != nil {
			return engine.Preparation{}, err
		}
	}
	if now.loading {
		return engine.Preparation{}, fmt.Errorf("redis %s: %s", at.address, remedies["LOADING"])
	}
	seen := sight{server: now.runID, lineage: now.lineage, node: at.address, slot: slot, evicted: now.evicted, at: env.Now().UTC().Truncate(time.Millisecond)}
	p := engine.Preparation{Seen: seen.value()}
	why, err := at.whyNoMarker(ctx, marker)
	if err != nil {
		return engine.Preparation{}, err
	}
	if why != "" {
		p.Class, p.Why = engine.ClassUnrepeatable, why
	}
	return p, nil
}

// seat is where the keys are: in a cluster, the one slot of all of them.
func (a *onceOnly) seat(ctx context.Context, env *steps.Env) (*Conn, int, error) {
	c, err := connOf(ctx, env)
	if err != nil || c.form != clustered {
		return c, noSlot, err
	}
	if bad := crossSlot(a.what, a.what, a.keys); bad != nil {
		bad.Message, _ = masked(bad.Message, a.secrets).(string)
		return nil, noSlot, *bad
	}
	slot, _, _, _ := slotOfAll(a.keys)
	switch {
	case slot != noSlot:
	case a.what == "script":
		return nil, noSlot, noKeys()
	default:
		slot = slotOf("{" + plainTag + "}")
	}
	return c, slot, nil
}

// whyNoMarker tries whether this user may run a script that looks at the marker.
func (t try) whyNoMarker(ctx context.Context, marker string) (string, error) {
	n := t.node
	_, err := t.callAt(ctx, "try a script", "EVAL", "return redis.call('EXISTS', KEYS[1])", 1, marker)
	return n.markerRight(err)
}

// markerRight reads a refusal: one for lack of rights means that there can be no marker.
func (n *node) markerRight(err error) (string, error) {
	var f *fault
	if err == nil || !errors.As(err, &f) {
		return "", err
	}
	disabled := errors.As(f.cause, new(refusal))
	if f.reach == refused && f.code == "NOPERM" || disabled {
		return fmt.Sprintf("the user may not run a script that keeps a marker under handrail:* (%v), so a crash on the way leaves the step in doubt", f.cause), nil
	}
	if f.reach == refused && !f.transient() && !f.unbegun() && f.code != "READONLY" {
		return fmt.Sprintf("the server takes no script (%v), so a crash on the way leaves the step in doubt", f.cause), nil
	}
	return "", err
}

// Execute runs the script once. A marker that is done already gives its stored result, and nothing is
// done.
func (a *onceOnly) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	return concealed(a.execute(ctx, env), a.secrets)
}

func (a *onceOnly) execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if a.after != nil {
		return engine.Outcome{Err: "the " + a.what + " is " + a.after.Error()}
	}
	c, slot, err := a.seat(ctx, env)
	if err != nil {
		return failure(err)
	}
	var out engine.Outcome
	err = c.follow(ctx, slot, c.patience(), func(at try) (err error) {
		out, err = a.executeAt(ctx, env, c, at, slot)
		return err
	})
	if err != nil {
		return failure(err)
	}
	return out
}

// executeAt runs the script on one node. The error is one that left nothing behind.
func (a *onceOnly) executeAt(ctx context.Context, env *steps.Env, c *Conn, at try, slot int) (engine.Outcome, error) {
	if env.Access != steps.Full {
		return engine.Outcome{}, fmt.Errorf("redis %s: the %s was not sent: this is a dry-run", at.address, a.what)
	}
	conn, err := at.pinFor(ctx, a.what)
	if err != nil {
		return engine.Outcome{}, err
	}
	defer conn.release()
	if err := c.admits(ctx, at.node); err != nil {
		return engine.Outcome{}, err
	}
	if env.Call.Class == engine.ClassUnrepeatable {
		if err := noteSender(ctx, env, conn); err != nil {
			return engine.Outcome{}, err
		}
		if at.asking {
			return engine.Outcome{}, misdirected{fmt.Errorf("redis %s: the keys are being moved to another node; nothing was sent", at.address)}
		}
		return a.plain(ctx, at.node, conn)
	}
	p := newProtocol(env, c, slot, a.keys)
	p.mode, p.body = a.mode, a.body
	distrust := ""
	if env.Again {
		now, err := at.glance(ctx)
		if err != nil {
			return engine.Outcome{}, err
		}
		distrust = c.whyAbsenceProvesNothing(env.Call.Seen, now, at.address, env.Now())
	}
	sender := newSender()
	m, err := p.run(ctx, conn, sender, distrust != "")
	if err == nil {
		c.noted(at.node, p, m)
		return a.outcome(at.node, p, m, distrust), nil
	}
	var f *fault
	if !errors.As(err, &f) || f.reach == notSent || f.reach == refused && beforeFirstWrite(f.code) {
		return engine.Outcome{}, err
	}
	return a.afterError(ctx, env, c, p, sender, err), nil
}

// lastPatience bounds it when the step's time is up, or somebody wants it to end.
const lastPatience = 10 * time.Second

// afterError finds out what became of a script whose answer is an error or did not come.
func (a *onceOnly) afterError(ctx context.Context, env *steps.Env, c *Conn, p protocol, sender string, err error) engine.Outcome {
	// The marker has to be asked even if the step's time is up, or its outcome stays unknown.
	m, at, settled := mark{}, (*node)(nil), ctx.Err()
	if settled == nil {
		m, at, settled = p.settle(ctx, c, []string{sender}, c.patience())
	}
	if settled != nil && ctx.Err() != nil {
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), lastPatience)
		defer stop()
		m, at, settled = p.settle(late, c, []string{sender}, lastPatience)
	}
	distrust := ""
	if settled == nil && m.verdict == "absent" && c.form != single {
		// The server that answers now may be another than the one that got the script.
		var now state
		within, stop := context.WithTimeout(context.WithoutCancel(ctx), lastPatience)
		defer stop()
		if now, settled = at.glance(within); settled == nil {
			distrust = c.whyAbsenceProvesNothing(env.Call.Seen, now, at.address, env.Now())
		}
	}
	if settled != nil {
		out := engine.Outcome{Err: err.Error(), InDoubt: true, Effect: engine.EffectUnknown, Evidence: []string{
			fmt.Sprintf("the %s was sent, and no answer came", a.what),
			fmt.Sprintf("its marker %s could not be asked: %v", p.marker, settled)}}
		// The fence of a later question must name this sender, because its epoch may be the same.
		if noted := env.Note(engine.Record{"sender": sender}); noted != nil {
			out.Evidence = append(out.Evidence, "this could not be recorded: "+noted.Error())
		}
		return out
	}
	if m.verdict == "absent" && distrust == "" {
		return engine.Outcome{Err: err.Error() + "; its marker shows that nothing was changed", Transient: ctx.Err() == nil}
	}
	if m.verdict == "absent" {
		return engine.Outcome{Err: err.Error(), InDoubt: true, Effect: engine.EffectUnknown, Evidence: []string{
			fmt.Sprintf("the %s was sent to %s, and no answer came", a.what, sentTo(err)), "there is no marker " + p.marker + " on " + at.address, distrust}}
	}
	c.noted(at, p, m)
	return a.outcome(at, p, m, "")
}

// sentTo is the server that an error came from.
func sentTo(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return f.node
	}
	return "the server"
}

// beforeFirstWrite: the server refuses so at the first write of a script or before it, and the first write
// is the marker. Errors of the step's own commands are caught inside the script.
func beforeFirstWrite(code string) bool {
	switch code {
	case "READONLY", "LOADING", "NOAUTH", "WRONGPASS", "NOPERM", "OOM", "MISCONF", "BUSY", "MASTERDOWN", "NOREPLICAS",
		"CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "CROSSSLOT", "MAXCLIENTS", "DENIED":
		return true
	}
	return false
}

// outcome says what a marker means.
func (a *onceOnly) outcome(n *node, p protocol, m mark, distrust string) engine.Outcome {
	where := fmt.Sprintf("redis %s: %s", n.address, a.what)
	switch m.verdict {
	case "done":
		v, large, err := unpack(m.result)
		switch {
		case err != nil:
		case large > 0 && p.limit < 0:
			err = errors.New("its result is sensitive and was not kept")
		case max(large, len(m.result)) > maxKept:
			err = errors.New(tooLarge(max(large, len(m.result))))
		}
		if err != nil {
			return engine.Outcome{Err: fmt.Sprintf("%s: was carried out; %v", where, err), Effect: engine.EffectStands}
		}
		return engine.Outcome{Result: a.result(v)}
	case "failed":
		return engine.Outcome{Err: fmt.Sprintf("%s: %s; nothing was changed", where, a.reason(m))}
	case "begun":
		return engine.Outcome{Err: fmt.Sprintf("%s: %s", where, a.reason(m)), InDoubt: true, Effect: engine.EffectUnknown,
			Evidence: a.evidence(p, m)}
	case "stale":
		return engine.Outcome{Err: fmt.Sprintf("%s: another process has taken the run over (epoch %d, this one has %d); nothing was changed by this one",
			where, m.epoch, p.epoch)}
	case "unlocked":
		return engine.Outcome{Err: where + ": a lock of this run is not its own any more; nothing was changed"}
	case "absent":
		return engine.Outcome{Err: where + ": it cannot be known whether the attempt before this one was carried out; nothing was sent now",
			InDoubt: true, Effect: engine.EffectUnknown, Evidence: []string{"there is no marker " + p.marker, distrust}}
	}
	return engine.Outcome{Err: fmt.Sprintf("%s: this attempt was given up and shut out; nothing was changed by it (%s)", where, m.verdict)}
}

func (a *onceOnly) reason(m mark) string {
	switch {
	case m.err == "":
		return "it began and did not end"
	case a.total > 0:
		return fmt.Sprintf("command %d of %d: %s", m.applied+1, a.total, m.err)
	}
	return m.err
}

// evidence is what a marker that is only begun tells a person who has to decide.
func (a *onceOnly) evidence(p protocol, m mark) []string {
	out := []string{fmt.Sprintf("the marker %s says begun, and not done", p.marker)}
	if m.err == "" {
		return append(out, "the server kept no account of how many commands were applied")
	}
	count := fmt.Sprintf("%d commands were applied and stand", m.applied)
	if m.applied == 1 {
		count = "1 command was applied and stands"
	}
	if a.total > 0 {
		count += fmt.Sprintf(", of %d", a.total)
	}
	return append(out, count+"; Redis takes nothing back", "the next one brought: "+m.err)
}
