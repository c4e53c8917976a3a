package playbook_test

import (
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/playbook"
	"github.com/handrail-dev/handrail/steps/steptest"
)

func TestContract(t *testing.T) {
	good := engine.Record{"run": "redis-backup", "inputs": engine.Record{"dir": "/backups"}, "targets": engine.Record{"cache": "sessions"}}
	steptest.Run(t, steptest.Suite{Kind: playbook.New(), Cases: []steptest.Case{{
		Operation: "run", Params: good, Bad: []steptest.Bad{{Params: engine.Record{"run": ""}, Path: "run"}},
	}}})
}
