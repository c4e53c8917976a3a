package main

import (
	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine/playbook"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Write the JSON Schema of a playbook, for editors", Args: cobra.NoArgs,
		Long: "Writes the JSON Schema of a playbook. An editor finds it by a first line such as\n  # yaml-language-server: $schema=./playbook.schema.json",
		RunE: func(*cobra.Command, []string) error {
			b, err := playbook.Schema(a.catalogue())
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(append(b, '\n'))
			return err
		},
	}
}
