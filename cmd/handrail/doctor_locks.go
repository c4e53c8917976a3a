package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// targetOfLocks resolves the target that keeps the locks of the playbook, which the playbook itself need not have.
func (x *examination) targetOfLocks(base string) {
	in := x.loaded.locksIn()
	if in == "" {
		return
	}
	before := len(x.reach.targets)
	err := x.app.reachLocks(&x.reach, x.loaded, in, base)
	for _, t := range x.reach.targets[before:] {
		if _, unknown := engine.FirstUnknown(t.Settings); unknown {
			x.reach.targets, x.lost[t.Name] = x.reach.targets[:before], true
		}
	}
	if err != nil {
		x.lost[x.reach.locks] = true
		var secret engine.Unknown // which is said of the secret
		if !errors.As(err, &secret) {
			x.found("locks", x.placeOf(x.reach.locks), true, steps.LackOf(err.Error()))
		}
	}
}

// forLocksAlone: no step of the playbook acts on the target.
func (x *examination) forLocksAlone(target string) bool {
	return !slices.ContainsFunc(x.loaded.pb.Targets, func(use engine.TargetUse) bool { return use.Name == target })
}

// called is how a finding names a target.
func called(target string) string { return "target " + strings.TrimPrefix(target, lockTarget) }

// locks looks whether the target that keeps the locks can: its server takes writes, and the user has the rights.
func (x *examination) locks(ctx context.Context, ex *steps.Executor) {
	if x.reach.locks == "" || x.lost[x.reach.locks] {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	lacks, err := ex.ExamineLocks(ctx, x.reach.locks)
	if err != nil {
		lacks = append(lacks, steps.LackOf(err.Error()))
	}
	for _, l := range lacks {
		x.found("locks", x.placeOf(x.reach.locks), !l.Unsure, l)
	}
}
