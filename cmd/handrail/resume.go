package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

// resumeFlags say how a run goes on.
type resumeFlags struct {
	file     string   // a corrected playbook
	inputs   []string // the secret ones, again
	failOn   string
	patience time.Duration
}

func (a *app) resumeCommand() *cobra.Command {
	var f resumeFlags
	c := &cobra.Command{
		Use: "resume RUN", Short: "Go on with a run that was cut off, failed or waited", Args: cobra.ExactArgs(1),
		Long: "Continues a run where it stood, with the copies of playbook, environment and inputs that it was started with.\n" +
			"Failed steps are tried again. --playbook FILE adopts a correction, as long as finished steps are unchanged.",
		ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			return a.resume(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVar(&f.file, "playbook", "", "go on under this corrected playbook")
	c.Flags().StringArrayVarP(&f.inputs, "input", "i", nil, "a secret input again, as key=value: secrets are never stored")
	a.failOnFlag(c, &f.failOn)
	lockFlag(c, &f.patience)
	a.outputFlag(c)
	return c
}

func (a *app) resume(ctx context.Context, typed string, f resumeFlags) error {
	s, err := a.continueRun(ctx, typed, f)
	if err != nil {
		return a.freeLeft(ctx, typed, err)
	}
	defer s.close()
	state, err := s.drive(ctx)
	if err != nil {
		return err
	}
	return endedIn(state, f.failOn)
}

// continueRun takes a run over, has its locks, and records that it goes on.
func (a *app) continueRun(ctx context.Context, typed string, f resumeFlags) (_ *session, err error) {
	store, err := a.state()
	if err != nil {
		return nil, err
	}
	id, err := store.Resolve(typed)
	if err != nil {
		return nil, err
	}
	var r *reach
	s, err := a.takeOverWith(id, func(l *loaded, p journal.Pinned) (g engine.Given, err error) {
		if f.file == "" { // a corrected playbook may need other secrets and targets
			r, g, err = a.reachAgain(ctx, l, p, f.inputs)
		}
		return g, err
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if state := s.run.State(); state.Final() && state != engine.RunFailed {
		return nil, fmt.Errorf("run %s is %s; there is nothing to go on with", id, state)
	}
	var next *correction
	names := s.loaded.pb.EveryLock()
	if f.file != "" {
		if next, err = s.correct(ctx, f.file, f.inputs); err != nil {
			return nil, err
		}
		r = next.reach
		names = slices.Concat(names, next.loaded.pb.EveryLock())
	}
	holder := journal.HolderOf(id, s.loaded.pb.Name, store.Path(), s.by, a.now().UTC())
	s.openTargets(r, id)
	if err := s.takeLocks(ctx, r, names, holder, f.patience); err != nil {
		return nil, err
	}
	if next != nil {
		if err := s.adopt(next); err != nil {
			return nil, err
		}
	}
	return s, s.record(engine.RunResumed{By: s.by, Epoch: s.run.Epoch() + 1})
}

// reachAgain resolves what no journal holds: secrets, and inputs that are secret.
func (a *app) reachAgain(ctx context.Context, l *loaded, p journal.Pinned, given []string) (*reach, engine.Given, error) {
	values := map[string]any{}
	if err := pairs(given, values); err != nil {
		return nil, engine.Given{}, err
	}
	again := engine.Record{}
	for _, name := range engine.Keys(p.Inputs) {
		if _, secret := p.Inputs[name].(engine.Secret); !secret {
			continue
		}
		value, ok := values[name].(string)
		if !ok {
			var err error
			if value, err = a.askSecret(name); err != nil {
				return nil, engine.Given{}, err
			}
		}
		delete(values, name)
		again[name] = engine.NewSecret(name, value)
	}
	if len(values) > 0 {
		return nil, engine.Given{}, fmt.Errorf("-i %s: only secret inputs are given again; the others are as the run was started with", sortedNames(values)[0])
	}
	a.maskInputs(again)
	r, err := a.reach(ctx, l, false)
	if err != nil {
		return nil, engine.Given{}, err
	}
	for _, w := range r.warnings {
		a.say("warning: %s", w)
	}
	return r, engine.Given{Secrets: r.secrets, Inputs: again, Targets: r.shown}, nil
}

// correction is a corrected playbook under which a run can go on.
type correction struct {
	loaded *loaded
	run    *engine.Run // replayed under it
	reach  *reach
}

// correct loads a corrected playbook and finds out whether what has happened fits it. It changes nothing.
func (s *session) correct(ctx context.Context, file string, inputs []string) (*correction, error) {
	next, err := s.app.loadFound(s.app.fromDisk(s.app.in(file)), s.loaded.env)
	if err != nil {
		return nil, err
	}
	changed := !bytes.Equal(next.src, s.loaded.src)
	changesOf(s.loaded.nested, next.nested, func(string, []byte, []byte) { changed = true })
	if !changed {
		return nil, fmt.Errorf("%s is what the run has already; resume it without --playbook", file)
	}
	if err := s.run.CheckAdoption(next.pb); err != nil {
		return nil, fmt.Errorf("the run cannot go on under %s: %w", file, err)
	}
	next.envSrc = s.loaded.envSrc
	pb := next.pb
	r, g, err := s.app.reachAgain(ctx, next, s.pinned, inputs)
	if err != nil {
		return nil, err
	}
	run := engine.NewRun(pb, g)
	if err := s.journal.Replay(run.Apply); err != nil {
		var fault *journal.Fault
		if errors.As(err, &fault) {
			return nil, err
		}
		return nil, fmt.Errorf("the run cannot go on under %s, because what has happened does not fit it: %w", file, err)
	}
	run.Synced()
	return &correction{next, run, r}, nil
}

// adopt puts a corrected playbook in the place of the one that the run has. The copy is pinned BEFORE the
// event that speaks of it.
func (s *session) adopt(c *correction) error {
	if err := s.journal.Adopt(c.loaded.src, c.loaded.nested); err != nil {
		return err
	}
	change := string(diff.Diff("pinned", s.loaded.src, c.loaded.file, c.loaded.src))
	changesOf(s.loaded.nested, c.loaded.nested, func(name string, old, now []byte) {
		change += string(diff.Diff("pinned "+name, old, name, now))
	})
	s.run, s.loaded = c.run, c.loaded
	pb := c.loaded.pb
	return s.record(engine.PlaybookAdopted{Digest: pb.Digest, Nested: pb.NestedDigests(), Diff: change, By: s.by})
}
