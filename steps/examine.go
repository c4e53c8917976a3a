package steps

import (
	"context"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Examiner is a connection that can say more of its target than that it was opened. An error is what keeps every
// step from acting on it. Like Preview it may only read. now is the clock of this machine.
type Examiner interface {
	Examine(ctx context.Context, now func() time.Time) ([]engine.Lack, error)
}

// skewTolerated is how far the clocks of two machines may be apart that are looked after by NTP, with room to spare.
const skewTolerated = 3 * time.Second

// Skew says that the clock of a server is not that of this machine. asked and answered are this machine's times
// around the question, between which the server read its own.
func Skew(where string, asked, server, answered time.Time) []engine.Lack {
	var apart time.Duration
	word := "ahead of"
	switch {
	case server.After(answered):
		apart = server.Sub(answered)
	case server.Before(asked):
		apart, word = asked.Sub(server), "behind"
	}
	if apart <= skewTolerated {
		return nil
	}
	return []engine.Lack{{Unsure: true,
		What: fmt.Sprintf("the clock of %s is %v %s this machine's", where, apart.Round(time.Second), word),
		Remedy: "set both by NTP: times that the server writes do not compare with those of the run (run.started, now(), cut-offs made of them), " +
			"the age of a backup is wrong by that much, and what expires does so too early or too late"}}
}
