package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Executor carries out commands with the kinds it was given. It opens each target once, at its first
// use, and keeps it until Close. It is safe for use by several goroutines.
type Executor struct {
	Run     string
	Dir     string // relative paths are taken against it
	Scratch string
	Now     func() time.Time

	kinds   map[string]Kind
	defs    map[string]engine.Kind
	targets map[string]Target
	access  Access

	mu     sync.Mutex
	conns  map[string]*opening
	silent map[string]bool // targets that have kept a dry-run waiting for too long
}

// opening is a connection that is being opened, or is open.
type opening struct {
	ready chan struct{}
	conn  io.Closer
	err   error
}

// NewExecutor makes an executor. Under [ReadOnly] its connections refuse whatever is not known to
// read: it is the executor of a dry-run.
func NewExecutor(kinds []Kind, targets []Target, access Access) *Executor {
	x := &Executor{
		Now: time.Now, access: access, kinds: map[string]Kind{}, defs: map[string]engine.Kind{},
		targets: map[string]Target{}, conns: map[string]*opening{}, silent: map[string]bool{},
	}
	for _, k := range kinds {
		def := k.Define()
		x.kinds[def.Name], x.defs[def.Name] = k, def
	}
	for _, t := range targets {
		x.targets[t.Name] = t
	}
	return x
}

// Close closes every connection.
func (x *Executor) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for name, o := range x.conns {
		<-o.ready
		if o.conn != nil {
			errs = append(errs, o.conn.Close())
		}
		delete(x.conns, name)
	}
	return errors.Join(errs...)
}

// connect opens a target, or waits for another goroutine that is opening it. A failure is not kept: the next caller
// tries again. In a dry-run it is, which is about one moment: in a stack that is gone it would wait for each step anew.
func (x *Executor) connect(ctx context.Context, kind string, t Target) (io.Closer, error) {
	c, ok := x.kinds[kind].(Connector)
	if !ok {
		return nil, fmt.Errorf("steps of kind %s have no target", kind)
	}
	// Kinds that share a type of target do not share its connections.
	key := kind + "\x00" + t.Name
	x.mu.Lock()
	o, found := x.conns[key]
	if !found {
		o = &opening{ready: make(chan struct{})}
		x.conns[key] = o
	}
	x.mu.Unlock()
	if !found {
		o.conn, o.err = c.Connect(ctx, t, x.access)
		if o.err != nil && (x.access != ReadOnly || ctx.Err() != nil) {
			x.mu.Lock()
			delete(x.conns, key)
			x.mu.Unlock()
		}
		close(o.ready)
		return o.conn, o.err
	}
	select {
	case <-o.ready:
		return o.conn, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("target %s was still being opened: %w", t.Name, context.Cause(ctx))
	}
}

// decode makes the operation of a call, and the Env that it acts through.
func (x *Executor) decode(call engine.Call, a engine.Attendant) (Operation, *Env, error) {
	k, ok := x.kinds[call.Kind]
	if !ok {
		return nil, nil, fmt.Errorf("there is no step kind %s", call.Kind)
	}
	op, err := k.Decode(call.Operation, call.Params)
	if err != nil {
		return nil, nil, fmt.Errorf("%s.%s: %w", call.Kind, call.Operation, err)
	}
	env := &Env{
		Call: call, Access: x.access, Run: x.Run, Dir: x.Dir, Scratch: x.Scratch, Now: x.Now, attendant: a,
		ask: func(ctx context.Context, q engine.Question) engine.Answer { return x.askOne(ctx, call.Step, q) },
	}
	if call.Target != "" {
		t, ok := x.targets[call.Target]
		if !ok {
			return nil, nil, fmt.Errorf("nothing says where target %s is; name an environment with --env", call.Target)
		}
		env.Target = t
		env.connect = func(ctx context.Context, t Target) (io.Closer, error) { return x.connect(ctx, call.Kind, t) }
	}
	return op, env, nil
}

// Execute carries out an operation.
func (x *Executor) Execute(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome {
	op, env, err := x.decode(c.Call, a)
	if err != nil {
		return engine.Failure(err)
	}
	env.Again = c.Again
	o := x.execute(ctx, op, env)
	if o.Result == nil {
		return o
	}
	v, err := engine.Normalize(o.Result)
	if err != nil {
		return engine.Outcome{Err: fmt.Sprintf("the result of %s.%s cannot be kept: %v", c.Kind, c.Operation, err), Effect: engine.EffectStands}
	}
	o.Result, _ = v.(engine.Record)
	return o
}

// Prepare looks at a target before an intent is recorded.
func (x *Executor) Prepare(ctx context.Context, c engine.Prepare) (engine.Preparation, error) {
	op, env, err := x.decode(c.Call, nobody{})
	if err != nil {
		return engine.Preparation{}, err
	}
	p, ok := op.(Preparer)
	if !ok {
		return engine.Preparation{}, nil
	}
	seen, err := p.Prepare(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	seen.Seen, err = engine.Normalize(seen.Seen)
	return seen, err
}

// Settle finds out what became of an attempt that was cut off.
func (x *Executor) Settle(ctx context.Context, c engine.Settle, a engine.Attendant) engine.Settlement {
	op, env, err := x.decode(c.Call, a)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	env.Again = true
	s, ok := op.(Settler)
	if !ok {
		return engine.Settlement{Evidence: []string{c.Kind + "." + c.Operation + " leaves no trace that could be asked about"}}
	}
	return s.Settle(ctx, env)
}

// Preview says what an operation would do. It belongs to a dry-run.
func (x *Executor) Preview(ctx context.Context, c engine.Call) (engine.Impact, error) {
	op, env, err := x.decode(c, nobody{})
	if err != nil {
		return engine.Impact{}, err
	}
	if x.access != ReadOnly {
		return engine.Impact{}, errors.New("a preview needs a read-only executor")
	}
	ctx, seen := watch(ctx)
	impact, err := x.preview(ctx, op, env)
	impact.Seen = seen.list()
	return impact, err
}

// Reach opens a target, for a check of whether it can be had and what is amiss with it.
func (x *Executor) Reach(ctx context.Context, kind, target string) ([]engine.Lack, error) {
	conn, err := x.connect(ctx, kind, x.targets[target])
	if err != nil {
		return nil, err
	}
	if e, ok := conn.(Examiner); ok {
		return e.Examine(ctx, x.Now)
	}
	return nil, nil
}

// Check says what an operation would miss if it were executed now. It belongs to a dry-run.
func (x *Executor) Check(ctx context.Context, c engine.Call) ([]engine.Lack, error) {
	if x.access != ReadOnly {
		return nil, errors.New("a check needs a read-only executor")
	}
	_, unknown := engine.FirstUnknown(c.Params)
	op, env, err := x.decode(c, nobody{})
	switch {
	case err != nil && unknown: // what is not known cannot be held against it
		return nil, nil
	case err != nil:
		return nil, err
	}
	if k, ok := op.(Checker); ok {
		return k.Check(ctx, env)
	}
	if def := x.defs[c.Kind]; unknown || def.Name == "" {
		return nil, nil
	}
	return Unjudged(ctx, op, env)
}

// Unjudged is what keeps a preview from saying what an operation would do.
func Unjudged(ctx context.Context, op Operation, env *Env) ([]engine.Lack, error) {
	impact, err := op.Preview(ctx, env)
	if err != nil {
		return nil, err
	}
	if impact.Standing == engine.StandingUnknown && impact.Why != "" {
		return []engine.Lack{LackOf(impact.Why)}, nil
	}
	return nil, nil
}

// Makes: an operation may make what a later one on the same target would miss.
func (x *Executor) Makes(c engine.Call) bool {
	if !c.Class.Writes() || c.Class == engine.ClassAdvisory {
		return false
	}
	op, env, err := x.decode(c, nobody{})
	if err != nil {
		return true
	}
	m, ok := op.(Maker)
	return !ok || m.Makes(env)
}

// LackOf makes a lack of a sentence that says first what is wrong, and behind a semicolon what to do.
func LackOf(said string) engine.Lack {
	what, remedy, _ := strings.Cut(said, "; ")
	what, _, _ = strings.Cut(what, ": unless a step before")
	return engine.Lack{What: what, Remedy: remedy}
}

// Ask asks questions in order, as one: yes if all are yes, no as soon as one is.
func (x *Executor) Ask(ctx context.Context, step string, questions []engine.Question) engine.Answer {
	all := engine.Answer{Asked: engine.Yes}
	for _, q := range questions {
		a := x.askOne(ctx, step, q)
		if a.Asked != engine.Yes {
			return a
		}
		all.Result = a.Result
		if a.Message != "" {
			all.Message = strings.TrimPrefix(all.Message+"; "+a.Message, "; ")
		}
		all.Grade = max(all.Grade, a.Grade)
	}
	return all
}

func (x *Executor) askOne(ctx context.Context, step string, q engine.Question) engine.Answer {
	kind, operation, target := q.Operation()
	if kind == "" {
		return q.Judge(engine.Outcome{})
	}
	call := engine.Call{Step: step, Kind: kind, Operation: operation, Target: target, Params: q.Params, Class: engine.ClassRead, Timeout: q.Timeout}
	op, env, err := x.decode(call, nobody{})
	if err != nil {
		return engine.Answer{Message: err.Error()}
	}
	o := x.execute(ctx, op, env)
	if v, err := engine.Normalize(o.Result); err == nil {
		o.Result, _ = v.(engine.Record)
	} else {
		o.Err = err.Error()
	}
	a := q.Judge(o)
	a.Withheld = x.access == ReadOnly && a.Asked == engine.CouldNotAsk && x.starts(kind, operation)
	return a
}

// starts: asking would start something of which only the author says that it reads. A dry-run does not.
func (x *Executor) starts(kind, operation string) bool {
	def := x.defs[kind]
	op, ok := def.Operation(operation)
	return ok && (len(def.Targets) == 0 || def.OnlyNamed) && op.Class != engine.ClassRead
}

// Remembers asks the targets for the markers of finished effects.
func (x *Executor) Remembers(ctx context.Context, calls []engine.Call) (lost, evidence []string, err error) {
	byTarget := map[string][]engine.Call{}
	for _, c := range calls {
		byTarget[c.Kind+"\x00"+c.Target] = append(byTarget[c.Kind+"\x00"+c.Target], c)
	}
	keys := make([]string, 0, len(byTarget))
	for k := range byTarget {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, key := range keys {
		group := byTarget[key]
		gone, err := x.remembersOn(ctx, group)
		if err != nil {
			return nil, nil, fmt.Errorf("target %s: %w", group[0].Target, err)
		}
		if len(gone) > 0 {
			evidence = append(evidence, fmt.Sprintf("target %s does not hold the marker of %s any more: it was restored, failed over, or is another server",
				group[0].Target, strings.Join(gone, ", ")))
		}
		lost = append(lost, gone...)
	}
	return lost, evidence, nil
}

// Forget removes the markers of a run from a target, and says how many there were. An executor that only reads counts
// them. A kind that keeps none, or whose markers go by themselves, has nothing to forget.
func (x *Executor) Forget(ctx context.Context, kind, target, run string) (int64, error) {
	f, ok := x.kinds[kind].(Forgetter)
	if !ok {
		return 0, nil
	}
	conn, err := x.known(ctx, kind, target)
	if err != nil {
		return 0, err
	}
	if x.access == ReadOnly {
		return f.Marked(ctx, conn, run)
	}
	return f.Forget(ctx, conn, run)
}

// known connects to a target by its name.
func (x *Executor) known(ctx context.Context, kind, target string) (io.Closer, error) {
	t, ok := x.targets[target]
	if !ok {
		return nil, errors.New("nothing says where it is; name an environment with --env")
	}
	return x.connect(ctx, kind, t)
}

func (x *Executor) remembersOn(ctx context.Context, calls []engine.Call) (gone []string, err error) {
	k := x.kinds[calls[0].Kind]
	r, ok := k.(Rememberer)
	if !ok {
		return nil, nil
	}
	conn, err := x.known(ctx, calls[0].Kind, calls[0].Target)
	if err != nil {
		return nil, err
	}
	there, err := r.Remembers(ctx, conn, calls)
	if err != nil {
		return nil, err
	}
	for _, c := range calls {
		if !there[c.Token] {
			gone = append(gone, c.Step)
		}
	}
	return gone, nil
}

// nobody attends where nothing may be noted: probes, preparations and previews.
type nobody struct{}

func (nobody) Note(engine.Value) error       { return errors.New("nothing may be noted here") }
func (nobody) Progress(int64, int64, string) {}
func (nobody) Write(p []byte) (int, error)   { return len(p), nil }
