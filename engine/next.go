package engine

import (
	"errors"
	"fmt"
	"sort"
)

// Ready is what is due. Either Events is filled: the driver records them, applies them and asks
// again. Or Commands is filled: if Sync is set, everything recorded so far must be durable BEFORE the
// first of them starts. Neither: the run waits for commands that are under way, or, when none is, for
// the person that Waiting names; or it is Finished.
type Ready struct {
	Events   []Event
	Commands []Command
	Sync     bool
	Waiting  string
	Finished bool
}

// Next says what is due. It changes nothing that a journal would show.
func (r *Run) Next() Ready {
	switch {
	case r.start == nil || r.state.Final():
		return Ready{Finished: r.state.Final()}
	case !r.varsSet:
		return Ready{Events: []Event{r.setVars()}}
	case r.recheck && !r.checked:
		r.checked = true
		if c := r.checkMemory(); len(c.Calls) > 0 {
			r.checking = true
			return r.hand([]Command{c})
		}
	case r.checking:
		return Ready{} // nothing is done before the targets have said what they remember
	}
	var commands []Command
	for len(r.queue) > 0 {
		n := r.queue[0]
		r.queue = r.queue[1:]
		n.queued = false
		events, command := r.look(n)
		if len(events) > 0 {
			r.enqueue(n)
			return r.afterLook(events, commands)
		}
		if command != nil {
			n.issued = true
			commands = append(commands, command)
		}
	}
	if len(commands) > 0 {
		return r.hand(commands)
	}
	return r.idle()
}

// afterLook returns events; commands that were found on the way are handed out first, and the events
// found anew.
func (r *Run) afterLook(events []Event, commands []Command) Ready {
	if len(commands) > 0 {
		return r.hand(commands)
	}
	return Ready{Events: events}
}

func (r *Run) hand(commands []Command) Ready {
	sync := r.unsynced == effectUnsynced
	for _, c := range commands {
		if e, ok := c.(Execute); ok && e.Class.Writes() {
			sync = sync || r.unsynced != nothingUnsynced
		}
	}
	r.live += len(commands)
	return Ready{Commands: commands, Sync: sync}
}

// idle: no step has anything due.
func (r *Run) idle() Ready {
	if r.live > 0 {
		return Ready{}
	}
	if r.top.closed() && r.doubts == 0 && r.loose == 0 {
		return Ready{Events: []Event{r.nextPhase()}}
	}
	return Ready{Waiting: r.waitingFor()}
}

// waitingFor names the person's part.
func (r *Run) waitingFor() string {
	var doubt, approval []string
	for _, n := range r.nodes {
		switch n.phase {
		case phaseDoubt:
			doubt = append(doubt, n.path)
		case phasePerson:
			approval = append(approval, n.path)
		case phaseEntering, phaseAsking, phasePreparing, phaseReady, phaseIntended, phaseAgain, phaseRetrying, phaseSettling, phaseOpen,
			phaseYielding, phaseClosed:
		}
	}
	sort.Strings(doubt)
	sort.Strings(approval)
	if len(doubt) > 0 {
		return "step " + doubt[0] + " is in doubt"
	}
	if len(approval) > 0 {
		return "step " + approval[0] + " waits for an approval"
	}
	return "nothing can be done"
}

// look decides what is due for one node: events to record, or a command to hand out.
func (r *Run) look(n *node) ([]Event, Command) {
	if n.issued || n.closed() && !n.loose {
		return nil, nil
	}
	if n.closed() { // loose
		return r.refresh(n)
	}
	if (r.doubts > 0 || r.loose > 0) && !n.loose && !n.phase.begun() && !r.preview {
		r.parked = append(r.parked, n)
		return nil, nil
	}
	switch n.phase {
	case phaseEntering:
		return r.enter(n), nil
	case phaseYielding:
		return r.yield(n), nil
	case phaseAsking:
		return r.ask(n)
	case phasePreparing:
		return r.call(n, func(c Call) Command { return Prepare{c} })
	case phaseReady:
		if n.def.Class == ClassRead {
			return r.execute(n, false)
		}
		return r.intend(n), nil
	case phaseAgain:
		return r.intendAgain(n), nil
	case phaseIntended:
		return r.execute(n, false)
	case phaseRetrying:
		return nil, Pause{Step: n.path, For: n.attemptState().pause}
	case phaseSettling:
		return r.settle(n)
	case phasePerson:
		a := n.attemptState().ask
		return nil, AskPerson{Step: n.path, Message: a.Message, Digest: a.Digest, Plan: a.Plan, Expires: a.Expires,
			LeftThen: r.leftOf(n), Then: r.heard}
	case phaseDoubt, phaseOpen, phaseClosed:
	}
	return nil, nil
}

// enter decides whether and over what a node runs.
func (r *Run) enter(n *node) []Event {
	if n.def.When != nil && !n.admitted {
		yes, err := Test(n.def.When, r.scopeAt(n.frame))
		var unknown Unknown
		switch {
		case err != nil && r.preview && errors.As(err, &unknown):
			return []Event{Undecided{Step: n.path, Why: unknown.After}}
		case err != nil:
			return r.failed(n, fmt.Errorf("when %s: %w", n.def.When, err))
		case !yes:
			return []Event{StepSkipped{Step: n.path, Why: "when " + n.def.When.String() + " is false"}}
		}
		return []Event{Entered{Step: n.path}}
	}
	if n.role == roleEach {
		return r.listItems(n)
	}
	if n.def.Nested != nil {
		return r.beginNested(n)
	}
	return r.askApproval(n)
}

func (r *Run) failed(n *node, err error) []Event {
	return []Event{StepFinished{Step: n.path, Attempt: n.attempt, State: Failed, Error: err.Error()}}
}

// listItems evaluates what a loop goes over.
func (r *Run) listItems(n *node) []Event {
	v, err := n.def.ForEach.Render(r.scopeAt(n.frame))
	var unknown Unknown
	if err != nil && r.preview && errors.As(err, &unknown) {
		return []Event{Assumed{Step: n.path, After: unknown.After, State: OK}}
	}
	if err != nil {
		return r.failed(n, fmt.Errorf("for_each: %w", err))
	}
	list, ok := v.(List)
	if !ok {
		return r.failed(n, fmt.Errorf("for_each is %s %s, not a list", TypeName(v), Text(v)))
	}
	keys, own, err := r.itemKeys(n, list)
	if err != nil {
		return r.failed(n, err)
	}
	e := ItemsListed{Step: n.path, Keys: keys}
	if !own {
		e.Items = Typed{list}
	}
	return []Event{e}
}

// itemKeys identifies the items. own: every item is a text and its own key.
func (r *Run) itemKeys(n *node, list List) (keys []string, own bool, err error) {
	keys, own = make([]string, len(list)), n.def.Key == nil
	seen := make(map[string]int, len(list))
	scope := r.scopeAt(n.frame)
	for i, item := range list {
		key := item
		if n.def.Key != nil {
			if key, err = n.def.Key.Eval(scope.with(Record{n.def.As: item})); err != nil {
				return nil, false, fmt.Errorf("key %s of item %d: %w", n.def.Key, i+1, err)
			}
		}
		if _, text := item.(string); !text {
			own = false
		}
		if keys[i], err = keyText(n, i, key); err != nil {
			return nil, false, err
		}
		if before, twice := seen[keys[i]]; twice {
			return nil, false, fmt.Errorf("items %d and %d have the same key %q; a key must identify one item", before+1, i+1, keys[i])
		}
		seen[keys[i]] = i
	}
	return keys, own, nil
}

// keyText is a key as it stands in a path. Only what reads the same on every machine identifies an item.
func keyText(n *node, i int, key Value) (string, error) {
	switch key.(type) {
	case string, int64, uint64, bool, Decimal:
		return Text(key), nil
	}
	if n.def.Key == nil {
		return "", fmt.Errorf("item %d is a %s; say with `key:` what identifies it", i+1, TypeName(key))
	}
	return "", fmt.Errorf("key %s of item %d is a %s, not a text or an integer", n.def.Key, i+1, TypeName(key))
}

func (r *Run) setVars() Event {
	vars, err := r.evalVars(r.own)
	if err != nil {
		return RunFinished{State: RunFailed, Error: err.Error()}
	}
	return VarsSet{Vars: Typed{vars}}
}
