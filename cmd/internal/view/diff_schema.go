package view

import (
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/handrail-dev/handrail/engine/revision"
)

// DiffSchema is the JSON Schema of a diff's JSON form, made from the type itself.
func DiffSchema() ([]byte, error) {
	return schemaOf("diff", &revision.Diff{}, revision.Version, diffType, diffWords,
		"What two revisions of playbooks differ in. Written by `handrail diff -o json`.")
}

func diffType(t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[revision.Change]() {
		return words(revision.Same, revision.Added, revision.Removed, revision.Changed, revision.Renamed, revision.Moved,
			revision.Reached, revision.Uncompared)
	}
	return planType(t)
}

// diffWords is never changed.
var diffWords = map[string]string{
	"version":      "The version of this form. It changes when a reader of the one before would misread it.",
	"before":       "What it was: the earlier revision, a step there, or what a setting said.",
	"after":        "What it is: the later revision, a step there, or what a setting says.",
	"name":         "The revision as it was asked for, the setting, or what is counted.",
	"commit":       "The commit that it names; of the earlier revision, where the branch has left it.",
	"environment":  "The environment against which both were held.",
	"playbooks":    "The playbooks that differ, by their files; in a summary, how many.",
	"playbook":     "The name of the playbook.",
	"file":         "Its file, or that in which a step or a mistake stands.",
	"change":       "added, removed; changed: it says something else; renamed, moved; reached: it says the same and uses what was changed; same: only comments or layout differ; uncompared: a revision cannot be read.",
	"planned":      "Both revisions were held against the system as it is now.",
	"problems":     "Why a revision cannot be read.",
	"side":         "Which revision: before or after.",
	"line":         "Where it stands.",
	"column":       "Where it stands in the line.",
	"message":      "What is wrong.",
	"settings":     "What is said otherwise; of a step that is new or gone, all that it says or said. Secrets that are written out are hidden.",
	"in":           "The playbook that says it, if it is one that this playbook runs.",
	"steps":        "The steps that differ, in the order of the later revision.",
	"step":         "The path of the step: its id, behind those of the steps that run the playbooks it is in.",
	"was":          "The path that it had before.",
	"moved":        "Where it stood, and where it stands.",
	"from":         "Where it stood.",
	"to":           "Where it stands.",
	"through":      "The names by which a change elsewhere reaches the step.",
	"impact":       "What is different in what it would do to the system as it is now.",
	"title":        "What the author calls the step.",
	"kind":         "The kind of the step.",
	"operation":    "The operation of its kind, or the playbook that it runs.",
	"target":       "The target on which it acts.",
	"group":        "The step is no operation: block, parallel or playbook.",
	"depth":        "How many steps the step stands in.",
	"class":        "What a crash may do to its effect.",
	"risk":         "How bad it is if it should not have been run; of a playbook, the highest of its steps.",
	"approval":     "A person is asked.",
	"standing":     "What a plan says: would, already, skip or unknown; absent: there is no plan, or a run would not come there.",
	"would":        "What it would do, in plain words.",
	"why":          "Why it is no better than that, or why the step is left out or cannot be judged.",
	"figures":      "Numbers about what it would do; of a loop, of all its items together.",
	"value":        "The number.",
	"certainty":    "exact: a run finds the same number; estimate: about as many; unknown: the value says nothing.",
	"now":          "It tells how large something is now; such numbers are not in a diff.",
	"bounds":       "Of an estimate: a run that begins now finds no less than least and no more than most. Absent: none are stated.",
	"least":        "No less.",
	"most":         "No more.",
	"unchanged":    "How many steps are the same.",
	"warnings":     "What a reviewer must not miss; in a summary, how many.",
	"text":         "The warning.",
	"summary":      "How many steps, and of what sort.",
	"added":        "Steps that are new.",
	"removed":      "Steps that are gone.",
	"changed":      "Steps that say something else.",
	"renamed":      "Steps that are the same under another id.",
	"reached":      "Steps that say the same and use what was changed.",
	"uncompared":   "Steps of a playbook of which a revision cannot be read.",
	"reads":        "Of these, in the later revision, steps that only read.",
	"changes":      "Of these, in the later revision, steps whose effect can be changed back.",
	"destroys":     "Of these, in the later revision, steps after which data or a service is gone until it is restored.",
	"irreversible": "Of these, in the later revision, steps that cannot be taken back by any means.",
	"approvals":    "Of these, in the later revision, steps at which a person is asked.",
	"raised":       "Steps whose risk is higher than it was.",
	"lowered":      "Steps whose risk is lower than it was.",
	"unreadable":   "Playbooks of which a revision cannot be read.",
}
