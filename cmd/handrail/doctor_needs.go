package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/handrail-dev/handrail/cmd/internal/secrets"
	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps"
)

// secrets tries each secret by itself, so that one that is missing does not hide the others. A command is run only where
// the environment allows it for plans.
func (x *examination) secrets(ctx context.Context) {
	sources, err := x.app.secretSources(x.loaded)
	for _, d := range playbook.Diagnostics(err) {
		x.found("", d.Pos, true, engine.Lack{What: d.Message, Remedy: d.Remedy})
	}
	options := secrets.Options{InPlan: true, LookupEnv: x.app.env, Masker: &x.app.masker, Dir: x.app.in(".")}
	if x.env != nil && x.env.File != "" {
		options.Dir = filepath.Dir(x.env.File)
	}
	for _, s := range sources {
		pos := x.loaded.pb.Secrets[s.Name]
		if x.env != nil {
			if declared, ok := x.env.Secrets[s.Name]; ok {
				pos = declared.Pos
			}
		}
		got, err := secrets.Resolve(ctx, []secrets.Source{s}, options)
		x.reach.secrets[s.Name] = engine.Unknown{}
		switch v, isSecret := got.Values[s.Name].(engine.Secret); {
		case err != nil:
			x.found("secret "+s.Name, pos, true, steps.LackOf(strings.TrimPrefix(err.Error(), "secret "+s.Name+": ")))
		case !isSecret:
			x.found("secret "+s.Name, pos, false, engine.Lack{What: "it comes from a command, which was not run", Remedy: "`in_plan: true` beside it allows that"})
		default:
			x.reach.secrets[s.Name] = v
		}
	}
}

// targets resolves where the targets are. What rests on a secret that was not had is not tried.
func (x *examination) targets(base string) {
	for _, use := range x.loaded.pb.Targets {
		typ, settings, err := playbook.ResolveTarget(use, x.env, x.reach.secrets)
		if err != nil {
			x.lost[use.Name] = true
			var u engine.Unknown
			if !errors.As(err, &u) {
				x.found("target "+use.Name, use.Pos, true, engine.Lack{What: "it is not said where it is", Remedy: x.app.ambiguous()})
			}
			continue
		}
		if _, unknown := engine.FirstUnknown(settings); unknown {
			x.lost[use.Name] = true
			continue
		}
		x.reach.shown[use.Name] = x.reach.addTarget(use.Name, typ, settings, x.app.targetType(typ), base)
	}
}

// scarceState is too little room for the journal of a run.
const scarceState = 16 << 20

// examineState looks whether runs can be recorded on this machine.
func (a *app) examineState() []view.ExaminedFinding {
	fails := func(what, remedy string) []view.ExaminedFinding {
		return []view.ExaminedFinding{{Step: "state folder", Fails: true, What: what, Remedy: remedy}}
	}
	store, err := a.state()
	if err != nil {
		return fails(err.Error(), "set HANDRAIL_STATE")
	}
	dir := store.Path()
	for { // it is made with the first run
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return fails(dir+" is not a folder", "set HANDRAIL_STATE to a folder")
		}
		if err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if !writable(dir) {
		return fails("this user cannot write to "+dir, "set HANDRAIL_STATE to a folder of its own")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil {
		if free := int64(st.Bavail) * st.Bsize; free < scarceState {
			return fails(fmt.Sprintf("only %d KiB are free in %s", free>>10, dir), "free some space there")
		}
	}
	return nil
}
