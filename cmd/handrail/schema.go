package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine/playbook"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema [playbook|plan|diff|doctor]", Short: "Write the JSON Schema of a playbook, for editors, or of what plan, diff and doctor say", Args: cobra.MaximumNArgs(1),
		Long: "Writes the JSON Schema of a playbook. An editor finds it by a first line such as\n  # yaml-language-server: $schema=./playbook.schema.json\n" +
			"`handrail schema plan`, `schema diff` and `schema doctor` write those of what these commands say with -o json.",
		ValidArgs: []string{"playbook", "plan", "diff", "doctor"},
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := a.schemaOf(append(args, "playbook")[0])
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(b)
			return err
		},
	}
}

func (a *app) schemaOf(what string) ([]byte, error) {
	switch what {
	case "playbook":
		b, err := playbook.Schema(a.catalogue())
		return append(b, '\n'), err
	case "plan":
		return view.PlanSchema()
	case "diff":
		return view.DiffSchema()
	case "doctor":
		b, err := view.ExaminedSchema()
		return append(b, '\n'), err
	}
	return nil, fmt.Errorf("there is no schema of %s; there are playbook, plan, diff and doctor", what)
}
