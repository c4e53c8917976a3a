package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
)

// kept is what came of the promises of a run's playbook.
func kept(s Shown) []objective.Kept {
	v := s.Run.View()
	t := objective.Times{State: s.State, Started: v.Started, Finished: v.Finished}
	t.DataAt, _ = v.Outputs[objective.DataOutput].(time.Time)
	if t.Finished.IsZero() && s.State.Final() {
		t.Finished = s.Now
	}
	now := s.Now
	if s.State == engine.RunCancelled || s.State == engine.RunUndone { // nobody waits for it any more
		now = t.Finished
	}
	return objective.Judge(s.Run.Playbook().Objectives, t, now)
}

func writeKept(b *strings.Builder, style Style, s Shown) {
	for _, k := range kept(s) {
		fmt.Fprintf(b, "  %s\n", Kept(style, k, s.State.Final() && s.State != engine.RunFailed))
	}
}

// Kept says what came of one promise. over: nothing more will come of it.
func Kept(style Style, k objective.Kept, over bool) string {
	name := strings.ToUpper(k.Objective) + " " + Duration(k.Promised) + ": "
	switch {
	case k.Objective == "rpo" && k.Verdict == objective.Running:
		if k.Saved {
			return name + "nothing is saved yet"
		}
		return name + "nothing is brought back yet"
	case k.Objective == "rpo" && k.Verdict == objective.Unknown:
		return name + "not known, the playbook has no output " + objective.DataOutput
	case k.Objective == "rpo" && k.Saved:
		return fmt.Sprintf("%s%s, what was saved is %s old", name, verdict(style, k.Verdict), Duration(k.Measured))
	case k.Objective == "rpo":
		return fmt.Sprintf("%s%s, the data is of %s, %s before the run began", name, verdict(style, k.Verdict),
			k.DataAt.Local().Format("2006-01-02 15:04:05"), Duration(k.Measured))
	case k.Verdict == objective.Running && over:
		return fmt.Sprintf("%snot met, the run ended otherwise after %s", name, Duration(k.Measured))
	case k.Verdict == objective.Running:
		return fmt.Sprintf("%s%s left", name, Duration(k.Promised-k.Measured))
	case k.Verdict == objective.Missed && !over:
		return fmt.Sprintf("%s%s, %s are gone", name, verdict(style, k.Verdict), Duration(k.Measured))
	}
	return fmt.Sprintf("%s%s, it took %s", name, verdict(style, k.Verdict), Duration(k.Measured))
}

func verdict(style Style, v objective.Verdict) string {
	switch v {
	case objective.Held:
		return style.mark(green, string(v))
	case objective.Missed:
		return style.mark(red, string(v))
	case objective.Running, objective.Unknown:
	}
	return string(v)
}
