package redis

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Kind is the step kind `redis`.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	return engine.Kind{
		Name: "redis",
		Doc:  "Reads and changes a Redis server, a cluster, or a master that sentinels know: single commands, transactions and scripts that are carried out exactly once, files, keys in bulk, and the cluster itself.",
		Targets: []engine.TargetType{{
			Name:       "redis",
			Doc:        "One Redis server.",
			Settings:   steps.Params[settings](),
			KeepsLocks: true,
			Example:    `{redis: {address: "127.0.0.1:6379", user: ops, password: "${{ secrets.REDIS_PASSWORD }}", db: 0}}`,
		}, {
			Name:       "cluster",
			Doc:        "A Redis cluster. Commands go to the node of their keys, and follow it when slots are moved.",
			Settings:   steps.Params[clusterSettings](),
			KeepsLocks: true,
			Example:    `{cluster: {addresses: ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"], password: "${{ secrets.REDIS_PASSWORD }}"}}`,
		}, {
			Name:       "sentinel",
			Doc:        "A Redis master and its replicas, found through sentinels.",
			Settings:   steps.Params[sentinelSettings](),
			KeepsLocks: true,
			Example:    `{sentinel: {addresses: ["10.0.0.1:26379", "10.0.0.2:26379"], master: mymaster, password: "${{ secrets.REDIS_PASSWORD }}"}}`,
		}},
		Operations: append(operations(), clusterOperations()...),
	}
}

func operations() []engine.Operation {
	return []engine.Operation{
		{
			Name: "do", Key: "do", Class: once, Risk: irreversible,
			Doc:     "Sends one command. Handrail knows the commands that only read, and those that move the server to a stated condition and may be sent again; everything else is never repeated.",
			Params:  steps.Params[doParams](),
			Result:  engine.RecordOf(result("value", engine.TypeAny, "the reply: null, integer, number, text, bytes, list or record")),
			Example: `{id: limit, redis: {do: [CONFIG, SET, maxmemory, 2gb]}}`,
			Judge:   judgeDo,
		},
		{
			Name: "info", Key: "info", Class: read, Risk: reads,
			Doc:     "Reads INFO and parses it: sections of typed fields, such as memory.used_memory; the replicas are the list replication.replicas.",
			Params:  steps.Params[infoParams](),
			Result:  infoShape(),
			Example: `{id: room, redis: {info: memory}, expect: memory.used_memory < 2000000000}`,
			Judge:   judgeInfo,
		},
		{
			Name: "count", Key: "count", Class: read, Risk: reads,
			Doc:    "Counts the keys of a pattern of which a condition holds, without stopping the server. A key may be counted twice if the server resizes its table meanwhile; zero is always exact.",
			Params: steps.Params[countParams](),
			Result: engine.RecordOf(result("count", engine.TypeInteger, "keys of the pattern of which the condition holds"),
				result("matched", engine.TypeInteger, "keys of the pattern")),
			Example: `{id: left, redis: {count: {match: "reservation:*", where: ttl == -1}}, expect: count == 0}`,
			Judge:   judgeCount,
		},
		{
			Name: "transaction", Key: "transaction", Class: engine.ClassTransactional, Risk: destroys, Prepares: true,
			Doc:     "Sends several commands that are carried out as one, exactly once. Redis takes nothing back: if a command in the middle fails, those before it stand, and the step is in doubt with their number. Whole numbers beyond 2^53 come back as floats, because Lua rounds them.",
			Params:  steps.Params[transactionParams](),
			Result:  engine.RecordOf(result("values", engine.TypeList, "the replies, in the order of the commands")),
			Example: `{id: enqueue, redis: {transaction: [[RPUSH, "{q}", job-1], [INCR, "{q}:n"]]}}`,
			Judge:   judgeTransaction,
		},
		{
			Name: "script", Key: "script", Class: engine.ClassTransactional, Risk: destroys, Prepares: true,
			Doc:     "Runs a Lua script exactly once. It sees its keys as KEYS and its other values as ARGV. If it ends in an error after it has written something, that stands, and the step is in doubt.",
			Params:  steps.Params[scriptParams](),
			Result:  engine.RecordOf(result("value", engine.TypeAny, "what the script returns")),
			Example: `{id: swap, redis: {script: "return redis.call('RENAME', KEYS[1], KEYS[2])", keys: ["{a}:new", "{a}:live"]}}`,
			Judge:   judgeScript,
		},
		{
			Name: "snapshot", Key: "snapshot", Role: engine.RoleBackup, Class: engine.ClassIdempotent, Risk: changes, Prepares: true,
			Doc:    "Makes the server write its RDB file (BGSAVE) and waits until it has succeeded. One that was under way before is waited for first.",
			Params: steps.Params[snapshotParams](),
			Result: engine.RecordOf(result("last_save", engine.TypeTime, "when the file was finished"),
				result("seconds", engine.TypeInteger, "how long it took"),
				result("already", engine.TypeBool, "it was written by an attempt that was cut off")),
			Example: `{id: saved, redis: {snapshot: {}}, timeout: 10m}`,
			Judge:   judgePersist("BGSAVE"),
		},
		{
			Name: "rewrite_aof", Key: "rewrite_aof", Class: engine.ClassIdempotent, Risk: changes, Prepares: true,
			Doc:    "Makes the server rewrite its append-only file (BGREWRITEAOF) and waits until it has succeeded.",
			Params: steps.Params[rewriteParams](),
			Result: engine.RecordOf(result("size", engine.TypeInteger, "the file's size in bytes"),
				result("seconds", engine.TypeInteger, "how long it took"),
				result("already", engine.TypeBool, "it was written by an attempt that was cut off")),
			Example: `{id: rewritten, redis: {rewrite_aof: {}}, timeout: 10m}`,
			Judge:   judgePersist("BGREWRITEAOF"),
		},
		sweepOperation(),
	}
}

func sweepOperation() engine.Operation {
	return engine.Operation{
		Name: "sweep", Key: "sweep", Class: engine.ClassIdempotent, Risk: destroys,
		Doc:    "Removes the keys of a pattern of which a condition holds, or lets them expire. The server checks and removes each key in one step, so a key that was given a time to live meanwhile stays.",
		Params: steps.Params[sweepParams](),
		Result: engine.RecordOf(result("matched", engine.TypeInteger, "keys of the pattern that were looked at"),
			result("found", engine.TypeInteger, "keys of which the condition held"),
			result("swept", engine.TypeInteger, "keys that were removed, or will expire"),
			result("swept_before", engine.TypeInteger, "keys that an attempt that was cut off had swept, as far as it was recorded"),
			result("more", engine.TypeBool, "max_keys was reached before the end")),
		Example: `{id: swept, redis: {sweep: {match: "reservation:*", where: ttl == -1, action: unlink}}, expect: swept == found}`,
		Judge:   judgeSweep,
	}
}

func result(name string, t engine.Type, doc string) engine.Field {
	return engine.Field{Name: name, Shape: engine.Of(t), Doc: doc}
}

// infoShape has every section, each with fields that only the server knows.
func infoShape() engine.Shape {
	s := engine.Shape{Type: engine.TypeRecord}
	for _, name := range infoSections {
		s.Fields = append(s.Fields, engine.Field{Name: name, Doc: "the section " + name + " of INFO, if it was asked for",
			Shape: engine.Shape{Type: engine.TypeRecord, Open: true}})
	}
	return s
}

// Decode turns parameters into an operation.
func (*Kind) Decode(operation string, params engine.Record) (steps.Operation, error) {
	switch operation {
	case "do":
		return decodeDo(params)
	case "info":
		return decodeInfo(params)
	case "count":
		return decodeCount(params)
	case "transaction":
		return decodeTransaction(params)
	case "script":
		return decodeScript(params)
	case "snapshot":
		var p snapshotParams
		err := steps.Bind(params, &p)
		return &persist{snapshotting, p.Nodes}, err
	case "rewrite_aof":
		var p rewriteParams
		err := steps.Bind(params, &p)
		return &persist{rewriting, p.Nodes}, err
	case "sweep":
		return decodeSweep(params)
	case "cluster_create":
		return decodeCreate(params)
	case "cluster_check":
		return decodeCheck(params)
	case "cluster_meet", "cluster_replicate", "cluster_forget", "cluster_take":
		return decodeMembership(strings.TrimPrefix(operation, "cluster_"), params)
	}
	return nil, fmt.Errorf("redis has no operation %q", operation)
}
