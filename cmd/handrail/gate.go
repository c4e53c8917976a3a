package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/engine/revision"
)

// gates are what --fail-on of a plan can say, from the strictest on.
var gates = [...]string{"change", "destroy", "irreversible", "unknown", "never"}

// gateFlag adds --fail-on, by which a plan can hold up a pull request.
func (a *app) gateFlag(c *cobra.Command, failOn *string) {
	c.Flags().StringVar(failOn, "fail-on", "unknown", "what ends with exit code 1: a step that would "+strings.Join(gates[:3], ", ")+
		"; unknown, a step that could not be judged (which each of them takes in); never")
	_ = c.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(gates[:], cobra.ShellCompDirectiveNoFileComp))
	c.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(gates[:], *failOn) {
			return fmt.Errorf("--fail-on %s: there are %s", *failOn, strings.Join(gates[:], ", "))
		}
		return nil
	}
}

// gateDiff ends with exit code 2 when the later revision of a playbook cannot be read, and with 1 when a change holds what
// is ruled out. Whatever touches a step counts: that it is new, says something else, uses what was changed, or comes at
// another time; and that nobody is asked any more before it.
func (a *app) gateDiff(d *revision.Diff, unjudged bool, failOn string) error {
	for _, p := range d.Playbooks {
		for _, x := range p.Problems {
			if x.Side == "after" {
				return ended(exitWrong)
			}
			unjudged = true
		}
	}
	if failOn == "never" {
		return nil
	}
	floor, ruled := leastRisk[failOn]
	var found []string
	for _, p := range d.Playbooks {
		for _, s := range p.Steps {
			unjudged = unjudged || s.After != nil && s.After.Standing != nil && *s.After.Standing == engine.StandingUnknown
			if why := s.RuledOut(p, floor); ruled && why != "" {
				found = append(found, fmt.Sprintf("%s, step %s: %s", p.Name, s.Path, why))
			}
		}
	}
	if len(found) > 0 {
		a.say("--fail-on %s: %s", failOn, strings.Join(found, "; "))
	}
	if len(found) > 0 || unjudged {
		return ended(exitFailed)
	}
	return nil
}

// leastRisk is the least risk that a gate rules out. It is never changed.
var leastRisk = map[string]engine.Risk{"change": engine.RiskChanges, "destroy": engine.RiskDestroys, "irreversible": engine.RiskIrreversible}

// gate ends with exit code 1 when a plan holds what is ruled out, and says which steps that are.
func (a *app) gate(p *preview.Plan, failOn string) error {
	if failOn == "never" {
		return nil
	}
	floor, ruled := leastRisk[failOn]
	var found []string
	for _, s := range p.Steps {
		acts := s.Group == "" && (s.Standing == engine.StandingWould || s.Standing == engine.StandingUnknown)
		if ruled && acts && s.Risk >= floor && s.Class != engine.ClassPerson {
			found = append(found, fmt.Sprintf("step %s: %s", s.Path, s.Risk))
		}
	}
	if len(found) > 0 {
		a.say("--fail-on %s: %s", failOn, strings.Join(found, ", "))
	}
	if len(found) > 0 || !p.Judged() {
		return ended(exitFailed)
	}
	return nil
}
