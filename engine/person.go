package engine

import (
	"fmt"
	"time"
)

// durationOf reads a duration out of rendered parameters; zero where there is none.
func durationOf(v Value) time.Duration {
	switch x := v.(type) {
	case time.Duration:
		return x
	case string:
		if d, err := time.ParseDuration(x); err == nil {
			return d
		}
	}
	return 0
}

// Approve makes the event of a yes, if that step waits for one. now is when it was said.
func (r *Run) Approve(step string, by Person, now time.Time) (Event, error) {
	a, err := r.pendingApproval(step, now)
	if err != nil {
		return nil, err
	}
	return ApprovalGiven{Step: a.Step, Digest: a.Digest, Plan: a.Plan, By: by}, nil
}

// Reject makes the event of a no.
func (r *Run) Reject(step string, by Person, because string) (Event, error) {
	a, err := r.pendingApproval(step, time.Time{})
	if err != nil {
		return nil, err
	}
	return ApprovalRefused{Step: a.Step, By: by, Because: because}, nil
}

// pendingApproval finds the approval that is waited for; an empty step means the only one.
func (r *Run) pendingApproval(step string, now time.Time) (*ApprovalAsked, error) {
	var found []*ApprovalAsked
	var left time.Duration
	for _, path := range sortedPaths(r.nodes) {
		n := r.nodes[path]
		if n.phase == phasePerson && n.att != nil && n.att.ask != nil && (step == "" || step == path) {
			found = append(found, n.att.ask)
			left = AskPerson{LeftThen: r.leftOf(n), Then: r.heard}.Left(now)
		}
	}
	switch {
	case len(found) == 0 && step == "":
		return nil, impossible("no step of run %s waits for an approval", r.ID())
	case len(found) == 0:
		return nil, impossible("step %s of run %s does not wait for an approval", step, r.ID())
	case len(found) > 1:
		return nil, impossible("steps %s and %s wait for an approval; name one", found[0].Step, found[1].Step)
	case !found[0].Expires.IsZero() && !now.IsZero() && left < 0:
		return nil, impossible("the approval of step %s expired at %s; resume the run to have it asked anew",
			found[0].Step, found[0].Expires.Format(time.RFC3339))
	}
	return found[0], nil
}

// Resolve makes the event of a person's word on a step.
func (r *Run) Resolve(step string, as Resolution, by Person, because string) (Event, error) {
	e := StepResolved{Step: step, As: as, By: by, Because: because}
	if because == "" {
		return nil, fmt.Errorf("say why: --because \"…\"")
	}
	if r.state.Final() && r.state != RunFailed {
		return nil, impossible("the run is %s; there is nothing to resolve", r.state)
	}
	n := r.nodes[step]
	switch {
	case n == nil && !r.knows(step):
		return nil, impossible("the playbook has no step %s", step)
	case n == nil:
		return e, nil
	case n.role != roleLeaf:
		return nil, impossible("step %s is a group; resolve the steps in it", step)
	case n.phase == phaseIntended && n.issued:
		return nil, impossible("step %s is under way", step)
	case n.closed() && n.state != Failed && n.state != Pending:
		return nil, impossible("step %s is %s; there is nothing to resolve", step, n.state)
	case n.lost && as == ResolvedNotDone:
		return nil, impossible("step %s was done, and what came after it was built upon that, so it is not done again in this run; say done or skip, or run the playbook anew", step)
	}
	return e, nil
}

// knows: the playbook has a step of that id; an iteration of a loop may not have been reached.
func (r *Run) knows(path string) bool {
	found := false
	r.pb.EachPath(func(at string, s *Step) {
		found = found || at == path || len(path) > len(at) && path[:len(at)] == at && path[len(at)] == '['
	})
	return found
}

// Cancel makes the event that ends the run.
func (r *Run) Cancel(by Person, undo bool) (Event, error) {
	switch {
	case r.state.Final() && r.state != RunFailed:
		return nil, impossible("the run is %s already", r.state)
	case r.cancel != nil && (r.cancel.Undo || !undo):
		return nil, impossible("the run is being cancelled already")
	case r.phase == PhaseUndo:
		return nil, impossible("the run is being undone")
	}
	return CancelAsked{By: by, Undo: undo}, nil
}
