package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/preview"
)

// savedVersion is the version of the file of a saved plan.
const savedVersion = 1

// savedPlan is a plan that somebody may agree to, with what it is bound to. It holds no secret and nothing by which one
// could be guessed: a secret input is known by its name alone, and all texts were masked.
type savedPlan struct {
	Version int `json:"handrail_plan"`
	// Hash is the SHA-256 of what follows. Approvals name it.
	Hash string `json:"hash"`
	savedContent
}

type savedContent struct {
	Bound bound         `json:"bound"`
	Plan  *preview.Plan `json:"plan"`
}

// bound is what a saved plan is a plan of.
type bound struct {
	Asked       string            `json:"asked"` // the playbook, as it was named
	Playbook    string            `json:"playbook"`
	Digest      string            `json:"playbook_digest"`
	Nested      map[string]string `json:"nested,omitempty"` // digests of the playbooks that it runs, by name
	EnvAsked    string            `json:"environment_asked,omitempty"`
	Environment string            `json:"environment,omitempty"`
	EnvDigest   string            `json:"environment_digest,omitempty"`
	Inputs      engine.Typed      `json:"inputs"` // secrets by name only
	Tolerance   int               `json:"tolerance_percent"`
}

func boundTo(l *loaded, inputs engine.Record, name, env string, tolerance int) bound {
	b := bound{Asked: name, Playbook: l.pb.Name, Digest: l.pb.Digest, Nested: l.pb.NestedDigests(), EnvAsked: env,
		Inputs: engine.Typed{V: inputs}, Tolerance: tolerance}
	if l.env != nil {
		b.Environment, b.EnvDigest = l.env.Name, l.env.Digest
	}
	return b
}

func (c savedContent) hash() (string, error) {
	b, err := json.Marshal(c)
	return engine.Digest(string(b)), err
}

// savePlan writes a plan to a file that only its owner may read.
func (a *app) savePlan(p *preview.Plan, l *loaded, inputs engine.Record, name string, f planFlags) error {
	if f.tolerance < 0 {
		return fmt.Errorf("--tolerance %d: it is a number of hundredths, 0 or more", f.tolerance)
	}
	given, err := engine.AppendValue(nil, inputs)
	if err != nil {
		return fmt.Errorf("save the plan: inputs: %w", err)
	}
	if a.masker.Text(string(given)) != string(given) {
		return errors.New("the plan was not saved: an input that is not declared as a secret holds the value of one; declare it as `type: secret`")
	}
	masked, err := a.maskedPlan(p)
	if err != nil {
		return err
	}
	s := savedPlan{Version: savedVersion, savedContent: savedContent{boundTo(l, inputs, name, f.env, f.tolerance), masked}}
	if s.Hash, err = s.hash(); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	file := a.in(f.out)
	if err := writeWhole(file, append(b, '\n')); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	a.say("saved as %s; carry it out with: handrail run --plan %s", briefly(s.Hash), f.out)
	return nil
}

// maskedPlan is the plan as it may be kept.
func (a *app) maskedPlan(p *preview.Plan) (*preview.Plan, error) {
	out := &preview.Plan{}
	if err := a.maskInto(out, p); err != nil {
		return nil, fmt.Errorf("save the plan: %w", err)
	}
	return out, nil
}

// maskInto copies what has a JSON form, with every text masked.
func (a *app) maskInto(to, from any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	// Text by text: a secret that is a number, or a mark of JSON, must not break the form.
	var whole any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&whole); err != nil {
		return err
	}
	if b, err = json.Marshal(a.masker.Value(whole)); err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// writeWhole puts a file in its place when it is complete.
func writeWhole(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// briefly is a hash as people compare it.
func briefly(hash string) string { return hash[:min(len(hash), 16)] }

func (a *app) readSaved(name string) (*savedPlan, error) {
	b, err := os.ReadFile(a.in(name))
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	s := &savedPlan{}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil || s.Plan == nil || s.Version == 0 {
		return nil, fmt.Errorf("%s is no saved plan; make one with: handrail plan NAME --out %s", name, name)
	}
	if s.Version != savedVersion || s.Plan.Version != preview.Version {
		return nil, fmt.Errorf("%s was saved by another version of handrail; make it anew with: handrail plan %s --out %s", name, s.Bound.Asked, name)
	}
	hash, err := s.hash()
	if err != nil || hash != s.Hash {
		return nil, fmt.Errorf("%s was changed after it had been saved; make it anew with: handrail plan %s --out %s", name, s.Bound.Asked, name)
	}
	return s, nil
}

// startPlanned carries out a saved plan, if it still holds.
func (a *app) startPlanned(ctx context.Context, name string, f runFlags) error {
	s, err := a.readSaved(f.plan)
	if err != nil {
		return err
	}
	if name != "" && name != s.Bound.Asked && name != s.Bound.Playbook {
		return fmt.Errorf("%s is a plan of %s, not of %s", f.plan, s.Bound.Playbook, name)
	}
	if f.env != "" && f.env != s.Bound.EnvAsked || f.inputsFile != "" {
		return errors.New("--plan: the plan says in which environment and with what inputs it runs; only secret inputs are given again, with -i")
	}
	l, err := a.load(s.Bound.Asked, s.Bound.EnvAsked)
	if err != nil {
		return err
	}
	inputs, _ := s.Bound.Inputs.V.(engine.Record)
	if changed := s.Bound.differences(boundTo(l, inputs, "", "", 0)); len(changed) > 0 {
		return s.refused(f.plan, changed)
	}
	r, g, err := a.reachAgain(ctx, l, journal.Pinned{Inputs: inputs}, f.inputs)
	if err != nil {
		return err
	}
	inputs = maps.Clone(inputs)
	maps.Copy(inputs, g.Inputs)
	// now() is what it was in the plan, so that what was made from it is the same.
	now, err := a.makePlan(ctx, l, inputs, false, s.Plan.Made)
	if err == nil {
		now, err = a.maskedPlan(now)
	}
	if err != nil {
		return err
	}
	if changed := preview.Differences(s.Plan, now, s.Bound.Tolerance); len(changed) > 0 {
		return s.refused(f.plan, changed)
	}
	a.say("the plan %s still holds", briefly(s.Hash))
	if f.dryRun {
		return nil
	}
	return a.begin(ctx, l, r, inputs, f, s.Hash)
}

// differences says what of the files has changed.
func (b bound) differences(now bound) []string {
	var out []string
	if b.Digest != now.Digest {
		out = append(out, "the playbook "+b.Playbook+" was changed")
	}
	for _, name := range sortedNames(b.Nested) {
		switch digest, ok := now.Nested[name]; {
		case !ok:
			out = append(out, "the playbook "+name+" is not run any more")
		case digest != b.Nested[name]:
			out = append(out, "the playbook "+name+", which it runs, was changed")
		}
	}
	for _, name := range sortedNames(now.Nested) {
		if _, ok := b.Nested[name]; !ok {
			out = append(out, "it runs the playbook "+name+", which is not in the plan")
		}
	}
	switch {
	case b.Environment != now.Environment:
		out = append(out, fmt.Sprintf("the environment was %q and is %q", b.Environment, now.Environment))
	case b.EnvDigest != now.EnvDigest:
		out = append(out, "the environment "+b.Environment+" was changed")
	}
	return out
}

func (s *savedPlan) refused(file string, changed []string) error {
	return fmt.Errorf("the plan %s no longer holds, so nothing was begun:\n  - %s\nLook at it as it is now, and save it anew: handrail plan %s --out %s",
		briefly(s.Hash), strings.Join(changed, "\n  - "), s.Bound.Asked, file)
}
