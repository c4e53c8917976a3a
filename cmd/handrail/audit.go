package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
)

func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "audit RUN", Short: "Check the hash chain of a run's journal", Args: cobra.ExactArgs(1),
		Long:              "Checks every line of a run's journal. docs/verify-journal.sh does the same with sha256sum alone.",
		ValidArgsFunction: a.completeRuns,
		RunE:              func(_ *cobra.Command, args []string) error { return a.audit(args[0]) },
	}
	a.outputFlag(c)
	return c
}

func (a *app) audit(typed string) error {
	s, err := a.state()
	if err != nil {
		return err
	}
	id, err := s.Resolve(typed)
	if err != nil {
		return err
	}
	r, err := s.Read(id)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	report, err := r.Verify()
	if err != nil {
		return err
	}
	if a.json() {
		return view.WriteJSON(a.stdout, map[string]any{"id": id, "lines": report.Lines, "events": report.Events,
			"bytes": report.Bytes, "torn_bytes": report.Torn, "head": report.Head})
	}
	if report.Torn > 0 {
		a.say("behind the last line are %d bytes of a write that was never acknowledged; the next resume keeps them aside", report.Torn)
	}
	_, err = fmt.Fprintf(a.stdout, "run %s: %d lines with %d events, the chain holds\nhead %s\n", id, report.Lines, report.Events, report.Head)
	return err
}
