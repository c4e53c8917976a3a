package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) logsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logs RUN [STEP]", Short: "Show what the steps of a run have written", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeRunsAndSteps,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 {
				return a.stepLog(args[0], args[1])
			}
			return a.logs(args[0])
		},
	}
}

func (a *app) logs(typed string) error {
	s, err := a.state()
	if err != nil {
		return err
	}
	id, err := s.Resolve(typed)
	if err != nil {
		return err
	}
	files, err := s.Logs(id)
	if err != nil {
		return err
	}
	for _, name := range files {
		step, err := url.PathUnescape(strings.TrimSuffix(name, ".log"))
		if err != nil {
			step = name
		}
		if _, err := fmt.Fprintf(a.stdout, "--- %s\n", step); err != nil {
			return err
		}
		if err := a.copyLog(s.Folder(id, "logs", name)); err != nil {
			return err
		}
	}
	if len(files) == 0 {
		a.say("no step of run %s has written anything", id)
	}
	return nil
}

func (a *app) stepLog(typed, step string) error {
	s, err := a.state()
	if err != nil {
		return err
	}
	id, err := s.Resolve(typed)
	if err != nil {
		return err
	}
	err = a.copyLog(s.LogPath(id, step))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("step %s of run %s has written nothing; see what has with: handrail logs %s", step, id, id)
	}
	return err
}

// copyLog writes a log to the answer. It was masked when it was written.
func (a *app) copyLog(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	_, err = io.Copy(a.stdout, f)
	return err
}
