package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
)

type listed struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	File        string `json:"file"`
	Error       string `json:"error,omitempty"`
}

func (a *app) listCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the playbooks that can be run", Args: cobra.NoArgs,
		Long: "Lists the playbooks of ./playbooks, $HANDRAIL_PATH, /etc/handrail/playbooks and the shipped ones.",
		RunE: func(*cobra.Command, []string) error { return a.list() },
	}
	a.outputFlag(c)
	return c
}

func (a *app) list() error {
	all, err := a.everyPlaybook()
	if err != nil {
		return err
	}
	out := []listed{}
	width := 0
	for _, f := range all {
		l := listed{Name: f.name, File: f.file}
		pb, err := a.loadFound(f, nil)
		if err != nil {
			l.Error = fmt.Sprintf("does not load; see: handrail validate %s", view.Quote(f.name))
		} else {
			l.Description = pb.pb.Description
		}
		width = max(width, len(l.Name))
		out = append(out, l)
	}
	if a.json() {
		return view.WriteJSON(a.stdout, out)
	}
	for _, l := range out {
		text := l.Description
		if l.Error != "" {
			text = l.Error
		}
		if _, err := fmt.Fprintf(a.stdout, "%-*s  %s\n", width, l.Name, text); err != nil {
			return err
		}
	}
	return nil
}
