package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Examine looks at the clock of every server of the target, and which of them cannot be reached. That there is no cluster
// yet is for the steps that need one.
func (c *Conn) Examine(ctx context.Context, now func() time.Time) ([]engine.Lack, error) {
	nodes, err := c.pick(ctx, nodesAll)
	if err != nil {
		return nil, ctx.Err()
	}
	var lacks []engine.Lack
	for _, n := range nodes {
		asked := now()
		v, err := n.ask(ctx, "ask for its time", "TIME")
		answered := now()
		var f *fault
		switch {
		case ctx.Err() != nil:
			return lacks, ctx.Err()
		case errors.As(err, &f) && f.reach != refused && !errors.As(f.cause, new(refusal)):
			l := steps.LackOf(err.Error())
			l.Unsure = true
			lacks = append(lacks, l)
		case err == nil:
			if server, ok := timeOf(v); ok {
				lacks = append(lacks, steps.Skew(fmt.Sprintf("redis %s (%s)", n.address, n.role), asked, server, answered)...)
			}
		}
	}
	return lacks, nil
}

// timeOf reads an answer to TIME: seconds and microseconds.
func timeOf(v engine.Value) (time.Time, bool) {
	list, _ := v.(engine.List)
	if len(list) != 2 {
		return time.Time{}, false
	}
	seconds, bad := strconv.ParseInt(engine.Text(list[0]), 10, 64)
	micros, worse := strconv.ParseInt(engine.Text(list[1]), 10, 64)
	return time.Unix(seconds, micros*1000), bad == nil && worse == nil
}
