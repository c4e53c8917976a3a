package redis

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// infoSections are the sections of INFO, as far as servers up to version 8 have them.
var infoSections = []string{
	"server", "clients", "memory", "persistence", "threads", "stats", "replication", "cpu", "modules", "commandstats",
	"errorstats", "latencystats", "cluster", "keyspace", "keysizes", "hotkeys", "sentinel", "debug",
}

// infoGroups are the names that stand for several sections.
var infoGroups = []string{"default", "all", "everything"}

type infoParams struct {
	Sections steps.Texts `param:"info" need:"yes" doc:"the sections, such as memory, or default, all, everything"`
	Nodes    string      `param:"nodes" enum:"one,masters,replicas,all" literal:"yes" doc:"which nodes are asked; needed in a cluster"`
}

type info struct {
	sections []string
	nodes    string
	open     bool // the sections are not known yet
}

func judgeInfo(p engine.Proposal) engine.Judgement {
	list, ok := p.Params["info"].(engine.List)
	if !ok {
		list = engine.List{p.Params["info"]}
	}
	var problems []engine.Problem
	for _, e := range list {
		name, ok := e.(string)
		if ok && !knownSection(name) {
			problems = append(problems, engine.Problem{Path: "info", Message: "INFO has no section " + strconv.Quote(name) +
				"; it has " + strings.Join(append(infoGroups, infoSections...), ", ")})
		}
	}
	return judgeNodes(p, "INFO", engine.Judgement{Class: read, Problems: problems})
}

func knownSection(name string) bool {
	for _, s := range append(infoGroups, infoSections...) {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

func decodeInfo(params engine.Record) (steps.Operation, error) {
	if j := judgeInfo(engine.Proposal{Params: params}); len(j.Problems) > 0 {
		return nil, j.Problems[0]
	}
	var p infoParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	o := &info{nodes: p.Nodes}
	_, o.open = engine.FirstUnknown(params)
	for _, s := range p.Sections {
		o.sections = append(o.sections, strings.ToLower(s))
	}
	return o, nil
}

// Preview says what would be asked.
func (o *info) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Would: "read INFO " + strings.Join(o.sections, " ")}
	return previewRead(ctx, env, o.nodes, "INFO", im)
}

// Execute reads and parses the sections.
func (o *info) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if o.open {
		return engine.Outcome{Err: "the sections are not known yet"}
	}
	return onNodes(ctx, env, o.nodes, "INFO", func(ctx context.Context, env *steps.Env, n placed) engine.Outcome {
		return o.from(ctx, n)
	})
}

func (o *info) from(ctx context.Context, n placed) engine.Outcome {
	result := engine.Record{}
	asked := o.sections
	if len(asked) == 0 {
		asked = []string{"default"}
	}
	// One section at a time, because servers before 7.0 take no more.
	for _, section := range asked {
		args := []any{"INFO", section}
		if section == "default" {
			args = args[:1]
		}
		v, err := n.ask(ctx, "INFO "+section, args...)
		if err != nil {
			return failure(err)
		}
		for name, fields := range parseInfo(raw(v), n.db) {
			result[name] = fields
		}
	}
	return engine.Outcome{Result: result}
}

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)
	fraction    = regexp.MustCompile(`^-?[0-9]+\.[0-9]+$`)
	nodeField   = regexp.MustCompile(`^slave[0-9]+$`)
)

// parseInfo turns the text of INFO into sections of typed fields. Fields that hold several values become
// records, the replicas also a list, and the database of the target is always there.
func parseInfo(text string, db int64) engine.Record {
	out := engine.Record{}
	section := engine.Record{}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r")
		if title, ok := strings.CutPrefix(line, "# "); ok {
			section = engine.Record{}
			out[strings.ToLower(strings.TrimSpace(title))] = section
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		section[name] = infoValue(name, value)
		if nodeField.MatchString(name) {
			list, _ := section["replicas"].(engine.List)
			section["replicas"] = append(list, section[name])
		}
		if name == "module" {
			list, _ := section["list"].(engine.List)
			section["list"] = append(list, section[name])
		}
	}
	complete(out, db)
	return out
}

// complete adds what the server leaves out when there is nothing to say.
func complete(out engine.Record, db int64) {
	if spaces, ok := out["keyspace"].(engine.Record); ok {
		name := "db" + strconv.FormatInt(db, 10)
		if _, ok := spaces[name]; !ok {
			spaces[name] = engine.Record{"keys": int64(0), "expires": int64(0), "avg_ttl": int64(0)}
		}
	}
	if r, ok := out["replication"].(engine.Record); ok {
		if _, ok := r["replicas"]; !ok {
			r["replicas"] = engine.List{}
		}
	}
}

// infoValue types a field. Names of builds, versions and ids are text, even if they look like numbers.
func infoValue(name, value string) engine.Value {
	switch {
	case strings.HasSuffix(name, "_id") && name != "client_id", strings.HasSuffix(name, "version"), strings.Contains(name, "sha1"),
		strings.Contains(name, "replid"), name == "executable", name == "config_file", name == "os":
		return text(value)
	case strings.Contains(value, "=") && !strings.Contains(value, " "):
		r := engine.Record{}
		for _, part := range strings.Split(value, ",") {
			k, v, ok := strings.Cut(part, "=")
			if !ok {
				return text(value)
			}
			r[k] = infoValue(k, v)
		}
		return r
	case wholeNumber.MatchString(value):
		i, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			return i
		}
	case fraction.MatchString(value):
		f, err := strconv.ParseFloat(value, 64)
		if err == nil {
			return f
		}
	}
	return text(value)
}
