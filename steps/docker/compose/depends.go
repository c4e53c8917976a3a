package compose

import (
	"fmt"
	"slices"
)

// Dependents are the services that are not among those and depend on one of them: "web depends on db", in their order.
func (p *Project) Dependents(on []Service) []string {
	var out []string
	for name, s := range p.all.Services {
		if slices.ContainsFunc(on, func(o Service) bool { return o.Name == name }) {
			continue
		}
		for _, o := range on {
			if _, depends := s.DependsOn[o.Name]; depends {
				out = append(out, fmt.Sprintf("%s depends on %s", name, o.Name))
			}
		}
	}
	slices.Sort(out)
	return out
}
