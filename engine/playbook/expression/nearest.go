package expression

import "strings"

// Nearest finds the candidate that a mistyped word most likely means: the one with the fewest letters
// added, left out, changed or swapped, if those are few.
func Nearest(word string, candidates []string) (string, bool) {
	if len(word) > 64 {
		return "", false
	}
	lower := strings.ToLower(word)
	best, bound := "", max(1, (len(word)+1)/3)+1
	for _, c := range candidates {
		if len(c) > 64 || len(c)-len(word) >= bound || len(word)-len(c) >= bound {
			continue
		}
		if d := distance(lower, strings.ToLower(c)); d < bound {
			best, bound = c, d
		}
	}
	return best, best != ""
}

// distance is the number of edits from a to b, a swap of neighbours counting as one.
func distance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			current[j] = d
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
