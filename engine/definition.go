package engine

import "fmt"

// Class says what a crash in flight may do to an effect, and so what may be done after it.
type Class int

// The classes. ClassUnset is the class of nothing; every operation has one of the others.
const (
	ClassUnset         Class = iota
	ClassRead                // no effect: run it again
	ClassIdempotent          // moves the target to a stated condition: run it again
	ClassTransactional       // effect and marker commit together: the marker decides
	ClassUnrepeatable        // never run again unasked
	ClassAdvisory            // a notification: unknown after a crash, never sent again, never stops a run
	ClassPerson              // a person says yes
)

var classNames = [...]string{"", "read", "idempotent", "transactional", "unrepeatable", "advisory", "person"}

func (c Class) String() string { return classNames[c] }

// MarshalText writes the name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name.
func (c *Class) UnmarshalText(b []byte) error { return parseName(classNames[:], b, (*int)(c), "class") }

// Repeatable: an attempt whose outcome is not known may simply be made again.
func (c Class) Repeatable() bool { return c == ClassRead || c == ClassIdempotent }

// Writes: there is an effect that a crash could lose or repeat.
func (c Class) Writes() bool {
	return c == ClassIdempotent || c == ClassTransactional || c == ClassUnrepeatable || c == ClassAdvisory
}

// Risk is how bad it is if the step should not have been run.
type Risk int

// The risks, in rising order.
const (
	RiskReads        Risk = iota
	RiskChanges           // can be changed back
	RiskDestroys          // data or a service is gone until it is restored
	RiskIrreversible      // cannot be taken back by any means that the tool knows
)

var riskNames = [...]string{"reads", "changes", "destroys", "irreversible"}

func (r Risk) String() string { return riskNames[r] }

// MarshalText writes the name.
func (r Risk) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Risk) UnmarshalText(b []byte) error { return parseName(riskNames[:], b, (*int)(r), "risk") }

func parseName(names []string, b []byte, to *int, what string) error {
	for i, n := range names {
		if n == string(b) {
			*to = i
			return nil
		}
	}
	return fmt.Errorf("unknown %s %q", what, b)
}

// Kind declares what a step kind is and can do. It is data: the loader, the schema, the reference
// pages and the core read it; the code that acts stands in the kind's own package.
type Kind struct {
	Name string
	Doc  string
	// Targets are the types of connection that the kind's steps act on; none if it needs none.
	Targets []TargetType
	// OnlyNamed: a step acts on a target only if it names one with `on`, and on this machine otherwise.
	OnlyNamed  bool
	Operations []Operation
}

// TargetType declares one type of connection and the settings that an environment file gives for it.
type TargetType struct {
	Name     string // mysql, sqlite, redis, docker
	Doc      string
	Settings Shape
	// KeepsLocks: an environment may have the locks of its runs kept there, so that hosts exclude each other.
	KeepsLocks bool
	// Example is a settings record in YAML flow style, for the documents.
	Example string
}

// Operation declares one operation of a kind.
type Operation struct {
	Name string
	Doc  string
	// Key is the parameter whose presence selects the operation: sql's `query`. It is empty when the
	// kind has one operation only, and then the parameters stand directly under the kind.
	Key string
	// Inline names the parameter that takes the whole value when the kind's value is not a mapping,
	// as in `verify: [ … ]`.
	Inline string
	Params Shape
	Result Shape
	Class  Class // the widest that it can have
	Risk   Risk  // the widest that it can have
	// Example is one step in YAML that loads, for the documents and their test.
	Example string

	// ExpectInside: `expect` is asked by the operation itself BEFORE its effect is committed.
	ExpectInside bool
	// Prepares: the target is looked at before the intent is recorded (see Prepared).
	Prepares bool
	// Resumes: it keeps its place on the target, committed together with each part of its effect. So an
	// attempt that failed half-way may be made again although what it did stands: it goes on behind that.
	Resumes bool
	// Waits: it lasts until the world has changed, so a dry-run never executes it, only previews it.
	Waits bool
	// Role says what it is to the safety of data.
	Role Role
	// Grades: the operation itself says ok, degraded or failed.
	Grades bool
	// Nests: it runs another playbook, named by the parameter Key. The loader finds that one, and its steps
	// become steps of the run; the operation itself is never executed. It is the only one of its kind.
	Nests bool
	// Changes is the kind whose steps find something else AFTER it, when that is not the operation's own
	// target, which it only reads: `file` for what writes a file. A dry-run then knows what is known later.
	Changes string

	// Judge narrows the class and risk by what the playbook says, and finds what is wrong with it. It
	// is nil where the declaration says it all. It must be pure.
	Judge func(Proposal) Judgement
}

// Proposal is what a playbook says of one operation, as far as it is known when it is loaded.
type Proposal struct {
	// Params may hold [Unknown] where a template stands.
	Params Record
	// Target is the type of the target; empty where only the environment says it, or there is none.
	Target string
	// On is the name of the target; empty: there is none.
	On string
	// Wipes: the step says that it erases what Handrail has left on the target.
	Wipes bool
}

// ByParams is the Judge of an operation for which only the parameters matter.
func ByParams(judge func(Record) Judgement) func(Proposal) Judgement {
	return func(p Proposal) Judgement { return judge(p.Params) }
}

// Judgement is what an operation says of its parameters before anything runs.
type Judgement struct {
	Class Class // ClassUnset: as declared
	Risk  Risk
	// Each: it acts on several nodes of its target, as its parameters say. Its result is a list of what
	// each of them brought back (see [Operation.ResultShape]), and `expect` is asked of every one.
	Each     bool
	Problems []Problem
	// Remarks are what can be done as it stands, and is known to go wrong.
	Remarks []Remark
}

// Problem is a mistake in the parameters of an operation. Path leads to it from the parameters:
// "args.x", "transaction[2].exec"; the loader turns it into a line and a column.
type Problem struct {
	Path    string
	Message string
	// Offset is the byte in the text at Path where the mistake is, when it is inside a text.
	Offset int
}

func (p Problem) Error() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// Operation finds an operation by name.
func (k Kind) Operation(name string) (Operation, bool) {
	for _, o := range k.Operations {
		if o.Name == name {
			return o, true
		}
	}
	return Operation{}, false
}
