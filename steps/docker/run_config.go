package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

func checkImage(s string) error {
	if _, err := reference.ParseNormalizedNamed(s); err != nil {
		return fmt.Errorf("%q is not the name of an image: %w", s, err)
	}
	return nil
}

func parseRestart(s string) (apicontainer.RestartPolicy, error) {
	name, count, counted := strings.Cut(s, ":")
	p := apicontainer.RestartPolicy{Name: apicontainer.RestartPolicyMode(name)}
	switch p.Name {
	case "":
		p.Name = apicontainer.RestartPolicyDisabled
	case apicontainer.RestartPolicyDisabled, apicontainer.RestartPolicyAlways, apicontainer.RestartPolicyUnlessStopped, apicontainer.RestartPolicyOnFailure:
	default:
		return p, fmt.Errorf("%q is not a restart policy: no, always, unless-stopped, on-failure or on-failure:5", s)
	}
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || p.Name != apicontainer.RestartPolicyOnFailure {
			return p, fmt.Errorf("%q is not a restart policy: a count stands after on-failure only, as in on-failure:5", s)
		}
		p.MaximumRetryCount = n
	}
	return p, nil
}

// wanted is a container's configuration in the engine's form.
type wanted struct {
	image  string // as it is named
	config *apicontainer.Config
	host   *apicontainer.HostConfig
	// net is the network that the container is made in; others are those that it joins BEFORE its start,
	// because older engines make a container in one network only.
	net    *network.NetworkingConfig
	others map[string][]string // the aliases by network
	digest string
	like   engine.Value // what is recorded of the container that it is like
}

// configure makes the wanted configuration. Relative paths of mounts are taken against env.Dir.
func (p runSpec) configure(ctx context.Context, c *connection, env *steps.Env) (wanted, error) {
	binds, err := p.binds(env)
	if err != nil {
		return wanted{}, err
	}
	r, asked := p.record(binds), ""
	w := wanted{config: &apicontainer.Config{}, host: &apicontainer.HostConfig{}}
	var like likeness
	if p.Like != "" {
		if like, err = c.likeness(ctx, p.Like); err != nil {
			return wanted{}, err
		}
		if asked, err = p.asked(binds); err != nil {
			return wanted{}, err
		}
		r["like"] = like.record()
	}
	digest, err := engine.DigestValue(r)
	if err != nil {
		return wanted{}, fmt.Errorf("the configuration: %w", err)
	}
	var seen engine.Value
	if p.Like != "" {
		if seen, err = like.seen(digest); err != nil {
			return wanted{}, err
		}
		w = like.wanted
	}
	if err := p.override(&w, binds); err != nil {
		return wanted{}, err
	}
	w.like = seen
	return w.finish(p, env, digest, asked)
}

// binds are the mounts in the engine's form.
func (p runSpec) binds(env *steps.Env) ([]string, error) {
	binds := make([]string, len(p.Volumes))
	for i, v := range p.Volumes {
		var err error
		if binds[i], err = parseVolume(v, env.Dir); err != nil {
			return nil, fmt.Errorf("volumes: %w", err)
		}
	}
	return binds, nil
}

// finish puts the labels on.
func (w wanted) finish(p runSpec, env *steps.Env, digest, asked string) (wanted, error) {
	w.image, w.digest = w.config.Image, digest
	labels := map[string]string{}
	for k, v := range w.config.Labels {
		labels[k] = v
	}
	for k, v := range p.Labels {
		labels[k] = v
	}
	w.config.Labels = labelled(labels, env, digest)
	if asked != "" {
		w.config.Labels[labelAsked] = asked
	}
	return w, w.noteOthers()
}

// override puts what the step says over what holds otherwise.
func (p runSpec) override(w *wanted, binds []string) error {
	c, h := w.config, w.host
	set(&c.Image, p.Image)
	set(&c.User, p.User)
	set(&c.WorkingDir, p.Dir)
	set(&c.Hostname, p.Hostname)
	if p.Entrypoint != nil {
		c.Entrypoint, c.Cmd = []string(p.Entrypoint), nil // as the engine does: the old command is not for it
	}
	if p.Command != nil {
		c.Cmd = []string(p.Command)
	}
	if p.Healthcheck != nil {
		c.Healthcheck = p.health()
	}
	c.Env = merged(c.Env, environ(p.Env), func(e string) string { name, _, _ := strings.Cut(e, "="); return name })
	if p.Ports != nil {
		var err error
		if c.ExposedPorts, h.PortBindings, err = nat.ParsePortSpecs(p.Ports); err != nil {
			return fmt.Errorf("ports: %w", err)
		}
	}
	h.Binds = merged(h.Binds, binds, destination)
	h.VolumesFrom = p.VolumesFrom
	if p.Restart != "" || p.job() || p.Like == "" {
		policy, err := parseRestart(p.Restart)
		if err != nil {
			return err
		}
		h.RestartPolicy = policy
	}
	if p.Memory != nil {
		h.Memory = int64(*p.Memory)
	}
	if p.CPUs != 0 {
		h.NanoCPUs = int64(p.CPUs * 1e9)
	}
	h.ReadonlyRootfs = h.ReadonlyRootfs || p.ReadOnly
	if p.Init {
		h.Init = &p.Init
	}
	if p.Network != "" {
		h.NetworkMode = apicontainer.NetworkMode(p.Network)
		w.net, w.others = nil, nil
	}
	if network := string(h.NetworkMode); network != "" && len(p.Aliases) > 0 {
		w.net = inNetwork(network, p.Aliases)
	}
	return nil
}

func inNetwork(name string, aliases []string) *network.NetworkingConfig {
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: {Aliases: aliases}}}
}

func set(to *string, v string) {
	if v != "" {
		*to = v
	}
}

// merged are the old entries, those replaced that are named anew, and then the new ones.
func merged(old, now []string, key func(string) string) []string {
	var out []string
	for _, e := range old {
		if !slices.ContainsFunc(now, func(n string) bool { return key(n) == key(e) }) {
			out = append(out, e)
		}
	}
	return append(out, now...)
}

// destination is the place in the container of a mount in the engine's form.
func destination(bind string) string {
	parts := strings.Split(bind, ":")
	return parts[min(1, len(parts)-1)]
}

func (p runSpec) health() *apicontainer.HealthConfig {
	h := p.Healthcheck
	if h == nil {
		return nil
	}
	test := []string{"CMD-SHELL"}
	if len(h.Test) > 1 {
		test = []string{"CMD"}
	}
	return &apicontainer.HealthConfig{Test: append(test, h.Test...), Interval: h.Interval, Timeout: h.Timeout,
		StartPeriod: h.StartPeriod, Retries: int(h.Retries)}
}

// record is the wanted configuration, and not how the step goes about it. It is made of what
// the playbook says and not of the engine's own form, so that it outlives changes of that form. Values
// of secrets enter it: another password is another configuration.
func (p runSpec) record(binds []string) engine.Record {
	r := engine.Record{
		"image": p.Image, "command": list(p.Command), "entrypoint": list(p.Entrypoint), "env": list(environ(p.Env)),
		"ports": list(p.Ports), "volumes": list(binds), "network": p.Network, "aliases": list(p.Aliases),
		"labels": texts(p.Labels), "restart": p.Restart, "user": p.User, "dir": p.Dir, "hostname": p.Hostname,
		"cpus": p.CPUs, "read_only": p.ReadOnly, "init": p.Init,
	}
	if len(p.VolumesFrom) > 0 {
		r["volumes_from"] = list(p.VolumesFrom)
	}
	if p.Memory != nil {
		r["memory"] = int64(*p.Memory)
	}
	if h := p.Healthcheck; h != nil {
		r["healthcheck"] = engine.Record{"test": list(h.Test), "interval": h.Interval, "timeout": h.Timeout,
			"start_period": h.StartPeriod, "retries": h.Retries}
	}
	return r
}

// differences says in what a container differs from the wanted configuration, as far as the engine
// shows it. Values of the environment are not shown: they may be secret.
func (w wanted) differences(s shown) []string {
	var out []string
	have, host := s.raw.Config, s.raw.HostConfig
	if have == nil || host == nil {
		return nil
	}
	differ := func(what, is, want string) {
		if is != want {
			out = append(out, fmt.Sprintf("%s is %s, wanted %s", what, orNone(is), orNone(want)))
		}
	}
	differ("image", have.Image, w.config.Image)
	if len(w.config.Cmd) > 0 {
		differ("command", join(have.Cmd), join(w.config.Cmd))
	}
	if len(w.config.Entrypoint) > 0 {
		differ("entrypoint", join(have.Entrypoint), join(w.config.Entrypoint))
	}
	differ("user", have.User, w.config.User)
	if w.config.WorkingDir != "" {
		differ("dir", have.WorkingDir, w.config.WorkingDir)
	}
	differ("restart", string(host.RestartPolicy.Name), string(w.host.RestartPolicy.Name))
	differ("volumes", sorted(host.Binds), sorted(w.host.Binds))
	differ("ports", ports(host.PortBindings), ports(w.host.PortBindings))
	if w.host.NetworkMode != "" {
		differ("network", string(host.NetworkMode), string(w.host.NetworkMode))
	}
	differ("memory", strconv.FormatInt(host.Memory, 10), strconv.FormatInt(w.host.Memory, 10))
	for _, e := range w.config.Env {
		name, _, _ := strings.Cut(e, "=")
		if !slices.Contains(have.Env, e) {
			out = append(out, "env "+name+" differs")
		}
	}
	for k, v := range w.config.Labels {
		if !strings.HasPrefix(k, labelPrefix) && have.Labels[k] != v {
			out = append(out, "label "+k+" differs")
		}
	}
	sort.Strings(out)
	return out
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func join(argv []string) string { return strings.Join(quoted(argv), " ") }

func sorted(items []string) string {
	items = slices.Clone(items)
	sort.Strings(items)
	return strings.Join(items, ", ")
}

func ports(m nat.PortMap) string {
	var out []string
	for port, bindings := range m {
		for _, b := range bindings {
			out = append(out, strings.TrimPrefix(b.HostIP+":"+b.HostPort+":"+string(port), ":"))
		}
	}
	return sorted(out)
}

// plain is a configuration for the details of a plan, without the values of its environment.
func (w wanted) plain() string {
	type visible struct {
		Image   string
		Command []string          `json:",omitempty"`
		Env     []string          `json:",omitempty"`
		Ports   string            `json:",omitempty"`
		Volumes []string          `json:",omitempty"`
		Network string            `json:",omitempty"`
		Restart string            `json:",omitempty"`
		Labels  map[string]string `json:",omitempty"`
	}
	v := visible{Image: w.config.Image, Command: w.config.Cmd, Ports: ports(w.host.PortBindings), Volumes: w.host.Binds,
		Network: string(w.host.NetworkMode), Restart: string(w.host.RestartPolicy.Name), Labels: map[string]string{}}
	for _, e := range w.config.Env {
		name, _, _ := strings.Cut(e, "=")
		v.Env = append(v.Env, name)
	}
	for k, x := range w.config.Labels {
		if !strings.HasPrefix(k, labelPrefix) {
			v.Labels[k] = x
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
