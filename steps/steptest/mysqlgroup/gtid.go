package mysqlgroup

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// gtids is a set of transactions: of each server that they come from their numbers. The sets of a test are small, so each
// number stands for itself.
type gtids map[string]map[int]bool

// parse reads a set as MySQL writes it, such as "a:1-5:7,b:1". Parts may overlap, and may be empty.
func parse(text string) (gtids, error) {
	out := gtids{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		from, intervals, _ := strings.Cut(part, ":")
		if len(from) != len("00000000-0000-0000-0000-000000000000") || intervals == "" {
			return nil, fmt.Errorf("malformed GTID set specification %q", text)
		}
		for interval := range strings.SplitSeq(intervals, ":") {
			first, last, several := strings.Cut(interval, "-")
			if !several {
				last = first
			}
			a, err := strconv.Atoi(first)
			b, err2 := strconv.Atoi(last)
			if err != nil || err2 != nil || a < 1 {
				return nil, fmt.Errorf("malformed GTID set specification %q", text)
			}
			for n := a; n <= b; n++ {
				out.add(strings.ToLower(from), n)
			}
		}
	}
	return out, nil
}

func (g gtids) add(from string, n int) {
	if g[from] == nil {
		g[from] = map[int]bool{}
	}
	g[from][n] = true
}

// with is everything in either.
func (g gtids) with(other gtids) gtids {
	out := gtids{}
	for _, set := range []gtids{g, other} {
		for from, numbers := range set {
			for n := range numbers {
				out.add(from, n)
			}
		}
	}
	return out
}

// without is what is not in the other.
func (g gtids) without(other gtids) gtids {
	out := gtids{}
	for from, numbers := range g {
		for n := range numbers {
			if !other[from][n] {
				out.add(from, n)
			}
		}
	}
	return out
}

// String writes it as MySQL does: sorted, and numbers that follow each other as an interval.
func (g gtids) String() string {
	var parts []string
	for _, from := range slices.Sorted(maps.Keys(g)) {
		numbers := slices.Sorted(maps.Keys(g[from]))
		part := from
		for i := 0; i < len(numbers); {
			j := i
			for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
				j++
			}
			part += ":" + strconv.Itoa(numbers[i])
			if j > i {
				part += "-" + strconv.Itoa(numbers[j])
			}
			i = j + 1
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}
