package witness

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// asking are the commands of Redis that a dry-run may send.
var asking = regexp.MustCompile(`(?i)^"(PING|HELLO|AUTH|SELECT|QUIT|RESET|READONLY|INFO|ROLE|DBSIZE|TIME|LASTSAVE|TYPE|TTL|PTTL|EXISTS|STRLEN|LLEN|SCARD|ZCARD|HLEN|XLEN|GET|MGET|` +
	`SCAN|HGET|HGETALL|LRANGE|SMEMBERS|KEYS|RANDOMKEY|(CLIENT" "(SETINFO|SETNAME|ID|INFO|LIST|NO-EVICT|NO-TOUCH))|COMMAND|(COMMAND" "(INFO|DOCS|COUNT|LIST|GETKEYS))|` +
	`(CONFIG" "GET)|(MEMORY" "USAGE)|(OBJECT" "(IDLETIME|FREQ|ENCODING))|(SLOWLOG" "(GET|LEN))|(SCRIPT" "EXISTS)|` +
	`(ACL" "(WHOAMI|DRYRUN|GETUSER|CAT|LIST))|(CLUSTER" "(INFO|NODES|SLOTS|SHARDS|MYID|KEYSLOT|COUNTKEYSINSLOT|REPLICAS))|` +
	`(SENTINEL" "(MASTER|MASTERS|REPLICAS|SLAVES|SENTINELS|GET-MASTER-ADDR-BY-NAME|MYID)))"`)

// others are what sentinels and replicas of the server itself say to it all the time.
var others = regexp.MustCompile(`(?i)^"(REPLCONF|PSYNC|(PUBLISH" "__sentinel__:hello)|(SUBSCRIBE" "__sentinel__:hello))"`)

// RedisMonitor is what a server was sent, by its MONITOR. It is not told of commands of administrators, such as CONFIG SET;
// [RedisCommands] is.
func RedisMonitor(address string) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		say(t, conn, "MONITOR")
		if line := hear(t, conn, in); line != "+OK" {
			t.Fatalf("MONITOR on %s: %s", address, line)
		}
		return func() []string {
			t.Helper()
			defer func() { _ = conn.Close() }()
			// A mark from another connection: what comes before it was sent before it.
			mark := fmt.Sprintf("witness-%d", time.Now().UnixNano())
			other, err := net.DialTimeout("tcp", address, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = other.Close() }()
			say(t, other, "PING "+mark)
			var found []string
			for {
				line := hear(t, conn, in)
				if strings.Contains(line, mark) {
					return found
				}
				_, command, _ := strings.Cut(line, "] ")
				if !asking.MatchString(command) && !others.MatchString(command) {
					found = append(found, address+" was sent "+command)
				}
			}
		}
	}
}

func say(t testing.TB, conn net.Conn, line string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, conn net.Conn, in *bufio.Reader) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatalf("MONITOR of %s: %v", conn.RemoteAddr(), err)
	}
	return strings.TrimSpace(line)
}

// RedisCommands is which commands a server has carried out, by its own counters.
func RedisCommands(address string) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		before := callsOf(t, address)
		return func() []string {
			t.Helper()
			var found []string
			for name, calls := range callsOf(t, address) {
				said := `"` + strings.ReplaceAll(name, "|", `" "`) + `"`
				if calls != before[name] && !asking.MatchString(said) && !slices.Contains(beside, name) {
					found = append(found, fmt.Sprintf("%s: the calls of %s went from %q to %q", address, name, before[name], calls))
				}
			}
			slices.Sort(found)
			return found
		}
	}
}

// beside are what sentinels, replicas and witnesses say.
var beside = []string{"replconf", "psync", "publish", "subscribe", "monitor"}

func callsOf(t testing.TB, address string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(info(t, address, "commandstats")) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if calls, _, _ := strings.Cut(rest, ","); ok {
			all[name] = calls
		}
	}
	return all
}

func info(t testing.TB, address, section string) string {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: address, ReadTimeout: patience})
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := c.Info(ctx, section).Result()
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return text
}

// RedisChanges is how many changes a server says that its last save does not have, and how many keys it has. A save that ends
// meanwhile makes the number of changes smaller, and that is left out.
func RedisChanges(address string) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		changes, keys := countsOf(t, address)
		return func() []string {
			t.Helper()
			var found []string
			c, k := countsOf(t, address)
			if c > changes {
				found = append(found, fmt.Sprintf("%s: rdb_changes_since_last_save went from %d to %d", address, changes, c))
			}
			if k != keys {
				found = append(found, fmt.Sprintf("%s: the keys went from %q to %q", address, keys, k))
			}
			return found
		}
	}
}

func countsOf(t testing.TB, address string) (changes int64, keys string) {
	t.Helper()
	_, rest, _ := strings.Cut(info(t, address, "persistence"), "rdb_changes_since_last_save:")
	if _, err := fmt.Sscan(rest, &changes); err != nil {
		t.Fatalf("%s does not say how many changes there are: %v", address, err)
	}
	return changes, ttl.ReplaceAllString(info(t, address, "keyspace"), "")
}

// ttl: the mean time to live goes down by itself.
var ttl = regexp.MustCompile(`,avg_ttl=\d+`)
