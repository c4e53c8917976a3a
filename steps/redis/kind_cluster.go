package redis

import (
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// clusterOperations form, change and check a cluster.
func clusterOperations() []engine.Operation {
	changed := engine.RecordOf(result("id", engine.TypeText, "the id of the node; empty if no node knows it"),
		result("changed", engine.TypeBool, "there was something to do"))
	return []engine.Operation{
		{
			Name: "cluster_create", Key: "cluster_create", Class: repeat, Risk: changes,
			Doc: "Forms a cluster of empty nodes: divides the slots, introduces the nodes to each other, makes replicas, and waits until every node agrees. " +
				"A formed cluster is left alone, one that is half formed is completed; a node that holds keys or belongs to another cluster stops the step before anything is changed.",
			Params: steps.Params[createParams](),
			Result: engine.RecordOf(result("created", engine.TypeBool, "it was formed by this step; false if it was there"),
				result("masters", engine.TypeInteger, "how many masters there are"),
				result("replicas", engine.TypeInteger, "how many replicas there are"), members()),
			Example: `{id: formed, redis: {cluster_create: {replicas: 0}}, timeout: 2m}`,
			Judge:   judgeCreate,
		},
		{
			Name: "cluster_check", Key: "cluster_check", Class: read, Risk: reads, Grades: true,
			Doc:    "Looks at the cluster from every one of its nodes and grades it: failed if slots are without a node or a node says that the cluster is down; degraded if nodes do not answer or disagree, slots are on their way, or replicas are missing.",
			Params: steps.Params[checkParams](),
			Result: engine.RecordOf(result("state", engine.TypeText, "ok, degraded or failed"),
				result("slots", engine.TypeInteger, "slots that a node answers for, of 16384"),
				result("masters", engine.TypeInteger, "how many masters there are"),
				result("replicas", engine.TypeInteger, "how many replicas there are"),
				engine.Field{Name: "problems", Shape: engine.ListOf(engine.Of(engine.TypeText)), Doc: "what is not as it should be, the worst first"},
				members()),
			Example: `{id: healthy, redis: {cluster_check: {}}}`,
			Judge:   onClusters,
		},
		{
			Name: "cluster_meet", Key: "cluster_meet", Class: repeat, Risk: changes,
			Doc:     "Has an empty node join the cluster, and waits until every node knows it. One that has joined already is left alone.",
			Params:  steps.Params[meetParams](),
			Result:  changed,
			Example: `{id: joined, redis: {cluster_meet: "10.0.0.4:6379"}, timeout: 1m}`,
			Judge:   onClusters,
		},
		{
			Name: "cluster_replicate", Key: "cluster_replicate", Class: repeat, Risk: changes,
			Doc:     "Makes a node the replica of a master, and waits until it follows it and every node knows. A node with slots or keys is refused.",
			Params:  steps.Params[replicateParams](),
			Result:  changed,
			Example: `{id: follows, redis: {cluster_replicate: "10.0.0.4:6379", of: "10.0.0.1:6379"}, timeout: 2m}`,
			Judge:   onClusters,
		},
		{
			Name: "cluster_forget", Key: "cluster_forget", Class: repeat, Risk: destroys,
			Doc:     "Removes a node from the cluster on every remaining node; one that is still alive is reset, and a replica loses its copy. A node with slots, or with replicas, is refused.",
			Params:  steps.Params[forgetParams](),
			Result:  changed,
			Example: `{id: gone, redis: {cluster_forget: "10.0.0.4:6379"}}`,
			Judge:   onClusters,
		},
		{
			Name: "cluster_take", Key: "cluster_take", Class: repeat, Risk: destroys,
			Doc: "Gives an empty master the slots that no node answers for, and waits until every node agrees. Failed nodes that had them are forgotten, and their keys are lost: " +
				"they are put back from a backup. Refused while a replica of such a node is alive, which has them.",
			Params:  steps.Params[takeParams](),
			Result:  changed,
			Example: `{id: taken, redis: {cluster_take: "10.0.0.4:6379"}, timeout: 1m}`,
			Judge:   onClusters,
		},
	}
}

func members() engine.Field {
	return engine.Field{Name: "members", Doc: "the nodes, as one of them sees the cluster", Shape: engine.ListOf(engine.RecordOf(
		result(engine.NodeField, engine.TypeText, "where it is reached"),
		result("id", engine.TypeText, "its id"),
		result("role", engine.TypeText, "master or replica"),
		result("slots", engine.TypeInteger, "how many slots it has"),
		result("ranges", engine.TypeText, "which"),
		result("master", engine.TypeText, "of a replica: its master"),
		result("failed", engine.TypeBool, "the cluster has marked it as failed")))}
}
