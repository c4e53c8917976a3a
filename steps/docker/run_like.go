package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"github.com/handrail-dev/handrail/engine"
)

// labelNetworks holds the networks that a container joins BEFORE its start, so that an attempt AFTER a
// crash knows them even when the container that they were taken from is gone.
const labelNetworks = labelPrefix + "networks"

// likeness is what a container gives to another that is made like it.
type likeness struct{ wanted }

// likeness takes the configuration of a container. What its image says is left out: that is for the
// image that the new one is made of to say.
func (c *connection) likeness(ctx context.Context, name string) (likeness, error) {
	s, found, err := c.look(ctx, name)
	switch {
	case err != nil:
		return likeness{}, err
	case !found || s.raw.Config == nil || s.raw.HostConfig == nil:
		return likeness{}, fmt.Errorf("like: %w", noContainer([]string{name}))
	}
	config, host := *s.raw.Config, *s.raw.HostConfig
	if strings.HasPrefix(s.id, config.Hostname) {
		config.Hostname = "" // the engine has made it of the id
	}
	config.MacAddress = ""                                                             //nolint:staticcheck // two containers cannot have one, whatever the field is called
	config.AttachStdin, config.AttachStdout, config.AttachStderr = false, false, false // of the client that made it
	config.Labels = ownLabels(config.Labels)
	if err := c.withoutImage(ctx, &config, s.imageID); err != nil {
		return likeness{}, err
	}
	host.Binds, host.Mounts = mounted(s.raw.Mounts, host.Mounts)
	host.VolumesFrom, host.Links, host.ContainerIDFile, host.AutoRemove = nil, nil, "", false
	l := likeness{wanted: wanted{config: &config, host: &host}}
	l.takeNetworks(s)
	return l, nil
}

// ownLabels leaves out those by which Handrail and Compose know their containers again.
func ownLabels(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if !strings.HasPrefix(k, labelPrefix) && !strings.HasPrefix(k, composePrefix) {
			out[k] = v
		}
	}
	return out
}

// withoutImage takes out of a configuration what its image has put there.
func (c *connection) withoutImage(ctx context.Context, config *apicontainer.Config, image string) error {
	i, err := c.ImageInspect(ctx, image)
	switch {
	case notFound(err):
		return nil // it was removed under the container; all that can be known is the container itself
	case err != nil:
		return fmt.Errorf("look at image %s: %w", image, c.explain(ctx, err))
	case i.Config == nil:
		return nil
	}
	of := i.Config
	config.Env = slices.DeleteFunc(slices.Clone(config.Env), func(e string) bool { return slices.Contains(of.Env, e) })
	if slices.Equal(config.Cmd, of.Cmd) && slices.Equal(config.Entrypoint, of.Entrypoint) {
		config.Cmd, config.Entrypoint = nil, nil
	} else if slices.Equal(config.Entrypoint, of.Entrypoint) {
		config.Entrypoint = nil
	}
	for k, v := range of.Labels {
		if config.Labels[k] == v {
			delete(config.Labels, k)
		}
	}
	same := func(mine *string, its string) {
		if *mine == its {
			*mine = ""
		}
	}
	same(&config.User, of.User)
	same(&config.WorkingDir, of.WorkingDir)
	same(&config.StopSignal, of.StopSignal)
	exposed := nat.PortSet{}
	for port := range config.ExposedPorts {
		if _, its := of.ExposedPorts[string(port)]; !its {
			exposed[port] = struct{}{}
		}
	}
	config.ExposedPorts, config.Volumes = exposed, nil
	if config.Healthcheck != nil && of.Healthcheck != nil && slices.Equal(config.Healthcheck.Test, of.Healthcheck.Test) &&
		reflect.DeepEqual(config.Healthcheck.Interval, of.Healthcheck.Interval) {
		config.Healthcheck = nil
	}
	return nil
}

// mounted makes mounts anew from those that a container has: also its anonymous volumes, so that the new
// one sees the same files.
func mounted(points []apicontainer.MountPoint, asked []mount.Mount) (binds []string, rest []mount.Mount) {
	for _, m := range points {
		source := m.Source
		switch m.Type {
		case mount.TypeVolume:
			source = m.Name
		case mount.TypeBind:
		case mount.TypeTmpfs, mount.TypeNamedPipe, mount.TypeCluster, mount.TypeImage:
			continue
		}
		b := source + ":" + m.Destination
		var mode []string
		if !m.RW {
			mode = append(mode, "ro")
		}
		if m.Type == mount.TypeBind && m.Propagation != "" && m.Propagation != mount.PropagationRPrivate {
			mode = append(mode, string(m.Propagation))
		}
		if len(mode) > 0 {
			b += ":" + strings.Join(mode, ",")
		}
		binds = append(binds, b)
	}
	sort.Strings(binds)
	for _, m := range asked {
		if m.Type != mount.TypeVolume && m.Type != mount.TypeBind {
			rest = append(rest, m)
		}
	}
	return binds, rest
}

// takeNetworks takes the networks and the names in them, but no addresses: those are taken.
func (l *likeness) takeNetworks(s shown) {
	mode := l.host.NetworkMode
	if mode.IsHost() || mode.IsNone() || mode.IsContainer() || s.raw.NetworkSettings == nil {
		return
	}
	first := string(mode)
	if mode.IsDefault() || mode == "" {
		first = network.NetworkBridge
	}
	for name, e := range s.raw.NetworkSettings.Networks {
		var aliases []string
		if e != nil {
			aliases = slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return strings.HasPrefix(s.id, a) })
		}
		if name == first {
			if mode.IsUserDefined() {
				l.net = inNetwork(name, aliases)
			}
			continue
		}
		if l.others == nil {
			l.others = map[string][]string{}
		}
		l.others[name] = aliases
	}
}

// record is what enters the digest of the configuration.
func (l likeness) record() engine.Record {
	env := slices.Clone(l.config.Env)
	sort.Strings(env)
	networks := engine.Record{string(l.host.NetworkMode): nil}
	for name := range l.others {
		networks[name] = nil
	}
	return engine.Record{
		"image": l.config.Image, "command": list(l.config.Cmd), "entrypoint": list(l.config.Entrypoint), "env": list(env),
		"ports": ports(l.host.PortBindings), "volumes": list(l.host.Binds), "networks": networks, "labels": texts(l.config.Labels),
		"restart": string(l.host.RestartPolicy.Name), "user": l.config.User, "dir": l.config.WorkingDir, "hostname": l.config.Hostname,
		"memory": l.host.Memory, "cpus": l.host.NanoCPUs, "read_only": l.host.ReadonlyRootfs,
	}
}

// noteOthers puts the networks that are still to be joined into a label.
func (w wanted) noteOthers() error {
	if len(w.others) == 0 {
		return nil
	}
	b, err := json.Marshal(w.others)
	if err != nil {
		return fmt.Errorf("the networks: %w", err)
	}
	w.config.Labels[labelNetworks] = string(b)
	return nil
}

// joinOthers lets a container that was not started yet join the networks that its label names.
func (c *connection) joinOthers(ctx context.Context, s shown) error {
	if s.labels[labelNetworks] == "" || !s.started.IsZero() {
		return nil
	}
	var others map[string][]string
	if err := json.Unmarshal([]byte(s.labels[labelNetworks]), &others); err != nil {
		return fmt.Errorf("container %s has a label %s that Handrail has not written: %w", s.name, labelNetworks, err)
	}
	for name, aliases := range others {
		if s.joined(name) {
			continue
		}
		if err := c.NetworkConnect(ctx, name, s.id, &network.EndpointSettings{Aliases: aliases}); err != nil {
			return fmt.Errorf("let container %s join network %s: %w", s.name, name, c.explain(ctx, err))
		}
	}
	return nil
}

// volumesThere refuses a container of volumes_from that is not there.
func (op run) volumesThere(ctx context.Context, c *connection) error {
	var gone []string
	for _, v := range op.VolumesFrom {
		name, _, _ := strings.Cut(v, ":")
		_, found, err := c.look(ctx, name)
		if err != nil {
			return err
		}
		if !found {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		return fmt.Errorf("volumes_from: %w", noContainer(gone))
	}
	return nil
}
