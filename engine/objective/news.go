package objective

import (
	"fmt"
	"time"
)

// News is what a person should be told now and has not been told: that half, or nine tenths, of the RTO is gone, or all; and that
// it will be missed, by the times of the runs before, and in which step. round shortens a duration for people.
func (p *Pace) News(now time.Time, round func(time.Duration) string) []string {
	rto := p.RTO()
	if rto == 0 || p.watch.times.Started.IsZero() || !p.watch.times.Finished.IsZero() {
		return nil
	}
	left := p.Left(now)
	var out []string
	once := func(told *bool, when bool, text string, args ...any) {
		if when && !*told {
			*told = true
			out = append(out, fmt.Sprintf(text, args...))
		}
	}
	if left <= 0 {
		p.told.half, p.told.most, p.told.p50, p.told.p95 = true, true, true, true
		once(&p.told.over, true, "the RTO of %s is over", round(rto))
		return out
	}
	if left <= rto/10 {
		p.told.half = true
	}
	once(&p.told.most, left <= rto/10, "%s are left of the RTO of %s", round(left), round(rto))
	once(&p.told.half, left <= rto/2, "half of the RTO of %s is gone; %s are left", round(rto), round(left))
	a := p.Ahead(now)
	if a.Late50 != "" {
		p.told.p95 = true // the worse news says it all
	}
	once(&p.told.p50, a.Late50 != "", "the RTO of %s will be missed, in step %s: %s are left, and what is to come took %s in half of %s",
		round(rto), a.Late50, round(left), round(a.P50), runs(a.Runs))
	once(&p.told.p95, a.Late95 != "", "the RTO of %s may be missed, in step %s: %s are left, and what is to come took up to %s in 95 %% of %s",
		round(rto), a.Late95, round(left), round(a.P95), runs(a.Runs))
	return out
}

func runs(n int) string {
	if n == 1 {
		return "the 1 run before"
	}
	return fmt.Sprintf("the %d runs before", n)
}
