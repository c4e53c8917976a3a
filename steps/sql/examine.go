package sql

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Examine looks at the server's clock.
func (c *Conn) Examine(ctx context.Context, now func() time.Time) ([]engine.Lack, error) {
	text := c.d.clock()
	if text == "" {
		return nil, nil
	}
	asked := now()
	rows, err := brief{c}.rows(ctx, "ask for its time", text)
	answered := now()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	seconds, err := strconv.ParseFloat(fmt.Sprint(rows[0][0]), 64)
	if err != nil {
		return nil, fmt.Errorf("%s: its time is %v: %w", c.where, rows[0][0], err)
	}
	whole, part := math.Modf(seconds)
	return steps.Skew(c.where, asked, time.Unix(int64(whole), int64(part*1e9)), answered), nil
}

// Examine says what keeps runs from having their locks on this server.
func (b *lockbook) Examine(ctx context.Context) ([]engine.Lack, error) {
	q := brief{b.c}
	follows, err := b.c.d.follows(ctx, q)
	if err != nil {
		return nil, err
	}
	if follows != "" {
		return []engine.Lack{{Lasting: true, What: b.c.where + " " + follows, Remedy: "keep the locks on the server that takes writes"}}, nil
	}
	no, err := b.c.d.mayKeep(ctx, q, b.c.database, lockTableName)
	if err != nil || no == "" {
		return nil, err
	}
	remedy := "give it the right with GRANT"
	if strings.Contains(no, "right to CREATE") {
		remedy += ", or let somebody who may create it: " + strings.Join(strings.Fields(b.c.d.lockTable(b.table)), " ")
	}
	return []engine.Lack{{Lasting: true, What: b.c.where + ": " + no, Remedy: remedy}}, nil
}

// Examine looks at every server, and whether one of them takes writes.
func (g *group) Examine(ctx context.Context, now func() time.Time) ([]engine.Lack, error) {
	said := g.survey(ctx, 0)
	_, err := g.choose(ctx, said)
	if err != nil {
		return nil, err // which has the answer of each
	}
	var lacks []engine.Lack
	for _, s := range said {
		if s.err != nil {
			lacks = append(lacks, engine.Lack{Unsure: true, What: s.String(),
				Remedy: "steps on the server that takes writes go on without it; `nodes: each` does not, and there is one less for a failover"})
			continue
		}
		more, err := s.c.Examine(ctx, now)
		if err != nil {
			return lacks, err
		}
		lacks = append(lacks, more...)
	}
	return lacks, nil
}
