package main

import (
	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine/playbook"
)

func (a *app) kindsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "kinds", Short: "Write the reference of the step kinds, in Markdown", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(playbook.KindsMarkdown(a.catalogue()))
			return err
		},
	}
}
