package truth

import (
	"fmt"

	"github.com/handrail-dev/handrail/engine"
)

// measure is what a figure of a plan came to, by the result of the operation itself. An error says that nothing
// tells: then the figure could not be held against anything, and whoever has brought it in says here what it is measured by.
func measure(d Deed, figure string) (int64, error) {
	for _, m := range measures {
		if (m.operation == d.Kind+"."+d.Operation || m.operation == d.Kind+".*") && m.figure == figure {
			if n, ok := m.of(d.Result); ok {
				return n, nil
			}
			return 0, fmt.Errorf("the result of %s.%s does not tell %s: %s", d.Kind, d.Operation, figure, engine.Text(d.Result))
		}
	}
	return 0, fmt.Errorf("nothing tells what %q of %s.%s came to; say in measure.go what it is measured by", figure, d.Kind, d.Operation)
}

var measures = []struct {
	operation, figure string
	of                func(engine.Record) (int64, bool)
}{
	{"sql.exec", "rows", number("affected")},
	{"sql.transaction", "rows", number("affected")},
	{"sql.query", "rows", count("rows")},
	{"sql.export", "rows", number("count")},
	{"sql.dump", "tables", count("tables")},
	{"sql.dump", "rows", number("rows")},
	{"sql.dump", "bytes", number("content")},
	{"sql.restore", "tables", count("tables")},
	{"sql.restore", "rows", number("rows")},
	{"sql.move", "rows", number("moved")},
	{"sql.move", "batches", number("batches")},
	{"redis.sweep", "keys", number("swept")},
	{"redis.count", "keys", number("count")},
	{"redis.do", "keys", number("value")},
	{"file.extract", "replaced", number("replaced")},
	{"redis.cluster_create", "nodes", count("members")},
	{"redis.*", "nodes", nodes},
	{"docker.run", "containers", truth("changed")},
	{"docker.network", "networks", truth("changed")},
	{"docker.volume", "volumes", truth("changed")},
	{"docker.copy", "bytes", number("bytes")},
	{"docker.pull", "images", count("changed")},
	{"docker.*", "containers", count("changed")},
	{"file.copy", "bytes", number("size")},
	{"file.archive", "files", number("count")},
	{"file.archive", "bytes", number("content")},
	{"file.extract", "files", number("count")},
	{"file.extract", "bytes", number("size")},
	{"file.prune", "files", number("count")},
	{"file.prune", "bytes", number("size")},
}

// number is a field, or the sum of it over the nodes that were acted on.
func number(field string) func(engine.Record) (int64, bool) {
	var of func(engine.Record) (int64, bool)
	of = func(r engine.Record) (int64, bool) {
		if n, ok := r[field].(int64); ok {
			return n, true
		}
		nodes, _ := r[engine.NodesField].(engine.List)
		var sum int64
		for _, node := range nodes {
			one, _ := node.(engine.Record)
			n, ok := of(one)
			if !ok {
				return 0, false
			}
			sum += n
		}
		return sum, len(nodes) > 0
	}
	return of
}

// nodes is how many servers were acted on.
func nodes(r engine.Record) (int64, bool) {
	if l, several := r[engine.NodesField].(engine.List); several {
		return int64(len(l)), true
	}
	return 1, true
}

func count(field string) func(engine.Record) (int64, bool) {
	return func(r engine.Record) (int64, bool) { l, ok := r[field].(engine.List); return int64(len(l)), ok }
}

func truth(field string) func(engine.Record) (int64, bool) {
	return func(r engine.Record) (int64, bool) {
		yes, ok := r[field].(bool)
		if yes {
			return 1, ok
		}
		return 0, ok
	}
}

// idle: by its own word the operation had nothing to do.
func idle(d Deed) bool {
	for _, field := range []string{"changed", "created"} {
		switch v := d.Result[field].(type) {
		case bool:
			return !v
		case engine.List:
			return len(v) == 0
		}
	}
	if nodes, ok := d.Result[engine.NodesField].(engine.List); ok {
		for _, n := range nodes {
			r, _ := n.(engine.Record)
			if !idle(Deed{Call: d.Call, Outcome: engine.Outcome{Result: r}}) {
				return false
			}
		}
		return len(nodes) > 0
	}
	return false
}
