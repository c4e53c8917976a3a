package main

import (
	"testing"
	"time"
)

// TestAClockThatIsSetBackIsTold, and gives an approval no more time than it had when the last event was.
func TestAClockThatIsSetBackIsTold(t *testing.T) {
	const told = "55m0s behind the last event of the run"
	g := newGround(t)
	g.playbook("asks", "steps:\n  - {id: sure, approve: {message: Sure, expires: 30m}}\n")
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) { g.now = func() time.Time { return noon.Add(d) } }
	at(time.Hour)
	g.handrail("run", "asks", "--yes").is(3).never(told)
	id := g.last()
	at(85 * time.Minute)
	g.handrail("resume", id).is(3).never(told)
	at(30 * time.Minute)
	g.handrail("approve", id, "sure").is(0, told)

	// Another has used its whole time before the clock is set back.
	at(time.Hour)
	g.handrail("run", "asks", "--yes").is(3)
	id = g.last()
	at(85 * time.Minute)
	g.handrail("resume", id).is(3)
	at(30 * time.Minute)
	g.handrail("resume", id).is(3, told) // 25 minutes are used
	at(36 * time.Minute)
	g.handrail("approve", id, "sure").is(2, "expired")
}
