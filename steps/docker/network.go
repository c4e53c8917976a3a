package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Whether a network or volume is to be there.
const (
	statePresent = "present"
	wantedAbsent = "absent"
)

type networkParams struct {
	Network    string            `param:"network" need:"yes" doc:"The network's name."`
	State      string            `param:"state" enum:"present,absent" default:"present" doc:"absent: it is removed. One that a container has is never removed, whether the container runs or not."`
	Driver     string            `param:"driver" doc:"The driver; bridge if not given."`
	Subnet     steps.Texts       `param:"subnet" doc:"The subnet, such as 172.20.0.0/16, or several. Without it the engine chooses."`
	Gateway    string            `param:"gateway" doc:"The engine's own address in the first subnet. Without it the engine chooses."`
	Options    map[string]string `param:"options" doc:"Options of the driver."`
	Internal   *bool             `param:"internal" doc:"true: nothing leads out of it."`
	Attachable *bool             `param:"attachable" doc:"true: containers of their own may join a network of a swarm."`
	IPv6       *bool             `param:"ipv6" doc:"true: containers get IPv6 addresses, too."`
	Labels     map[string]string `param:"labels" doc:"Labels. Those that begin with handrail. are set by Handrail."`
}

func defineNetwork() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "network", Key: "network", Class: engine.ClassIdempotent, Risk: engine.RiskDestroys, Prepares: true,
		Doc: "Makes a network, or removes it. One of that name that is as the step says, in all that it says, is taken as it is, " +
			"whoever made it; one that differs stops the step.",
		Params: steps.Params[networkParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "name", Shape: text, Doc: "The network's name."},
			engine.Field{Name: "id", Shape: text, Doc: "Its id; null when it is absent."},
			engine.Field{Name: "changed", Shape: engine.Of(engine.TypeBool), Doc: "It was made or removed by the step; false if it was as wanted before."},
			engine.Field{Name: "driver", Shape: text, Doc: "Its driver; null when it is absent."},
			engine.Field{Name: "subnets", Shape: engine.ListOf(text), Doc: "Its subnets."},
			engine.Field{Name: "labels", Shape: engine.MapOf(text), Doc: "Its labels."}),
		Example: "{id: net, docker: {network: app, subnet: 172.20.0.0/16}}",
		Judge:   engine.ByParams(judgeNetwork),
	}
}

func judgeNetwork(params engine.Record) engine.Judgement {
	j := engine.Judgement{Risk: engine.RiskDestroys, Problems: checkNetwork(params)}
	if state, given := params["state"]; !given || state == statePresent {
		j.Risk = engine.RiskChanges
	}
	return j
}

func checkNetwork(params engine.Record) []engine.Problem {
	out := checkName("network", "network", params["network"])
	out = append(out, checkLabels(params)...)
	if s, ok := params["subnet"].(string); ok {
		if _, err := parseSubnet(s); err != nil {
			out = append(out, engine.Problem{Path: "subnet", Message: err.Error()})
		}
	}
	out = append(out, checkEach(params, "subnet", func(s string) error { _, err := parseSubnet(s); return err })...)
	if s, ok := params["gateway"].(string); ok {
		if err := checkGateway(s, params["subnet"]); err != nil {
			out = append(out, engine.Problem{Path: "gateway", Message: err.Error()})
		}
	}
	if params["state"] == wantedAbsent {
		for _, name := range []string{"driver", "subnet", "gateway", "options", "internal", "attachable", "ipv6", "labels"} {
			if _, given := params[name]; given {
				out = append(out, engine.Problem{Path: name, Message: "says how the network is to be, and state: absent that it is not to be"})
			}
		}
	}
	return out
}

func parseSubnet(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is not a subnet such as 172.20.0.0/16", s)
	case p.Masked() != p:
		return p, fmt.Errorf("%s is an address in a subnet; the subnet is %s", s, p.Masked())
	}
	return p, nil
}

func checkGateway(s string, subnet engine.Value) error {
	address, err := netip.ParseAddr(s)
	if err != nil {
		return fmt.Errorf("%q is not an address such as 172.20.0.1", s)
	}
	if several, ok := subnet.(engine.List); ok && len(several) > 0 {
		subnet = several[0]
	}
	switch text := subnet.(type) {
	case nil:
		return errors.New("a gateway needs its subnet")
	case string:
		if p, err := parseSubnet(text); err == nil && !p.Contains(address) {
			return fmt.Errorf("%s is not in the subnet %s", s, text)
		}
	}
	return nil
}

type networking struct{ networkParams }

func decodeNetwork(params engine.Record) (steps.Operation, error) {
	var op networking
	if err := steps.Bind(params, &op.networkParams); err != nil {
		return nil, err
	}
	return op, first(checkNetwork(params))
}

func (op networking) absent() bool { return op.State == wantedAbsent }

// options are what the engine is asked to make.
func (op networking) options(env *steps.Env) (network.CreateOptions, error) {
	o := network.CreateOptions{Driver: op.Driver, Options: op.Options, EnableIPv6: op.IPv6}
	if o.Driver == "" {
		o.Driver = network.NetworkBridge
	}
	o.Internal, o.Attachable = op.Internal != nil && *op.Internal, op.Attachable != nil && *op.Attachable
	if len(op.Subnet) > 0 {
		o.IPAM = &network.IPAM{}
		for i, s := range op.Subnet {
			c := network.IPAMConfig{Subnet: s}
			if i == 0 {
				c.Gateway = op.Gateway
			}
			o.IPAM.Config = append(o.IPAM.Config, c)
		}
	}
	digest, err := engine.DigestValue(engine.Record{"driver": o.Driver, "subnet": list(op.Subnet), "gateway": op.Gateway,
		"options": texts(op.Options), "internal": o.Internal, "attachable": o.Attachable,
		"ipv6": op.IPv6 != nil && *op.IPv6, "labels": texts(op.Labels)})
	if err != nil {
		return o, fmt.Errorf("the configuration: %w", err)
	}
	o.Labels = labelled(op.Labels, env, digest)
	return o, nil
}

// differences says in what a network is not as the step says. What the step does not say is free.
func (op networking) differences(n network.Inspect) []string {
	var out []string
	differ := func(what, is, want string) {
		if is != want {
			out = append(out, fmt.Sprintf("%s is %s, wanted %s", what, orNone(is), orNone(want)))
		}
	}
	truth := func(what string, is bool, want *bool) {
		if want != nil {
			differ(what, fmt.Sprint(is), fmt.Sprint(*want))
		}
	}
	if op.Driver != "" {
		differ("driver", n.Driver, op.Driver)
	}
	if len(op.Subnet) > 0 {
		differ("subnet", sorted(subnets(n)), sorted(op.Subnet))
	}
	if op.Gateway != "" {
		gateway := ""
		for _, c := range n.IPAM.Config {
			if c.Subnet == op.Subnet[0] {
				gateway = c.Gateway
			}
		}
		differ("gateway", gateway, op.Gateway)
	}
	truth("internal", n.Internal, op.Internal)
	truth("attachable", n.Attachable, op.Attachable)
	truth("ipv6", n.EnableIPv6, op.IPv6)
	out = append(out, unlike("option", n.Options, op.Options)...)
	return append(out, unlike("label", n.Labels, op.Labels)...)
}

// other is the error about a network that is not as wanted.
func (op networking) other(n network.Inspect) error {
	d := op.differences(n)
	if len(d) == 0 {
		return nil
	}
	return fmt.Errorf("there is another network %s: %s; %s. Give this one another name, or remove that one in a step before "+
		"(docker: {network: %s, state: absent}), once no container needs it", op.Network, strings.Join(d, "; "), madeBy(n.Labels), op.Network)
}

func subnets(n network.Inspect) []string {
	out := make([]string, 0, len(n.IPAM.Config))
	for _, c := range n.IPAM.Config {
		out = append(out, c.Subnet)
	}
	return out
}

// findNetwork looks for a network by its name alone. The engine knows networks by parts of their ids, too,
// and may have several of one name.
func (c *connection) findNetwork(ctx context.Context, name string) (n network.Inspect, found bool, err error) {
	all, err := c.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return n, false, fmt.Errorf("look at network %s: %w", name, c.explain(ctx, err))
	}
	all = slices.DeleteFunc(all, func(n network.Inspect) bool { return n.Name != name })
	switch len(all) {
	case 0:
		return n, false, nil
	case 1:
		return all[0], true, nil
	}
	return n, false, fmt.Errorf("there are %d networks named %s (%.12s, %.12s); remove all but one by their ids (docker network rm)",
		len(all), name, all[0].ID, all[1].ID)
}

// overlap names a network whose subnet meets one that is wanted.
func (c *connection) overlap(ctx context.Context, op networking) (string, error) {
	if len(op.Subnet) == 0 {
		return "", nil
	}
	all, err := c.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("look at the networks: %w", c.explain(ctx, err))
	}
	for _, n := range all {
		for _, have := range subnets(n) {
			is, err := netip.ParsePrefix(have)
			if err != nil {
				continue // of a driver with addresses of its own
			}
			for _, want := range op.Subnet {
				if p, err := parseSubnet(want); err == nil && p.Overlaps(is) && n.Name != op.Network {
					return fmt.Sprintf("the subnet %s overlaps with that of network %s (%s); choose another, or remove that network", want, n.Name, have), nil
				}
			}
		}
	}
	return "", nil
}

func noNetwork(name string) error {
	return fmt.Errorf("there is no network %s; make it in a step before (docker: {network: %s}); docker network ls lists those that there are", name, name)
}
