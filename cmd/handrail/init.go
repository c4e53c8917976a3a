package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine/playbook"
)

const starterPlaybook = `# yaml-language-server: $schema=../playbook.schema.json
# A first playbook: it writes a line into a file, once, and proves that the line is there.
#   handrail plan hello        what it would do
#   handrail run hello         do it
playbook: hello
description: Writes a greeting into greetings.txt and proves that it is there.
inputs:
  name: {type: string, default: world, pattern: "^[A-Za-z ]{1,40}$", description: Who is greeted}
steps:
  - id: greet
    title: Write the greeting
    exec:
      shell: echo "hello $NAME" >> greetings.txt
      env: {NAME: "${{ inputs.name }}"}
    # Asked before the step, and again when a crash leaves it in doubt.
    done_if:
      - exec: {argv: [grep, -qx, "hello ${{ inputs.name }}", greetings.txt], codes: [0, 1, 2]}
        effect: read
        expect: code == 0

  - id: proven
    title: Is it there?
    verify:
      - exec: {argv: [cat, greetings.txt]}
        effect: read
        expect: stdout contains "hello " + inputs.name
        message: the greeting is there
`

const starterEnvironment = `# Where things are. Choose with --env NAME or $HANDRAIL_ENV.
# targets:
#   db:    {mysql: {address: 127.0.0.1:3306, user: ops, password: "${{ secrets.DB_PASSWORD }}", database: app}}
#   cache: {redis: {address: 127.0.0.1:6379}}
# secrets:
#   DB_PASSWORD: {env: DB_PASSWORD}
targets: {}
`

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init [FOLDER]", Short: "Write a first playbook, an environment and the schema for the editor", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.init(a.in(optional(args, 0)))
		},
	}
}

// init writes files that are not there yet, and none that is.
func (a *app) init(dir string) error {
	schema, err := playbook.Schema(a.catalogue())
	if err != nil {
		return err
	}
	files := []struct{ name, text string }{
		{filepath.Join("playbooks", "hello.yaml"), starterPlaybook},
		{filepath.Join("environments", "default.yaml"), starterEnvironment},
		{"playbook.schema.json", string(schema)},
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		made, err := writeNew(path, f.text)
		if err != nil {
			return err
		}
		if !made {
			a.say("%s is there already; it was left as it is", path)
			continue
		}
		if _, err := fmt.Fprintln(a.stdout, path); err != nil {
			return err
		}
	}
	a.say("next: handrail plan hello")
	return nil
}

func writeNew(path, text string) (made bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.WriteString(text)
	return true, errors.Join(err, f.Close())
}
