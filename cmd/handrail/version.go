package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
)

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return view.WriteJSON(a.stdout, map[string]string{"version": version, "go": runtime.Version(),
					"os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			_, err := fmt.Fprintf(a.stdout, "handrail %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	a.outputFlag(c)
	return c
}
