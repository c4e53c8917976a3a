package view

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
)

// PlanSchema is the JSON Schema of a plan's JSON form, made from the type itself.
func PlanSchema() ([]byte, error) {
	return schemaOf("plan", &preview.Plan{}, preview.Version, planType, planWords,
		"What a run of a playbook would do to the system as it is now. Written by `handrail plan -o json`.")
}

// schemaOf makes the published schema of a JSON form from its type. The type has a version.
func schemaOf(name string, form any, version int, mapper func(reflect.Type) *jsonschema.Schema, words map[string]string, description string) ([]byte, error) {
	r := jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true, Mapper: mapper}
	s := r.Reflect(form)
	s.ID = jsonschema.ID("https://handrail.dev/schema/" + name + ".schema.json")
	s.Title, s.Description = "A "+name+" of Handrail", description
	v, ok := s.Properties.Get("version")
	if !ok {
		return nil, fmt.Errorf("a %s has no version", name)
	}
	v.Const = version
	explainWith(s, words)
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of a %s: %w", name, err)
	}
	return append(b, '\n'), nil
}

// planType names the words of the types that are written as one word.
func planType(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[engine.Standing]():
		return words(engine.StandingUnknown, engine.StandingWould, engine.StandingAlready, engine.StandingSkip)
	case reflect.TypeFor[engine.Certainty]():
		return words(engine.FigureUnknown, engine.FigureEstimate, engine.FigureExact)
	case reflect.TypeFor[engine.Risk]():
		return words(engine.RiskReads, engine.RiskChanges, engine.RiskDestroys, engine.RiskIrreversible)
	case reflect.TypeFor[engine.Class]():
		return words(engine.ClassRead, engine.ClassIdempotent, engine.ClassTransactional, engine.ClassUnrepeatable,
			engine.ClassAdvisory, engine.ClassPerson)
	case reflect.TypeFor[engine.RunState]():
		return words(engine.Running, engine.Waiting, engine.Interrupted, engine.RunOK, engine.RunDegraded, engine.RunFailed,
			engine.RunCancelled, engine.RunUndone)
	}
	return nil
}

func words[T fmt.Stringer](all ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, w := range all {
		s.Enum = append(s.Enum, w.String())
	}
	return s
}

// explainWith adds what each property means. A name means the same wherever it stands.
func explainWith(s *jsonschema.Schema, words map[string]string) {
	if s.Items != nil {
		explainWith(s.Items, words)
	}
	if s.Properties == nil {
		return
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		p.Value.Description = words[p.Key]
		explainWith(p.Value, words)
	}
}

// planWords is never changed.
var planWords = map[string]string{
	"version":         "The version of this form. It changes when a reader of the one before would misread it.",
	"playbook":        "The name of the playbook.",
	"playbook_digest": "SHA-256 of the playbook's file, in hexadecimal.",
	"environment":     "The environment against which it was planned.",
	"offline":         "No target was asked; every step is judged by the file alone.",
	"untrusted":       "The playbook is a stranger's: every step is judged by the files alone, without secrets and inputs.",
	"contacts":        "The targets of an untrusted plan, and whether they were reached.",
	"type":            "The type of the target.",
	"reached":         "Whether the target answered; nothing that the playbook says was sent there.",
	"made_at":         "When the plan was made, and what now() was in it.",
	"rto_ns":          "How long a recovery may take, in nanoseconds.",
	"steps":           "The steps in their order, those of groups behind their group; in a summary, how many act.",
	"step":            "The path of the step: its id, behind those of what it stands in.",
	"title":           "What the author calls the step.",
	"kind":            "The kind of the step.",
	"operation":       "The operation of its kind.",
	"target":          "The target on which it acts.",
	"section":         "always: the step is one of those that are done whatever has happened.",
	"group":           "The step is no operation: block, parallel, for_each or playbook.",
	"depth":           "How many groups the step stands in.",
	"maybe":           "Whether a run comes here is known only after another step.",
	"standing":        "would: a run would do it; already: its effect is there; skip: a run would leave it out; unknown: it could not be judged.",
	"would":           "What it would do, in plain words.",
	"class":           "What a crash may do to its effect.",
	"risk":            "How bad it is if it should not have been run.",
	"figures":         "Numbers about what it would do.",
	"name":            "What is counted, or told of.",
	"value":           "The number, or what the live system says.",
	"certainty":       "exact: a run finds the same number; estimate: about as many; unknown: the value says nothing.",
	"bounds":          "Of an estimate: a run that begins now finds no less than least and no more than most. Absent: none are stated.",
	"least":           "No less.",
	"most":            "No more.",
	"why":             "Why it is no better than that, or why the step is left out or cannot be judged.",
	"how":             "By what means, as far as others feel it: locks that are taken, whether a table is copied.",
	"now":             "It tells how large something is now, not what the step would do; a saved plan is not held against it.",
	"facts":           "What the live system says now.",
	"seen":            "What tells the things that it was made from from others of their names; a saved plan is refused when they differ.",
	"parameters":      "SHA-256 of the parameters as they would be sent, secrets by name only; absent where they are not known or are sensitive.",
	"warnings":        "What a reviewer should know.",
	"details":         "Longer texts, such as the statements that would be sent.",
	"known_after":     "The step AFTER which it is known what this one finds or does.",
	"line":            "Where the step stands in its file.",
	"error":           "Why a run would fail as a whole.",
	"summary":         "How many steps do what.",
	"reads":           "Steps that only read.",
	"changes":         "Steps whose effect can be changed back.",
	"destroys":        "Steps after which data or a service is gone until it is restored.",
	"irreversible":    "Steps that cannot be taken back by any means.",
	"approvals":       "Steps at which a person is asked.",
	"already":         "Steps whose effect is there.",
	"skipped":         "Steps that a run would leave out.",
	"unknown":         "How many steps could not be judged; in what is expected, of how many no time is known.",
	"expected":        "How long the steps take by the runs before, held against the RTO.",
	"data":            "How old the data is that a run would bring back, or that was saved last, held against the RPO.",
	"rpo_ns":          "How old it may be, in nanoseconds.",
	"verdict":         "held, missed, or unknown.",
	"data_at":         "Of when it is; absent where that is not known.",
	"age_ns":          "How old that is by the time of the plan, in nanoseconds.",
	"saved":           "The playbook makes what another one brings back.",
	"time":            "How long the step took in the runs before.",
	"runs":            "By how many runs.",
	"p50_ns":          "Half of the runs took no longer, in nanoseconds.",
	"p95_ns":          "Of a hundred runs 95 took no longer, in nanoseconds.",
	"late_p50":        "The step in which the RTO will be missed, if all take what they took in half of the runs.",
	"locks":           "The locks that a run would take, and who has them.",
	"in":              "Where it is kept.",
	"run":             "The run that has it.",
	"held":            "How it stands with it now.",
	"late_p95":        "The step in which the RTO may be missed.",
	"last_runs":       "The runs of this playbook before, newest first.",
	"id":              "The run.",
	"state":           "How it stands or has ended.",
	"started_at":      "When it began.",
	"took_ns":         "How long it took, in nanoseconds; absent if it has not ended.",
}
