package docker

import (
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

// The labels by which a container is known again.
const (
	labelRun    = labelPrefix + "run"
	labelStep   = labelPrefix + "step"
	labelConfig = labelPrefix + "config"
	labelToken  = labelPrefix + "token"
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
	config *apicontainer.Config
	host   *apicontainer.HostConfig
	net    *network.NetworkingConfig
	digest string
}

// configure makes the wanted configuration. Relative paths of mounts are taken against env.Dir.
func (p runSpec) configure(env *steps.Env) (wanted, error) {
	policy, err := parseRestart(p.Restart)
	if err != nil {
		return wanted{}, err
	}
	exposed, bindings, err := nat.ParsePortSpecs(p.Ports)
	if err != nil {
		return wanted{}, fmt.Errorf("ports: %w", err)
	}
	binds := make([]string, len(p.Volumes))
	for i, v := range p.Volumes {
		if binds[i], err = parseVolume(v, env.Dir); err != nil {
			return wanted{}, fmt.Errorf("volumes: %w", err)
		}
	}
	w := wanted{
		config: &apicontainer.Config{
			Image: p.Image, Cmd: []string(p.Command), Entrypoint: []string(p.Entrypoint), Env: environ(p.Env),
			ExposedPorts: exposed, Labels: map[string]string{}, User: p.User, WorkingDir: p.Dir, Hostname: p.Hostname,
			Healthcheck: p.health(),
		},
		host: &apicontainer.HostConfig{
			Binds: binds, PortBindings: bindings, RestartPolicy: policy, ReadonlyRootfs: p.ReadOnly,
			NetworkMode: apicontainer.NetworkMode(p.Network),
		},
	}
	if p.Memory != nil {
		w.host.Memory = int64(*p.Memory)
	}
	w.host.NanoCPUs = int64(p.CPUs * 1e9)
	if p.Init {
		w.host.Init = &p.Init
	}
	if p.Network != "" && len(p.Aliases) > 0 {
		w.net = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{p.Network: {Aliases: p.Aliases}}}
	}
	if w.digest, err = p.digest(binds); err != nil {
		return wanted{}, err
	}
	w.label(p, env)
	return w, nil
}

func (w wanted) label(p runSpec, env *steps.Env) {
	for k, v := range p.Labels {
		w.config.Labels[k] = v
	}
	run := env.Run
	if run == "" {
		run, _, _ = strings.Cut(env.Call.Token, "/")
	}
	w.config.Labels[labelRun], w.config.Labels[labelStep] = run, env.Call.Step
	w.config.Labels[labelToken], w.config.Labels[labelConfig] = env.Call.Token, w.digest
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

// digest identifies the wanted configuration, and not how the step goes about it. It is made of what
// the playbook says and not of the engine's own form, so that it outlives changes of that form. Values
// of secrets enter it: another password is another configuration.
func (p runSpec) digest(binds []string) (string, error) {
	r := engine.Record{
		"image": p.Image, "command": list(p.Command), "entrypoint": list(p.Entrypoint), "env": list(environ(p.Env)),
		"ports": list(p.Ports), "volumes": list(binds), "network": p.Network, "aliases": list(p.Aliases),
		"labels": texts(p.Labels), "restart": p.Restart, "user": p.User, "dir": p.Dir, "hostname": p.Hostname,
		"cpus": p.CPUs, "read_only": p.ReadOnly, "init": p.Init,
	}
	if p.Memory != nil {
		r["memory"] = int64(*p.Memory)
	}
	if h := p.Healthcheck; h != nil {
		r["healthcheck"] = engine.Record{"test": list(h.Test), "interval": h.Interval, "timeout": h.Timeout,
			"start_period": h.StartPeriod, "retries": h.Retries}
	}
	d, err := engine.DigestValue(r)
	if err != nil {
		return "", fmt.Errorf("the configuration: %w", err)
	}
	return d, nil
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
