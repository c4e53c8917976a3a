package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/handrail-dev/handrail/engine"
)

// subnet is one that hardly anybody else on the engine has.
func (w *world) subnet() string {
	b := make([]byte, 2)
	_, _ = rand.Read(b) // it never fails
	return fmt.Sprintf("10.%d.%d.0/28", 96+b[0]%128, b[1])
}

// network makes a network without Handrail.
func (w *world) network(name string, subnets ...string) string {
	w.t.Helper()
	o := network.CreateOptions{Driver: "bridge"}
	if len(subnets) == 0 || subnets[0] == "" {
		subnets = []string{w.subnet()}
	}
	o.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnets[0]}}}
	_, err := w.plain.NetworkCreate(context.Background(), w.name(name), o)
	w.must(err)
	return w.name(name)
}

func (w *world) networkStep(name string, more engine.Record) *act {
	w.t.Helper()
	params := engine.Record{"network": w.name(name)}
	for k, v := range more {
		params[k] = v
	}
	return w.step("network", params)
}

func (w *world) volumeStep(name string, more engine.Record) *act {
	w.t.Helper()
	params := engine.Record{"volume": w.name(name)}
	for k, v := range more {
		params[k] = v
	}
	return w.step("volume", params)
}

func TestNetworkIsMadeOnceWithItsSubnet(t *testing.T) {
	w := newWorld(t)
	subnet := w.subnet()
	spec := engine.Record{"subnet": subnet, "internal": true, "labels": engine.Record{"tier": "data"}}
	made := w.networkStep("net", spec).prepared()
	r := made.ok()
	if r["changed"] != true || engine.Text(r["subnets"]) != "["+subnet+"]" || r["driver"] != "bridge" {
		t.Errorf("made: %v", r)
	}
	labels := r["labels"].(engine.Record)
	if labels[labelStep] != "it" || labels[labelToken] == nil || labels["tier"] != "data" {
		t.Errorf("labels %v", labels)
	}
	// The attempt was cut off AFTER the engine had made it.
	made.env.Again = true
	if r := made.ok(); r["changed"] != true {
		t.Errorf("again: %v", r)
	}
	other := w.networkStep("net", spec)
	other.env.Call.Token = "r-other/it"
	if r := other.ok(); r["changed"] != false || r["id"] == nil {
		t.Errorf("by another run: %v", r)
	}
	if i := w.networkStep("net", spec).preview(); i.Standing != engine.StandingAlready {
		t.Errorf("preview: %+v", i)
	}
}

func TestNetworkMadeByHandIsTakenIfItHasTheSubnet(t *testing.T) {
	w := newWorld(t)
	subnet := w.subnet()
	w.network("net", subnet)
	if r := w.networkStep("net", engine.Record{"subnet": subnet}).ok(); r["changed"] != false {
		t.Errorf("result %v", r)
	}
	wrong := w.networkStep("net", engine.Record{"subnet": w.subnet(), "internal": true})
	wrong.failed(engine.EffectNone, "there is another network", "subnet is "+subnet+", wanted ", "internal is false, wanted true", "not made by Handrail", "state: absent")
	if i := wrong.preview(); i.Standing != engine.StandingUnknown || len(i.Warnings) == 0 {
		t.Errorf("preview: %+v", i)
	}
	over := w.networkStep("over", engine.Record{"subnet": subnet})
	over.failed(engine.EffectNone, "overlaps with that of network "+w.name("net"))
	w.says(over.preview().Why, "overlaps")
}

func TestNetworkInUseIsNotRemoved(t *testing.T) {
	w := newWorld(t)
	net := w.network("net")
	stopped := w.create("stopped", &apicontainer.HostConfig{NetworkMode: apicontainer.NetworkMode(net)}, apicontainer.Config{})
	away := w.networkStep("net", engine.Record{"state": "absent"})
	away.failed(engine.EffectNone, "is in use by "+stopped)
	w.says(away.preview().Why, "is in use by "+stopped)
	w.step("remove", engine.Record{"remove": stopped}).ok()
	if i := away.preview(); i.Standing != engine.StandingWould || i.Risk != engine.RiskDestroys {
		t.Errorf("preview: %+v", i)
	}
	cut := w.networkStep("net", engine.Record{"state": "absent"}).prepared()
	if r := cut.ok(); r["changed"] != true || r["id"] != nil {
		t.Errorf("removed: %v", r)
	}
	cut.env.Again = true
	if r := cut.ok(); r["changed"] != true {
		t.Errorf("again: %v", r)
	}
	if r := w.networkStep("net", engine.Record{"state": "absent"}).ok(); r["changed"] != false {
		t.Errorf("once more: %v", r)
	}
	// One that came into being since is somebody's.
	w.network("net")
	cut.failed(engine.EffectNone, "not the one that was there when the step began")
}

func TestContainersJoinAndLeaveANetwork(t *testing.T) {
	w := newWorld(t)
	up, down, net := w.up("up"), w.create("down", nil, apicontainer.Config{}), w.network("net")
	join := w.step("connect", engine.Record{"connect": engine.List{up, down}, "to": net}).prepared()
	if r := join.ok(); engine.Text(r["changed"]) != "["+up+", "+down+"]" {
		t.Errorf("joined: %v", r)
	}
	for _, n := range []string{up, down} {
		if _, in := w.inspect(n).NetworkSettings.Networks[net]; !in {
			t.Errorf("%s is not in the network", n)
		}
	}
	join.env.Again = true
	if r := join.ok(); len(r["changed"].(engine.List)) != 2 {
		t.Errorf("again: %v", r)
	}
	if i := join.preview(); i.Standing != engine.StandingAlready {
		t.Errorf("preview: %+v", i)
	}
	if r := w.step("disconnect", engine.Record{"disconnect": engine.List{down, w.name("gone")}, "from": net}).ok(); engine.Text(r["changed"]) != "["+down+"]" {
		t.Errorf("left: %v", r)
	}
	none := w.step("connect", engine.Record{"connect": up, "to": w.name("none")})
	if _, err := none.op.(change).Prepare(context.Background(), none.env); err == nil || !strings.Contains(err.Error(), "there is no network") {
		t.Errorf("no network: %v", err)
	}
	if i := none.preview(); i.Standing != engine.StandingUnknown {
		t.Errorf("preview: %+v", i)
	}
	w.step("connect", engine.Record{"connect": w.name("gone"), "to": net}).failed(engine.EffectNone, "there is no container")
}

func TestVolumeIsMadeAndRemovedOnlyIfItIsOurs(t *testing.T) {
	w := newWorld(t)
	vol := w.name("vol")
	made := w.volumeStep("vol", nil).prepared()
	if r := made.ok(); r["changed"] != true || r["driver"] != "local" || r["mountpoint"] == nil {
		t.Errorf("made: %v", r)
	}
	made.env.Again = true
	if r := made.ok(); r["changed"] != true {
		t.Errorf("again: %v", r)
	}
	w.volumeStep("vol", engine.Record{"labels": engine.Record{"tier": "data"}}).failed(engine.EffectNone, "label tier differs", "made by step it")
	user := w.create("user", &apicontainer.HostConfig{Binds: []string{vol + ":/data"}}, apicontainer.Config{})
	away := w.volumeStep("vol", engine.Record{"state": "absent"})
	away.failed(engine.EffectNone, "is in use by "+user)
	w.says(away.preview().Why, "is in use by "+user)
	w.step("remove", engine.Record{"remove": user}).ok()
	if i := away.preview(); i.Standing != engine.StandingWould || i.Risk != engine.RiskIrreversible {
		t.Errorf("preview: %+v", i)
	}
	if r := away.ok(); r["changed"] != true {
		t.Errorf("removed: %v", r)
	}
	if r := away.ok(); r["changed"] != false {
		t.Errorf("once more: %v", r)
	}
	foreign := w.volumeStep("theirs", nil)
	_, err := w.plain.VolumeCreate(context.Background(), volume.CreateOptions{Name: w.name("theirs")})
	w.must(err)
	foreign.failed(engine.EffectNone, "there is another volume", "not made by Handrail", "foreign: ok")
	w.volumeStep("theirs", engine.Record{"state": "absent"}).failed(engine.EffectNone, "not made by Handrail")
	if r := w.volumeStep("theirs", engine.Record{"foreign": "ok"}).ok(); r["changed"] != false {
		t.Errorf("taken: %v", r)
	}
	if r := w.volumeStep("theirs", engine.Record{"state": "absent", "foreign": "ok"}).ok(); r["changed"] != true {
		t.Errorf("removed: %v", r)
	}
}
