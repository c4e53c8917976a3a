package playbooks_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestMain gives the package a MariaDB of its own: its logs are to tell of nobody else. AFTER all tests it looks whether every
// shipped playbook was planned and run.
func TestMain(m *testing.M) {
	flag.Parse()
	p := &suite{}
	address := servers.PrivateMySQL(p, logged...).Address()
	if err := os.Setenv("HANDRAIL_TEST_MYSQL", "handrail:handrail@"+address); err != nil {
		panic(err)
	}
	code := m.Run()
	for i := len(p.ends) - 1; i >= 0; i-- {
		p.ends[i]()
	}
	if os.Getenv("HANDRAIL_UPDATE") != "" {
		if err := held.Write("../docs/plan.md", "playbooks"); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	if code == 0 && everything() {
		for _, said := range held.missing() {
			fmt.Println(said)
			code = 1
		}
		if err := held.Check("../docs/plan.md", "playbooks"); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// logged are the options of a MariaDB that keeps a binary log.
var logged = []string{"--log-bin", "--server-id=1"}

// everything: the tests are run whole, and not by name.
func everything() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f == nil || f.Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}

// suite is the lifetime of all tests of the package.
type suite struct {
	testing.TB
	ends []func()
}

func (*suite) Helper()                     {}
func (s *suite) Cleanup(end func())        { s.ends = append(s.ends, end) }
func (*suite) Fatal(args ...any)           { panic(fmt.Sprint(args...)) }
func (*suite) Fatalf(f string, all ...any) { panic(fmt.Sprintf(f, all...)) }
