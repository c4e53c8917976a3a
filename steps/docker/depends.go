package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
)

// labelDepends is where Compose from version 2 on writes on what services a container depends: db:service_healthy:true,cache:….
const labelDepends = composePrefix + "depends_on"

// mostNamed bounds how many containers a plan names in one line.
const mostNamed = 10

// depending says who feels it when containers go, by one list of all containers: those that say so in their Compose file, those that
// live in a container's network, and those that share a network or a volume with it.
func (c *connection) depending(ctx context.Context, subjects []shown, i *engine.Impact) error {
	all, err := c.ContainerList(ctx, apicontainer.ListOptions{All: true})
	if err != nil {
		return fmt.Errorf("look who depends on the containers: %w", c.explain(ctx, err))
	}
	own := map[string]bool{}
	for _, s := range subjects {
		own[s.id] = true
	}
	for _, s := range subjects {
		if s.state == stateAbsent {
			continue
		}
		var lean, near, share []string
		for _, o := range all {
			if own[o.ID] || len(o.Names) == 0 {
				continue
			}
			name := strings.TrimPrefix(o.Names[0], "/")
			switch {
			case o.HostConfig.NetworkMode == "container:"+s.id || o.HostConfig.NetworkMode == "container:"+s.name:
				lean = append(lean, name+" ("+o.State+", lives in its network)")
				continue
			case dependsOn(o.Labels, s.labels):
				lean = append(lean, name+" ("+o.State+", by depends_on of its Compose file)")
				continue
			}
			if network := together(o, s); network != "" {
				near = append(near, name)
			}
			if sharesVolume(o, s) {
				share = append(share, name)
			}
		}
		for _, line := range []struct {
			what string
			who  []string
		}{{"depends on " + s.name, lean}, {"in a network with " + s.name, near}, {"shares a volume with " + s.name, share}} {
			if len(line.who) > 0 {
				i.Facts = append(i.Facts, engine.Fact{Name: line.what, Value: few(line.who)})
			}
		}
		if len(lean) > 0 {
			i.Warnings = append(i.Warnings, few(lean)+" "+map[bool]string{true: "depends", false: "depend"}[len(lean) == 1]+" on "+s.name)
		}
	}
	return nil
}

// few names the first of them, in their order.
func few(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > mostNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
	}
	return strings.Join(names, ", ")
}

// dependsOn reads the label of one container for the service of another in the same project.
func dependsOn(labels, on map[string]string) bool {
	service := on[labelService]
	if service == "" || labels[labelProject] == "" || labels[labelProject] != on[labelProject] {
		return false
	}
	for entry := range strings.SplitSeq(labels[labelDepends], ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(entry), ":"); name == service {
			return true
		}
	}
	return false
}

// together is a network that both are in, the engine's own left out: in those nobody is found by a name.
func together(o apicontainer.Summary, s shown) string {
	if o.NetworkSettings == nil {
		return ""
	}
	for name := range o.NetworkSettings.Networks {
		if name != "bridge" && name != "host" && name != "none" && s.joined(name) {
			return name
		}
	}
	return ""
}

func sharesVolume(o apicontainer.Summary, s shown) bool {
	for _, m := range o.Mounts {
		for _, own := range s.raw.Mounts {
			if m.Name != "" && m.Name == own.Name {
				return true
			}
		}
	}
	return false
}
