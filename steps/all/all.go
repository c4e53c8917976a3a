// Package all is the list of every step kind that Handrail has. It is a list and nothing else: no kind
// registers itself, so that what a binary can do is read here.
package all

import (
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/approve"
	"github.com/handrail-dev/handrail/steps/docker"
	"github.com/handrail-dev/handrail/steps/exec"
	"github.com/handrail-dev/handrail/steps/file"
	"github.com/handrail-dev/handrail/steps/http"
	"github.com/handrail-dev/handrail/steps/notify"
	"github.com/handrail-dev/handrail/steps/playbook"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/sql"
	"github.com/handrail-dev/handrail/steps/verify"
	"github.com/handrail-dev/handrail/steps/wait"
)

// Kinds are the kinds, in the order of the documents.
func Kinds() []steps.Kind {
	containers := docker.New()
	return []steps.Kind{
		containers,
		sql.New(containers),
		redis.New(),
		wait.New(),
		verify.New(),
		exec.New(containers),
		file.New(),
		http.New(),
		approve.New(),
		notify.New(),
		playbook.New(),
	}
}
