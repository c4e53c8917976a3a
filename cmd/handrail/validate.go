package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine/playbook"
)

type mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

func (a *app) validateCommand() *cobra.Command {
	var environment string
	c := &cobra.Command{
		Use: "validate [PATH…]", Short: "Load and check playbooks and environments; say every mistake with its place",
		Long: "Checks files, folders of files, or playbooks by name; without any, ./playbooks and ./environments.",
		RunE: func(_ *cobra.Command, args []string) error { return a.validate(args, environment) },
	}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		names, _ := a.completePlaybooks(c, nil, word)
		return names, cobra.ShellCompDirectiveDefault
	}
	c.Flags().StringVar(&environment, "env", "", "the environment under which playbooks are checked")
	_ = c.RegisterFlagCompletionFunc("env", a.completeEnvironments)
	a.outputFlag(c)
	a.untrustedFlag(c)
	return c
}

func (a *app) validate(paths []string, environment string) error {
	env, _, envErr := a.loadEnvironment(environment)
	if envErr != nil && environment != "" {
		return envErr
	}
	files, err := a.toValidate(paths)
	if err != nil {
		return err
	}
	mistakes, wrong := []mistake{}, false
	told := map[string]bool{}
	for _, f := range files {
		err := a.validateOne(f, env)
		wrong = wrong || err != nil
		err = untold(err, told)
		switch {
		case errors.Is(err, errTold):
		case err == nil && !a.json():
			if _, err := fmt.Fprintf(a.stdout, "%s: ok\n", f.file); err != nil {
				return err
			}
		case err != nil:
			mistakes = append(mistakes, mistakesOf(f.file, err)...)
			if !a.json() {
				a.complain(err)
			}
		}
	}
	if a.json() {
		if err := view.WriteJSON(a.stdout, mistakes); err != nil {
			return err
		}
	}
	if wrong {
		return ended(exitWrong)
	}
	return nil
}

// errTold stands for mistakes of which each was told with another file.
var errTold = errors.New("its mistakes were told already")

// untold leaves out the mistakes that were told already: a playbook may be checked by itself and as a part of
// those that run it.
func untold(err error, told map[string]bool) error {
	found := playbook.Diagnostics(err)
	if len(found) == 0 {
		return err
	}
	var fresh []error
	for _, d := range found {
		if !told[d.Error()] {
			fresh = append(fresh, d)
		}
		told[d.Error()] = true
	}
	if len(fresh) == 0 {
		return errTold
	}
	return &multierror.Error{Errors: fresh}
}

// toValidate lists the files that are meant.
func (a *app) toValidate(paths []string) ([]found, error) {
	var out []found
	if len(paths) == 0 {
		for _, dir := range []string{"playbooks", "environments"} {
			if _, err := os.Stat(a.in(dir)); err == nil {
				paths = append(paths, dir+string(filepath.Separator))
			}
		}
		if len(paths) == 0 {
			return nil, errors.New("there is neither ./playbooks nor ./environments here; name what is to be checked")
		}
	}
	for _, p := range paths {
		if err := a.direct(a.in(p)); err != nil {
			return nil, err
		}
		if info, err := os.Stat(a.in(p)); err == nil && info.IsDir() {
			files, err := a.yamlFiles(a.in(p))
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				out = append(out, a.fromDisk(f))
			}
			continue
		}
		f, err := a.find(p)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

var (
	ofPlaybook    = regexp.MustCompile(`(?m)^(playbook|steps|inputs|description)[ \t]*:`)
	ofEnvironment = regexp.MustCompile(`(?m)^(targets|secrets)[ \t]*:`)
)

// validateOne checks a file as what it is: an environment has targets or secrets and nothing of a playbook.
func (a *app) validateOne(f found, env *playbook.Environment) error {
	src, err := f.read()
	if err != nil {
		return err
	}
	if ofEnvironment.Match(src) && !ofPlaybook.Match(src) {
		_, err = playbook.LoadEnvironment(f.file, src, a.catalogue())
		return err
	}
	_, err = a.loadFound(f, env)
	return err
}

func mistakesOf(file string, err error) []mistake {
	var out []mistake
	for _, d := range playbook.Diagnostics(err) {
		out = append(out, mistake{d.Pos.File, d.Pos.Line, d.Pos.Column, d.Message, d.Remedy})
	}
	if len(out) == 0 {
		out = append(out, mistake{File: file, Message: err.Error()})
	}
	return out
}
