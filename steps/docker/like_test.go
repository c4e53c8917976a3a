package docker

import (
	"context"
	"slices"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// pattern makes a container without Handrail that has something of everything.
func (w *world) pattern(name string) (container, net, other string) {
	w.t.Helper()
	net, other = w.network("net"), w.network("other")
	ctx := context.Background()
	_, err := w.plain.ContainerCreate(ctx,
		&apicontainer.Config{Image: servers.Image, Cmd: []string{"sleep", "600"}, Env: []string{"A=1", "B=2"}, StopSignal: "KILL",
			Labels:  map[string]string{"tier": "data", composePrefix + "project": "p", labelRun: "r"},
			Volumes: map[string]struct{}{"/anonymous": {}}, User: "0:0"},
		&apicontainer.HostConfig{Binds: []string{w.name("vol") + ":/data", w.t.TempDir() + ":/host:ro"}, NetworkMode: apicontainer.NetworkMode(net),
			RestartPolicy: apicontainer.RestartPolicy{Name: "unless-stopped"},
			PortBindings:  nat.PortMap{"9/tcp": {{HostIP: "127.0.0.1", HostPort: "0"}}}},
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{net: {Aliases: []string{"cache"}}}}, nil, w.name(name))
	w.must(err)
	w.must(w.plain.NetworkConnect(ctx, other, w.name(name), &network.EndpointSettings{Aliases: []string{"beside"}}))
	w.must(w.plain.ContainerStart(ctx, w.name(name), apicontainer.StartOptions{}))
	w.sh(w.name(name), "echo kept >/data/f; echo kept >/anonymous/f")
	return w.name(name), net, other
}

func (w *world) like(name, like string, more engine.Record) *act {
	w.t.Helper()
	spec := engine.Record{"name": w.name(name), "like": like}
	for k, v := range more {
		spec[k] = v
	}
	return w.step("run", engine.Record{"run": spec})
}

func TestRunLikeAnotherTakesWhatIsNotSaidOtherwise(t *testing.T) {
	w := newWorld(t)
	source, net, other := w.pattern("one")
	spec := engine.Record{"env": engine.Record{"B": "3", "C": "4"}, "labels": engine.Record{"copy": "yes"}, "ports": engine.List{}}
	s := w.like("two", source, spec).prepared()
	if r := s.ok(); r["changed"] != true {
		t.Errorf("result %v", r)
	}
	two := w.inspect(w.name("two"))
	for _, e := range []string{"A=1", "B=3", "C=4"} {
		if !slices.Contains(two.Config.Env, e) {
			t.Errorf("the environment %v has no %s", two.Config.Env, e)
		}
	}
	labels := two.Config.Labels
	if labels["tier"] != "data" || labels["copy"] != "yes" || labels[composePrefix+"project"] != "" || labels[labelRun] != s.env.Run {
		t.Errorf("labels %v", labels)
	}
	if two.HostConfig.RestartPolicy.Name != "unless-stopped" || len(two.HostConfig.PortBindings) != 0 || two.Config.StopSignal != "KILL" {
		t.Errorf("restart %v, ports %v, stop signal %s", two.HostConfig.RestartPolicy, two.HostConfig.PortBindings, two.Config.StopSignal)
	}
	if got := w.sh(w.name("two"), "cat /data/f /anonymous/f; touch /host/x 2>&1 | grep -ci read-only"); got != "kept\nkept\n1" {
		t.Errorf("mounts: %s", got)
	}
	for name, alias := range map[string]string{net: "cache", other: "beside"} {
		if e := two.NetworkSettings.Networks[name]; e == nil || !slices.Contains(e.Aliases, alias) {
			t.Errorf("network %s: %+v", name, e)
		}
	}
	if r := w.like("two", source, spec).ok(); r["changed"] != false {
		t.Errorf("twice: %v", r)
	}
	w.like("two", source, engine.Record{"ports": engine.List{}, "command": engine.List{"sleep", "1"}}).failed(engine.EffectNone, "another configuration")
	w.says(engine.Text(list(w.like("three", source, nil).preview().Warnings)), "publishes ports")
}

func TestRunLikeIsTakenOverWhenThePatternIsGone(t *testing.T) {
	w := newWorld(t)
	source, _, other := w.pattern("one")
	dead := w.like("two", source, engine.Record{"ports": engine.List{}}).prepared()
	c, err := connect(context.Background(), dead.env)
	w.must(err)
	op := dead.op.(run)
	wanted, err := op.want(context.Background(), c, dead.env)
	w.must(err)
	// Killed between the creation and the second network.
	made, err := c.ContainerCreate(context.Background(), wanted.config, wanted.host, wanted.net, nil, op.Name)
	w.must(err)
	w.must(w.plain.ContainerRemove(context.Background(), source, apicontainer.RemoveOptions{Force: true}))
	dead.env.Again = true
	if r := dead.ok(); r["id"] != made.ID || r["changed"] != true {
		t.Errorf("taken over as %v", r)
	}
	if _, in := w.inspect(made.ID).NetworkSettings.Networks[other]; !in {
		t.Error("it was started without its second network")
	}
	gone := w.like("three", source, nil)
	gone.failed(engine.EffectNone, "like: there is no container "+source)
	if i := gone.preview(); i.Standing != engine.StandingUnknown {
		t.Errorf("preview %+v", i)
	}
}

func TestRunWithTheVolumesOfAnother(t *testing.T) {
	w := newWorld(t)
	up := w.create("up", &apicontainer.HostConfig{Binds: []string{w.name("vol") + ":/data"}}, apicontainer.Config{})
	w.step("start", engine.Record{"start": up}).ok()
	w.sh(up, "echo kept >/data/f")
	r := w.run("job", engine.Record{"volumes_from": engine.List{up + ":ro"}, "command": engine.List{"sh", "-c", "cat /data/f; touch /data/g"}, "wait": "exit"})
	o := r.failed(engine.EffectUnknown, "ead-only")
	if o.Result["stdout"] != "kept\n" {
		t.Errorf("result %v", o.Result)
	}
	gone := w.run("late", engine.Record{"volumes_from": engine.List{w.name("none")}})
	gone.failed(engine.EffectNone, "volumes_from: there is no container")
	if i := gone.preview(); i.Standing != engine.StandingUnknown {
		t.Errorf("preview %+v", i)
	}
}
