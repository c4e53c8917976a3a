package playbook_test

import (
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
)

// testCatalogue declares kinds as the real ones do, small enough to be seen at a glance.
func testCatalogue() *playbook.Catalogue {
	return playbook.NewCatalogue([]engine.Kind{sqlKind(), redisKind(), waitKind(), verifyKind(), execKind(), approveKind(), notifyKind()})
}

func need(name string, s engine.Shape) engine.Field {
	return engine.Field{Name: name, Shape: s, Required: true, Doc: "The " + name + "."}
}

func may(name string, s engine.Shape) engine.Field {
	return engine.Field{Name: name, Shape: s, Doc: "The " + name + "."}
}

func statement() engine.Shape { return engine.Shape{Type: engine.TypeText, Literal: true} }

func texts() engine.Shape {
	one := engine.Of(engine.TypeText)
	s := engine.ListOf(one)
	s.Or = &one
	return s
}

func sqlKind() engine.Kind {
	rows := engine.RecordOf(need("rows", engine.RowsShape()), need("columns", engine.ListOf(engine.Of(engine.TypeText))))
	affected := engine.RecordOf(need("affected", engine.Of(engine.TypeInteger)), need("last_insert_id", engine.Of(engine.TypeInteger)))
	args := may("args", engine.MapOf(engine.Of(engine.TypeAny)))
	entry := engine.RecordOf(
		may("query", statement()), may("exec", statement()), args, may("as", engine.Of(engine.TypeText)), may("expect", engine.Of(engine.TypeCondition)),
	)
	sequence := engine.ListOf(entry)
	sequence.Entries = []engine.Variant{{Key: "query", Result: rows}, {Key: "exec", Result: affected}}
	server := engine.RecordOf(
		need("address", engine.Of(engine.TypeText)), need("user", engine.Of(engine.TypeText)), may("password", engine.Of(engine.TypeSecret)),
		need("database", engine.Of(engine.TypeText)), may("timeout", engine.Of(engine.TypeDuration)),
	)
	return engine.Kind{
		Name: "sql", Doc: "Statements on a database.",
		Targets: []engine.TargetType{
			{Name: "mysql", Doc: "MySQL.", Settings: server, Example: "{address: 127.0.0.1:3306, user: ops, database: numbering}"},
			{Name: "sqlite", Doc: "SQLite.", Settings: engine.RecordOf(need("file", engine.Of(engine.TypePath))), Example: "{file: ./numbering.db}"},
		},
		Operations: []engine.Operation{
			{Name: "query", Key: "query", Doc: "Reads rows.", Params: engine.RecordOf(need("query", statement()), args), Result: rows,
				Class: engine.ClassRead, Example: "{id: a, sql: {query: \"SELECT 1\"}, expect: \"len(rows) == 1\"}", Judge: engine.ByParams(judgeSQL)},
			{Name: "exec", Key: "exec", Doc: "Changes rows.", Params: engine.RecordOf(need("exec", statement()), args), Result: affected,
				Class: engine.ClassTransactional, Risk: engine.RiskDestroys, ExpectInside: true, Example: "{id: b, sql: {exec: \"UPDATE t SET a = 1\"}}", Judge: engine.ByParams(judgeSQL)},
			{Name: "transaction", Key: "transaction", Doc: "Several statements at once.", Params: engine.RecordOf(need("transaction", sequence), args),
				Result: engine.RecordOf(need("affected", engine.Of(engine.TypeInteger))), Class: engine.ClassTransactional, Risk: engine.RiskDestroys, ExpectInside: true,
				Example: "{id: c, sql: {transaction: [{exec: \"UPDATE t SET a = 1\", expect: \"affected == 1\"}]}}"},
			{Name: "export", Key: "export", Doc: "Writes rows to a file.", Params: engine.RecordOf(need("export", engine.Of(engine.TypePath)), need("query", statement()), args),
				Result: engine.RecordOf(need("count", engine.Of(engine.TypeInteger))), Class: engine.ClassIdempotent, Risk: engine.RiskChanges,
				Example: "{id: d, sql: {export: rows.csv, query: \"SELECT 1\"}}"},
		},
	}
}

// judgeSQL finds a misspelled statement, and says that DDL cannot be repeated.
func judgeSQL(p engine.Record) engine.Judgement {
	for _, key := range []string{"query", "exec"} {
		text, ok := p[key].(string)
		if !ok {
			continue
		}
		if at := strings.Index(text, "SELEKT"); at >= 0 {
			return engine.Judgement{Problems: []engine.Problem{{Path: key, Offset: at, Message: "SELEKT is no statement"}}}
		}
		if strings.HasPrefix(text, "DROP") {
			return engine.Judgement{Class: engine.ClassUnrepeatable, Risk: engine.RiskIrreversible}
		}
	}
	if args, ok := p["args"].(engine.Record); ok {
		if _, extra := args["extra"]; extra {
			return engine.Judgement{Problems: []engine.Problem{{Path: "args.extra", Message: "the statement has no :extra"}}}
		}
	}
	return engine.Judgement{}
}

func redisKind() engine.Kind {
	return engine.Kind{
		Name: "redis", Doc: "Commands on Redis.",
		Targets: []engine.TargetType{{Name: "redis", Doc: "Redis.", Settings: engine.RecordOf(need("address", engine.Of(engine.TypeText)), may("password", engine.Of(engine.TypeSecret))), Example: "{address: 127.0.0.1:6379}"}},
		Operations: []engine.Operation{
			{Name: "do", Key: "do", Doc: "One command.", Params: engine.RecordOf(need("do", engine.ListOf(engine.Of(engine.TypeAny)))),
				Result: engine.RecordOf(need("value", engine.Of(engine.TypeAny))), Class: engine.ClassUnrepeatable, Risk: engine.RiskIrreversible,
				Example: "{id: a, redis: {do: [PING]}}", Judge: engine.ByParams(judgeRedis)},
			{Name: "sweep", Key: "sweep", Doc: "Removes keys.", Params: engine.RecordOf(need("sweep", engine.RecordOf(
				need("match", engine.Of(engine.TypeText)), may("where", engine.Of(engine.TypeCondition)),
				may("action", engine.Shape{Type: engine.TypeEnum, Enum: []string{"unlink", "del"}}), may("batch", engine.Of(engine.TypeSize))))),
				Result: engine.RecordOf(need("swept", engine.Of(engine.TypeInteger))), Class: engine.ClassIdempotent, Risk: engine.RiskDestroys,
				Example: "{id: b, redis: {sweep: {match: \"a:*\", where: ttl == -1, action: unlink}}}"},
		},
	}
}

func judgeRedis(p engine.Record) engine.Judgement {
	words, _ := p["do"].(engine.List)
	if len(words) == 0 {
		return engine.Judgement{Problems: []engine.Problem{{Path: "do", Message: "there is no command"}}}
	}
	if words[0] == "PING" || words[0] == "GET" {
		return engine.Judgement{Class: engine.ClassRead}
	}
	return engine.Judgement{Class: engine.ClassUnrepeatable, Risk: engine.RiskChanges}
}

func waitKind() engine.Kind {
	return engine.Kind{Name: "wait", Doc: "Waits.", Operations: []engine.Operation{
		{Name: "for", Key: "for", Doc: "A time.", Params: engine.RecordOf(need("for", engine.Of(engine.TypeDuration))), Result: engine.RecordOf(need("waited", engine.Of(engine.TypeDuration))),
			Class: engine.ClassRead, Example: "{id: a, wait: {for: 30s}}"},
		{Name: "until", Key: "until", Doc: "Probes.", Params: engine.RecordOf(need("until", engine.ListOf(engine.Of(engine.TypeProbe))), may("every", engine.Of(engine.TypeDuration))),
			Result: engine.RecordOf(need("waited", engine.Of(engine.TypeDuration))), Class: engine.ClassRead,
			Example: "{id: b, wait: {until: [{redis: {do: [PING]}, expect: \"value == 'PONG'\"}], every: 2s}, timeout: 60s}"},
	}}
}

func verifyKind() engine.Kind {
	return engine.Kind{Name: "verify", Doc: "Proves.", Operations: []engine.Operation{
		{Name: "verify", Inline: "probes", Doc: "Asks probes.", Params: engine.RecordOf(need("probes", engine.ListOf(engine.Of(engine.TypeProbe)))), Grades: true,
			Result: engine.Shape{Type: engine.TypeRecord, Open: true, Fields: []engine.Field{need("checks", engine.RowsShape())}}, Class: engine.ClassRead,
			Example: "{id: a, verify: [{redis: {do: [PING]}, expect: \"value == 'PONG'\", message: cache answers}]}"},
	}}
}

func execKind() engine.Kind {
	return engine.Kind{Name: "exec", Doc: "Runs a program.", Operations: []engine.Operation{
		{Name: "exec", Doc: "Runs a program.", Params: engine.RecordOf(
			may("argv", engine.ListOf(engine.Of(engine.TypeText))), may("shell", statement()), may("stdin", engine.Of(engine.TypeText)),
			may("env", engine.MapOf(engine.Of(engine.TypeSecret))), may("codes", engine.ListOf(engine.Of(engine.TypeInteger))), may("hosts", texts())),
			Result: engine.RecordOf(need("stdout", engine.Of(engine.TypeText)), need("code", engine.Of(engine.TypeInteger))),
			Class:  engine.ClassUnrepeatable, Risk: engine.RiskIrreversible, Example: "{id: a, exec: {argv: [sync]}}"},
	}}
}

func approveKind() engine.Kind {
	return engine.Kind{Name: "approve", Doc: "Asks a person.", Operations: []engine.Operation{
		{Name: "approve", Inline: "message", Doc: "Asks a person.", Params: engine.RecordOf(need("message", engine.Of(engine.TypeText)), may("expires", engine.Of(engine.TypeDuration))),
			Result: engine.RecordOf(), Class: engine.ClassPerson, Example: "{id: a, approve: {message: Go on?, expires: 30m}}"},
	}}
}

func notifyKind() engine.Kind {
	return engine.Kind{Name: "notify", Doc: "Tells people.", Operations: []engine.Operation{
		{Name: "notify", Inline: "text", Doc: "Tells people.", Params: engine.RecordOf(need("text", engine.Of(engine.TypeText))), Result: engine.RecordOf(), Class: engine.ClassAdvisory,
			Example: "{id: a, notify: done}"},
	}}
}
