package engine

import (
	"errors"
	"fmt"
)

// CheckAdoption says whether a run may go on under a corrected playbook: every step that has ended well,
// or has an effect that stands, or may be under way, must say the same as before. A step that failed is tried
// again in any case, and may be corrected. All that differ are in the error.
// Whether the order of the steps still fits is shown by replaying the journal under next.
func (r *Run) CheckAdoption(next *Playbook) error {
	if next.Name != r.pb.Name {
		if r.pb.NestedDigests()[next.Name] != "" {
			return fmt.Errorf("the run is of playbook %s, which runs %s; correct %s where %s finds it, and name the file of %s",
				r.pb.Name, next.Name, next.Name, r.pb.Name, r.pb.Name)
		}
		return fmt.Errorf("the run is of playbook %s, not of %s", r.pb.Name, next.Name)
	}
	steps := map[string]*Step{}
	next.EachPath(func(path string, s *Step) { steps[path] = s })
	var errs []error
	for _, path := range sortedPaths(r.nodes) {
		n := r.nodes[path]
		if n.def.Digest == "" || n.state == Pending || n.state == Failed && n.effect != EffectStands {
			continue
		}
		switch s := steps[r.playAt(n.frame).home+n.def.ID]; {
		case s == nil:
			errs = append(errs, fmt.Errorf("step %s is %s and is not in the corrected playbook", path, n.state))
		case s.Digest != n.def.Digest && n.role != roleLeaf && !n.closed():
			// A group that is under way may have got other steps; those that have run are checked themselves.
		case s.Digest != n.def.Digest:
			errs = append(errs, fmt.Errorf("%s: step %s is %s and must not be changed; give what comes next a new step of its own", s.Pos, path, n.state))
		}
	}
	return errors.Join(errs...)
}
