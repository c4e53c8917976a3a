package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
)

// drill is the last good run of a playbook that promises something.
type drill struct {
	Playbook string        `json:"playbook"`
	RTO      time.Duration `json:"rto_ns,omitempty"`
	RPO      time.Duration `json:"rpo_ns,omitempty"`
	// Last is null when no run is known that ended well.
	Last *objective.Times `json:"last"`
	Took time.Duration    `json:"took_ns,omitempty"`
	Kept []objective.Kept `json:"objectives"`
	// Changed: the playbook, or one that it runs, is not what it was then.
	Changed bool   `json:"changed_since,omitempty"`
	Runs    int    `json:"runs"` // good ones that are known, at most 100
	Holds   bool   `json:"holds"`
	Why     string `json:"why,omitempty"` // it is not known to hold
}

func (a *app) drillsCommand() *cobra.Command {
	var strict bool
	var within age
	c := &cobra.Command{
		Use: "drills [NAME…]", Short: "Say of each playbook with objectives when it was last run well, and whether they still hold",
		Long: "Lists the playbooks that promise a recovery time or point (objectives), each with its last good run, the time that it took and the\n" +
			"age of the data that it brought back, held against what the playbook promises today. A playbook that was changed since is named:\n" +
			"what held for the old one is not known of the new one.",
		ValidArgsFunction: a.completePlaybooks,
		RunE:              func(_ *cobra.Command, args []string) error { return a.drills(args, strict, time.Duration(within)) },
	}
	c.Flags().BoolVar(&strict, "strict", false, "exit 1 when an objective is not known to hold")
	c.Flags().Var(&within, "within", "a run before that long ago shows nothing, such as 90d; 0: it always does")
	a.outputFlag(c)
	return c
}

func (a *app) drills(names []string, strict bool, within time.Duration) error {
	all, err := a.everyPlaybook()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(f found) bool { return f.name == name }) {
			return fmt.Errorf("there is no playbook %s; see them with: handrail list", name)
		}
	}
	out := []drill{}
	holds := true
	for _, f := range all {
		if len(names) > 0 && !slices.Contains(names, f.name) {
			continue
		}
		l, err := a.loadFound(f, nil)
		if err != nil {
			a.say("warning: %s does not load; see: handrail validate %s", f.name, view.Quote(f.name))
			holds = false
			continue
		}
		if o := l.pb.Objectives; o.RTO == 0 && o.RPO == 0 {
			continue
		}
		past, err := a.history(l.pb.Name)
		if err != nil {
			return err
		}
		d := drillOf(l.pb, past, a.now(), within)
		holds = holds && d.Holds
		out = append(out, d)
	}
	if a.json() {
		err = view.WriteJSON(a.stdout, out)
	} else {
		err = a.tellDrills(out)
	}
	if strict && !holds {
		return errors.Join(err, ended(exitFailed))
	}
	return err
}

// drillOf holds what a playbook promises today against its last good run.
func drillOf(pb *engine.Playbook, past []objective.Times, now time.Time, within time.Duration) drill {
	d := drill{Playbook: pb.Name, RTO: pb.Objectives.RTO, RPO: pb.Objectives.RPO, Runs: len(past), Kept: []objective.Kept{}}
	if len(past) == 0 {
		d.Why = "no run is known that ended well"
		return d
	}
	last := past[0]
	d.Last, d.Took, d.Changed = &last, last.Took(), !last.SameAs(pb)
	d.Kept = objective.Judge(pb.Objectives, last, now)
	d.Holds = true
	for _, k := range d.Kept {
		if k.Verdict != objective.Held {
			d.Holds = false
		}
	}
	switch {
	case !d.Holds:
	case d.Changed:
		d.Holds, d.Why = false, "the playbook was changed since"
	case within > 0 && now.Sub(last.Started) > within:
		d.Holds, d.Why = false, "that was longer ago than "+view.Duration(within)
	}
	return d
}

func (a *app) tellDrills(all []drill) error {
	if len(all) == 0 {
		a.say("no playbook has objectives")
		return nil
	}
	style := a.style(a.stdout)
	for _, d := range all {
		if err := tellDrill(a.stdout, style, d); err != nil {
			return err
		}
	}
	return nil
}

func tellDrill(w io.Writer, style view.Style, d drill) error {
	text := d.Playbook + ": "
	if d.Last == nil {
		text += d.Why + "\n"
		if d.RTO > 0 {
			text += fmt.Sprintf("  RTO %s: not known\n", view.Duration(d.RTO))
		}
		if d.RPO > 0 {
			text += fmt.Sprintf("  RPO %s: not known\n", view.Duration(d.RPO))
		}
		_, err := io.WriteString(w, text)
		return err
	}
	text += fmt.Sprintf("last run well %s", d.Last.Started.Local().Format("2006-01-02 15:04"))
	if d.Last.Environment != "" {
		text += " on " + d.Last.Environment
	}
	text += fmt.Sprintf(", run %s, %s\n", d.Last.Run, d.Last.State)
	for _, k := range d.Kept {
		text += "  " + view.Kept(style, k, true) + "\n"
	}
	if d.Why != "" {
		text += "  no longer shown: " + d.Why + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
