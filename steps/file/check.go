package file

import (
	"context"
	"path/filepath"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// Check says what a preview cannot judge, and whether there is room where something is written.
func (o *step) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	var lacks []engine.Lack
	if _, unknown := engine.FirstUnknown(o.raw); !unknown {
		impact, err := o.Preview(ctx, env)
		if err != nil {
			return nil, err
		}
		if impact.Standing == engine.StandingUnknown {
			return []engine.Lack{steps.LackOf(impact.Why)}, nil
		}
	}
	given, _ := o.raw[o.name].(engine.Record)
	if to, ok := given["to"].(string); ok && to != "" {
		if !filepath.IsAbs(to) {
			to = filepath.Join(env.Dir, to)
		}
		lacks = append(lacks, disk.Lacks(filepath.Dir(to))...)
	}
	return lacks, nil
}
