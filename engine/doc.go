// Package engine is the core of Handrail: what a playbook is, what can happen to a run of it, and
// what has to be done next.
//
// The core is a deterministic state machine. A driver feeds it events with [Run.Apply] and asks
// [Run.Next] what follows: more events, which the driver records before it applies them, or
// commands, which the driver carries out. Whatever a run depends on (time, identity, randomness,
// the answer of a database) reaches the core as an event, so replaying the events of a journal
// gives the same run again.
//
// The core guarantees that
//   - a command that has an effect is handed out only AFTER an [Intended] event was applied, and
//     the [Ready] that carries it says that the event must be durable first;
//   - no effect is handed out twice in the life of one driver, and AFTER a crash only as the
//     class of the effect allows;
//   - what cannot be known is in doubt until a probe or a person has answered.
//
// To read it from top to bottom: playbook.go (what there is to run), event.go and command.go (what can
// happen and what can be asked for), run.go (Apply), next.go (Next), tree.go (how steps begin and end),
// apply_step.go and apply_run.go (what each event does), judge.go (from an outcome to a verdict),
// issue.go (from a step to a command). The stories in testdata show each behaviour as a dialogue.
//
// The core never touches the outside: no files, no network, no clock, no goroutines, no YAML.
package engine
