package exec

import (
	"context"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Check looks for the folder and for the program on this machine. A program is there or it is not: one that an
// earlier step installs is none that a procedure should rest on. Elsewhere a preview says what can be said.
func (p *program) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	if _, local := p.at(env).(here); local {
		return p.checkHere(env)
	}
	if _, unknown := engine.FirstUnknown(p.raw); unknown {
		return nil, nil
	}
	impact, err := p.Preview(ctx, env)
	if err == nil && impact.Standing == engine.StandingUnknown {
		return []engine.Lack{steps.LackOf(impact.Why)}, nil
	}
	return nil, err
}

func (p *program) checkHere(env *steps.Env) ([]engine.Lack, error) {
	dir, err := p.dir(env)
	if _, later := p.raw["dir"].(engine.Unknown); later {
		err = nil
	}
	if err != nil {
		return []engine.Lack{{What: err.Error(), Remedy: "make it, or give `dir`"}}, nil
	}
	name := "sh"
	if p.Shell == "" {
		if unknownProgram(p.raw) {
			return nil, nil
		}
		name = p.Argv[0]
	}
	_, path := p.environment("")
	if _, err := host.LookPath(name, path, dir); err != nil {
		return []engine.Lack{{What: err.Error(), Remedy: "install it on this machine, or say where it is", Lasting: true}}, nil
	}
	return nil, nil
}
