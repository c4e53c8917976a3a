package redis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestAnEmptyMasterTakesTheSlotsOfAFailedOne(t *testing.T) {
	w, c, cc := clusterWorld(t, 3, 0)
	for i := range 90 {
		cc.Set(t.Context(), fmt.Sprint("k", i), "v", 0)
	}
	spare := servers.RedisNode(t)
	taking := call("cluster_take", engine.Record{"cluster_take": spare.Addr})
	failed(t, w.execute(taking), "has no node "+spare.Addr)
	succeeded(t, w.execute(call("cluster_meet", engine.Record{"cluster_meet": spare.Addr})))
	// While every slot is served there is nothing to take.
	if r := succeeded(t, w.execute(taking)); r["changed"] != false {
		t.Errorf("%v", r)
	}
	id := c.ID(1)
	c.Nodes[1].Kill()
	c.Until("it is marked", func() bool {
		for _, i := range []int{0, 2} {
			if !strings.Contains(fmt.Sprint(c.Nodes[i].Client().Do(t.Context(), "CLUSTER", "NODES").Val()), "master,fail ") {
				return false
			}
		}
		return true
	})
	// A master with keys takes nothing that is not empty; one without slots would have to be empty.
	im := w.preview(taking)
	if im.Standing != engine.StandingWould || !strings.Contains(im.Would, "5461-10921") || !strings.Contains(fmt.Sprint(im.Facts), "would be forgotten") {
		t.Errorf("%+v", im)
	}
	// An attempt was killed when the node that is asked first had forgotten the one that has failed, and the others had not: they would not
	// believe that its slots have another owner.
	if err := c.Nodes[0].Client().ClusterForget(t.Context(), id).Err(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if r := succeeded(t, w.execute(taking)); r["changed"] != want {
			t.Errorf("%v", r)
		}
	}
	for _, s := range []*servers.RedisServer{c.Nodes[0], c.Nodes[2], spare} {
		has(t, s.Client().ClusterInfo(t.Context()).Val(), "cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3")
	}
	// The failed one comes back, and quarrels with nobody: the others do not know it any more.
	if n := spare.Client().DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys", n)
	}
}

func TestSlotsAreNotTakenFromALiveReplica(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 1)
	spare := servers.RedisNode(t)
	succeeded(t, w.execute(call("cluster_meet", engine.Record{"cluster_meet": spare.Addr})))
	// The replica does not take over by itself.
	if err := c.Nodes[3].Client().ConfigSet(t.Context(), "cluster-replica-no-failover", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	c.Nodes[0].Kill()
	c.Until("it is marked", func() bool {
		return strings.Contains(fmt.Sprint(c.Nodes[1].Client().Do(t.Context(), "CLUSTER", "NODES").Val()), "master,fail ") &&
			strings.Contains(fmt.Sprint(c.Nodes[2].Client().Do(t.Context(), "CLUSTER", "NODES").Val()), "master,fail ")
	})
	failed(t, w.execute(call("cluster_take", engine.Record{"cluster_take": spare.Addr})), "TAKEOVER", "nothing was changed")
}
