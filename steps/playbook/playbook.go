// Package playbook is the step kind `playbook`: a step that runs another playbook.
//
// The loader finds the other playbook and puts its steps below the step; the core runs them like all
// others. The kind only declares how such a step is written. There is nothing in it that could be
// executed.
package playbook

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Kind is the step kind.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

type params struct {
	Run     string                  `param:"run" doc:"The name of the playbook, as after handrail run, or its file, as it is seen from the file of this one. One that lies beside this one is found first." need:"yes" literal:"yes"`
	Inputs  map[string]engine.Value `param:"inputs" doc:"What it is run with. Literals are checked when the playbook is loaded, the rest before the first of its steps begins."`
	Targets map[string]string       `param:"targets" doc:"Its name of a target, and the name here, where the two differ." literal:"yes"`
}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	return engine.Kind{
		Name: "playbook",
		Doc: "Runs another playbook as a part of this run: one journal, its locks taken at the start, its steps named `step/its_step`. " +
			"It sees its own inputs, vars and steps only, and the targets of this one that it names.",
		Operations: []engine.Operation{{
			Name: "run", Key: "run", Nests: true, Class: engine.ClassUnrepeatable, Risk: engine.RiskIrreversible,
			Doc: "Runs the steps of the other playbook, then its `always`. Its outputs are the result of the step. " +
				"Both files, and all that they run, are pinned with the run.",
			Params:  steps.Params[params](),
			Result:  engine.RecordOf(),
			Example: "{id: n, playbook: {run: redis-backup, inputs: {dir: /backups}}}",
		}},
	}
}

// Decode makes the operation.
func (*Kind) Decode(operation string, record engine.Record) (steps.Operation, error) {
	if operation != "run" {
		return nil, fmt.Errorf("playbook has no operation %q", operation)
	}
	var p params
	if err := steps.Bind(record, &p); err != nil {
		return nil, err
	}
	if p.Run == "" {
		return nil, engine.Problem{Path: "run", Message: "name the playbook"}
	}
	return call{p}, nil
}

type call struct{ params }

// Preview is for completeness: a plan walks into the playbook and previews its steps.
func (c call) Preview(context.Context, *steps.Env) (engine.Impact, error) {
	return engine.Impact{Standing: engine.StandingWould, Would: "run the playbook " + c.Run, Risk: engine.RiskReads}, nil
}

// Execute is never called: the core runs the steps of the playbook.
func (call) Execute(context.Context, *steps.Env) engine.Outcome {
	return engine.Failure(errors.New("a playbook is run step by step; nothing can execute it as a whole"))
}
