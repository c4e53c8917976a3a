package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// What a container was like that another is made like is known from three places when it is gone: the new container itself,
// if it is there; and what was recorded BEFORE the intent. Values that may be secret are not recorded. So where one of
// them would be needed the step is refused, and never made without it.

// labelAsked holds the digest of what the step said, without what the other container gave.
const labelAsked = labelPrefix + "asked"

// recorded is a likeness as the journal has it.
type recorded struct {
	Config *apicontainer.Config
	Host   *apicontainer.HostConfig
	Net    *network.NetworkingConfig `json:",omitempty"`
	Others map[string][]string       `json:",omitempty"`
	// Withheld are variables whose values are left out.
	Withheld []string `json:",omitempty"`
	// Log: options of its logging are left out, in which services have their keys.
	Log bool `json:",omitempty"`
}

// seen is what is recorded of a likeness: a text, its digest, by which it is found out that something in it was
// masked, and the digest of the configuration that is made of it.
func (l likeness) seen(config string) (engine.Value, error) {
	c, h := *l.config, *l.host
	kept := recorded{Config: &c, Host: &h, Net: l.net, Others: l.others}
	for _, e := range c.Env {
		name, _, _ := strings.Cut(e, "=")
		kept.Withheld = append(kept.Withheld, name)
	}
	sort.Strings(kept.Withheld)
	c.Env = nil
	if len(h.LogConfig.Config) > 0 {
		kept.Log, h.LogConfig.Config = true, nil
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("like: %w", err)
	}
	return engine.Record{"text": string(text), "digest": engine.Digest(string(text)), "config": config}, nil
}

// recall is the wanted configuration by what was recorded. gone is the error of the one who asked in vain.
func (p runSpec) recall(ctx context.Context, c *connection, env *steps.Env, gone error) (wanted, error) {
	seen, _ := env.Call.Seen.(engine.Record)
	like, there := seen["like"].(engine.Record)
	if !there {
		return wanted{}, gone
	}
	text, _ := like["text"].(string)
	digest, _ := like["config"].(string)
	var was recorded
	if err := json.Unmarshal([]byte(text), &was); err != nil || was.Config == nil || was.Host == nil || engine.Digest(text) != like["digest"] {
		return wanted{}, unrecorded(gone, "a secret stands in it")
	}
	missing := slices.DeleteFunc(was.Withheld, func(name string) bool { _, given := p.Env[name]; return given })
	switch {
	case len(missing) > 0:
		return wanted{}, unrecorded(gone, "the values of "+strings.Join(missing, ", ")+" in its environment may be secret; say them under `env`")
	case was.Log:
		return wanted{}, unrecorded(gone, "options of its logging may be secret")
	}
	if err := c.mountsThere(ctx, was.Host.Binds, gone); err != nil {
		return wanted{}, err
	}
	w := wanted{config: was.Config, host: was.Host, net: was.Net, others: was.Others}
	binds, err := p.binds(env)
	if err != nil {
		return wanted{}, err
	}
	if err := p.override(&w, binds); err != nil {
		return wanted{}, err
	}
	asked, err := p.asked(binds)
	if err != nil {
		return wanted{}, err
	}
	return w.finish(p, env, digest, asked)
}

func unrecorded(gone error, why string) error {
	return fmt.Errorf("%w; not all of what it was like is recorded: %s; nothing was made", gone, why)
}

// mountsThere refuses volumes that have gone with the container: the engine would make empty ones of their names.
func (c *connection) mountsThere(ctx context.Context, binds []string, gone error) error {
	for _, b := range binds {
		name, _, _ := strings.Cut(b, ":")
		if strings.HasPrefix(name, "/") {
			continue
		}
		_, err := c.VolumeInspect(ctx, name)
		switch {
		case notFound(err):
			return fmt.Errorf("%w, and its volume %s is gone too: a new one of that name would be empty; nothing was made", gone, name)
		case err != nil:
			return fmt.Errorf("look at volume %s: %w", name, c.explain(ctx, err))
		}
	}
	return nil
}

// asked is the digest of what the step says.
func (p runSpec) asked(binds []string) (string, error) {
	r := p.record(binds)
	r["like"] = p.Like
	digest, err := engine.DigestValue(r)
	if err != nil {
		return "", fmt.Errorf("the configuration: %w", err)
	}
	return digest, nil
}

// own is the configuration that a container has, taken as the wanted one.
func (s shown) own() wanted {
	return wanted{image: s.image, digest: s.labels[labelConfig], config: s.raw.Config, host: s.raw.HostConfig}
}

// want is the wanted configuration. When the container that it is taken from is gone, the one that was made of it
// knows its own: that of this very step, or that of a run before which said the same.
func (op run) want(ctx context.Context, c *connection, env *steps.Env) (wanted, error) {
	w, gone := op.configure(ctx, c, env)
	if op.Like == "" || gone != nil && !errors.Is(gone, errNoContainer) {
		return w, gone
	}
	s, found, err := c.look(ctx, op.Name)
	switch {
	case err != nil:
		return wanted{}, err
	case found && env.Again && s.labels[labelToken] == env.Call.Token:
		return s.own(), nil
	case gone == nil:
		return w, nil
	}
	if found && !op.job() && s.labels[labelAsked] != "" {
		binds, err := op.binds(env)
		if err != nil {
			return wanted{}, err
		}
		asked, err := op.asked(binds)
		if err != nil {
			return wanted{}, err
		}
		if asked == s.labels[labelAsked] {
			return s.own(), nil
		}
	}
	return op.recall(ctx, c, env, gone)
}
