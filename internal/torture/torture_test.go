package torture

import (
	"slices"
	"strconv"
	"testing"
)

// Together, the parts of the full column have every try once.
func TestThePartsOfTheFullColumn(t *testing.T) {
	t.Setenv("HANDRAIL_TORTURE", "full")
	var turns, mine []int
	shares := 0
	for part := range 3 {
		t.Setenv("HANDRAIL_TORTURE_PART", strconv.Itoa(part+1)+"/3")
		turns = slices.AppendSeq(turns, Turns(t, 1, 2, 10))
		shares += Share(t, 1, 2, 10)
		for i := range 10 {
			if Mine(t, i) {
				mine = append(mine, i)
			}
		}
	}
	slices.Sort(turns)
	slices.Sort(mine)
	want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	if !slices.Equal(turns, want) || !slices.Equal(mine, want) || shares != len(want) {
		t.Errorf("turns %v, mine %v, shares %d", turns, mine, shares)
	}
}
