package sql

import (
	"fmt"
	"strings"
)

// tidbLeast is the first long-lived line of TiDB that has what a transaction with a marker stands on:
// savepoints (6.2) and session locks.
var tidbLeast = version{text: "6.5", flavor: "TiDB", number: [3]int{6, 5}}

// tidbOldness is why nothing can be changed exactly once on a TiDB; nil: it can. said is its VERSION(), such
// as 8.0.11-TiDB-v7.5.1.
func tidbOldness(said string) error {
	_, own, _ := strings.Cut(said, "TiDB-v")
	v := versionOf(own, "TiDB")
	if v.older(tidbLeast) {
		return fmt.Errorf("TiDB %s has no savepoints and session locks to rely on; %s or newer is needed to change anything here", v.text, tidbLeast.text)
	}
	return nil
}
