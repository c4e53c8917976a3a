package sql

import "testing"

// TestTiDBIsToldByItsVersion: no TiDB is asked here; this is what its manual says that it answers.
func TestTiDBIsToldByItsVersion(t *testing.T) {
	for said, old := range map[string]bool{"5.7.25-TiDB-v5.4.3": true, "5.7.25-TiDB-v6.1.0": true, "5.7.25-TiDB-v6.5.0": false, "8.0.11-TiDB-v7.5.1": false, "8.0.11-TiDB-v8.1.0": false} {
		if err := tidbOldness(said); (err != nil) != old {
			t.Errorf("%s: %v", said, err)
		}
	}
	if got := (mysqlKeeper{tidb: true}).stop(7, false); got != "KILL TIDB QUERY 7" {
		t.Error(got)
	}
	if got := (mysqlKeeper{tidb: true}).stop(7, true); got != "KILL TIDB CONNECTION 7" {
		t.Error(got)
	}
}
