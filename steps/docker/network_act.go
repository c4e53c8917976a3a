package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// having names the containers, running or not, that have something: a network, a volume. A container that
// was never started has its network by name only.
func (c *connection) having(ctx context.Context, what string, names ...string) ([]string, error) {
	only := filters.NewArgs()
	for _, name := range names {
		only.Add(what, name)
	}
	all, err := c.ContainerList(ctx, apicontainer.ListOptions{All: true, Filters: only})
	if err != nil {
		return nil, fmt.Errorf("look for the containers that have %s %s: %w", what, names[0], c.explain(ctx, err))
	}
	out := make([]string, 0, len(all))
	for _, s := range all {
		n := s.ID[:min(12, len(s.ID))]
		if len(s.Names) > 0 {
			n = strings.TrimPrefix(s.Names[0], "/")
		}
		out = append(out, n)
	}
	return out, nil
}

// inUse is the error about something that containers have.
func inUse(what, name string, by []string) error {
	if len(by) == 0 {
		return nil
	}
	return fmt.Errorf("%s %s is in use by %s; remove these in a step before (docker: {remove: [%s]})", what, name, strings.Join(by, ", "), strings.Join(by, ", "))
}

// look finds the network, and says why the step cannot bring it to what is wanted.
func (op networking) look(ctx context.Context, c *connection) (n network.Inspect, found bool, refused, err error) {
	n, found, err = c.findNetwork(ctx, op.Network)
	switch {
	case err != nil:
		return n, false, nil, err
	case found && !op.absent():
		return n, true, op.other(n), nil
	case found:
		by, err := c.having(ctx, "network", n.Name, n.ID)
		return n, true, inUse("network", op.Network, by), err
	case op.absent():
		return n, false, nil, nil
	}
	overlap, err := c.overlap(ctx, op)
	if overlap != "" {
		refused = errors.New(overlap)
	}
	return n, false, refused, err
}

// Prepare refuses what cannot be, while nothing has been done.
func (op networking) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	n, _, refused, err := op.look(ctx, c)
	if err := errors.Join(err, refused); err != nil {
		return engine.Preparation{}, err
	}
	return engine.Preparation{Seen: engine.Record{"id": textOrNull(n.ID)}}, nil
}

// Preview says whether the network is there, and what would be done about it.
func (op networking) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	n, found, refused, err := op.look(ctx, c)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskChanges,
		Figures: []engine.Figure{{Name: "networks", Value: 1, Certainty: engine.FigureExact}},
		Facts:   []engine.Fact{{Name: op.Network, Value: networkNow(n, found)}}}
	i.Would = "make network " + op.Network
	if len(op.Subnet) > 0 {
		i.Would += " with subnet " + strings.Join(op.Subnet, ", ")
	}
	if op.absent() {
		i.Would, i.Risk = "remove network "+op.Network, engine.RiskDestroys
	}
	switch {
	case refused != nil:
		previewRefused(&i, refused)
	case found != op.absent():
		previewAlready(&i, "network "+op.Network+" is "+map[bool]string{true: "there already", false: "absent already"}[found])
	}
	return i, nil
}

func networkNow(n network.Inspect, found bool) string {
	if !found {
		return "there is no such network"
	}
	return fmt.Sprintf("%s, subnet %s, %s", n.Driver, orNone(sorted(subnets(n))), madeBy(n.Labels))
}

func (op networking) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("change network %s: %w", op.Network, errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	was, _ := env.Call.Seen.(engine.Record)
	n, found, refused, err := op.look(ctx, c)
	if err := errors.Join(err, refused); err != nil {
		return failure(err)
	}
	switch {
	case op.absent() && found:
		if was["id"] != nil && was["id"] != n.ID {
			return engine.Failure(fmt.Errorf("network %s is not the one that was there when the step began: it is left as it is", op.Network))
		}
		return op.remove(ctx, c, n)
	case op.absent():
		return op.done(n, env.Again && was["id"] != nil)
	case found:
		return op.done(n, env.Again && n.Labels[labelToken] == env.Call.Token)
	}
	return op.make(ctx, c, env)
}

func (op networking) done(n network.Inspect, changed bool) engine.Outcome {
	return engine.Outcome{Result: engine.Record{"name": op.Network, "id": textOrNull(n.ID), "changed": changed,
		"driver": textOrNull(n.Driver), "subnets": list(subnets(n)), "labels": texts(n.Labels)}}
}

func (op networking) make(ctx context.Context, c *connection, env *steps.Env) engine.Outcome {
	options, err := op.options(env)
	if err != nil {
		return engine.Failure(err)
	}
	_, cause := c.NetworkCreate(ctx, op.Network, options)
	if cause != nil {
		cause = fmt.Errorf("make network %s: %w", op.Network, c.explain(ctx, cause))
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	n, found, err := settled(after, cause, func(ctx context.Context) (network.Inspect, bool, error) { return c.findNetwork(ctx, op.Network) })
	if err == nil && !found && cause != nil && env.Again {
		n, found, err = op.underWay(after, c)
	}
	switch ours := n.Labels[labelToken] == env.Call.Token; {
	case err == nil && found && ours:
		if err := op.other(n); err != nil {
			return engine.Outcome{Err: err.Error(), Effect: engine.EffectStands, Result: op.done(n, true).Result}
		}
		return op.done(n, true) // also when the answer was lost
	case err == nil && found && cause == nil:
		return engine.Failure(fmt.Errorf("network %s was made at the same time by somebody else: %s", op.Network, madeBy(n.Labels)))
	}
	return lostOrRefused(cause, err, "network "+op.Network+" is not there AFTER it was made")
}

// stillMaking is how long the engine may be busy with a network for an attempt that was cut off.
const stillMaking = 10 * time.Second

// underWay waits for what the attempt before this one has asked for. The engine goes on when its client is killed, and holds the
// subnet before the network can be seen: a second request is refused then, because the subnets overlap.
func (op networking) underWay(ctx context.Context, c *connection) (n network.Inspect, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stillMaking)
	defer cancel()
	for {
		if n, found, err = c.findNetwork(ctx, op.Network); err != nil || found {
			return n, found, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return n, false, nil
		}
	}
}

func (op networking) remove(ctx context.Context, c *connection, n network.Inspect) engine.Outcome {
	cause := c.NetworkRemove(ctx, n.ID)
	if cause != nil && !notFound(cause) {
		cause = fmt.Errorf("remove network %s: %w", op.Network, c.explain(ctx, cause))
	} else {
		cause = nil
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	now, gone, err := settled(after, cause, func(ctx context.Context) (network.Inspect, bool, error) {
		now, found, err := c.findNetwork(ctx, op.Network)
		return now, !found || now.ID != n.ID, err
	})
	switch {
	case err == nil && gone && now.ID == "":
		return op.done(network.Inspect{}, true)
	case err == nil && gone:
		return engine.Outcome{Err: "network " + op.Network + " was removed, and somebody has made another of that name", Effect: engine.EffectStands}
	}
	return lostOrRefused(cause, err, "network "+op.Network+" is still there AFTER it was removed")
}
