package redis

import (
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
)

// spec is what is known of one command.
type spec struct {
	class engine.Class
	risk  engine.Risk
	keys  keySpec
	// admin: it is about the server and not about keys; it may be sent to a replica, and cannot be part
	// of a script.
	admin bool
	// refused says why no step may send it.
	refused string
}

// keySpec says which words of a command are keys; the command's name is word 0. The zero keySpec has none.
type keySpec struct {
	first, last, step int // last < 0 counts from the end
	num               int // the word that says how many keys follow it
}

// group is a set of commands of which the same holds. A subcommand is written CONTAINER|SUB.
type group struct {
	spec
	names string
}

var (
	one   = keySpec{first: 1, last: 1, step: 1}
	two   = keySpec{first: 1, last: 2, step: 1}
	every = keySpec{first: 1, last: -1, step: 1}
	pairs = keySpec{first: 1, last: -1, step: 2}
)

const (
	reads        = engine.RiskReads
	changes      = engine.RiskChanges
	destroys     = engine.RiskDestroys
	irreversible = engine.RiskIrreversible

	read   = engine.ClassRead
	repeat = engine.ClassIdempotent
	once   = engine.ClassUnrepeatable
)

// groups lists the commands of Redis up to version 8. A class here is that of the command without
// options; [narrow] knows the options that change it. A command is `repeat` only if it moves the server to a
// state that its words alone describe.
var groups = []group{
	{spec{class: read, keys: one}, `GET STRLEN GETRANGE SUBSTR GETBIT BITCOUNT BITPOS BITFIELD_RO TYPE TTL PTTL
		EXPIRETIME PEXPIRETIME DUMP SORT_RO HGET HGETALL HEXISTS HKEYS HVALS HLEN HMGET HRANDFIELD HSCAN HSTRLEN
		HTTL HPTTL HEXPIRETIME HPEXPIRETIME LINDEX LLEN LPOS LRANGE SCARD SISMEMBER SMISMEMBER SMEMBERS
		SRANDMEMBER SSCAN ZCARD ZCOUNT ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK
		ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE XLEN XPENDING XRANGE XREVRANGE GEODIST
		GEOHASH GEOPOS GEOSEARCH GEORADIUS_RO GEORADIUSBYMEMBER_RO DIGEST VCARD VDIM VEMB VGETATTR VINFO VISMEMBER
		VLINKS VRANDMEMBER VSIM`},
	{spec{class: read, keys: every}, `MGET EXISTS SDIFF SINTER SUNION PFCOUNT`},
	{spec{class: read, keys: two}, `LCS`},
	{spec{class: read, keys: keySpec{num: 1}}, `SINTERCARD ZDIFF ZINTER ZINTERCARD ZUNION`},
	{spec{class: read, keys: keySpec{num: 2}}, `EVAL_RO EVALSHA_RO FCALL_RO`},
	{spec{class: read, keys: keySpec{first: 2, last: 2, step: 1}}, `OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME
		OBJECT|REFCOUNT MEMORY|USAGE XINFO|CONSUMERS XINFO|GROUPS XINFO|STREAM`},
	{spec{class: read}, `SCAN KEYS DBSIZE RANDOMKEY XREAD PING ECHO TIME`},
	{spec{class: read, admin: true}, `INFO LASTSAVE ROLE LOLWUT ACL|CAT ACL|DRYRUN ACL|GENPASS ACL|GETUSER ACL|LIST
		ACL|LOG ACL|USERS ACL|WHOAMI ACL|HELP CLIENT|GETNAME CLIENT|GETREDIR CLIENT|ID CLIENT|INFO CLIENT|LIST
		CLIENT|TRACKINGINFO CLIENT|HELP CLUSTER|COUNT-FAILURE-REPORTS CLUSTER|COUNTKEYSINSLOT CLUSTER|GETKEYSINSLOT
		CLUSTER|INFO CLUSTER|KEYSLOT CLUSTER|LINKS CLUSTER|MYID CLUSTER|MYSHARDID CLUSTER|NODES CLUSTER|REPLICAS
		CLUSTER|SHARDS CLUSTER|SLAVES CLUSTER|SLOTS CLUSTER|SLOT-STATS CLUSTER|HELP COMMAND COMMAND|COUNT
		COMMAND|DOCS COMMAND|GETKEYS COMMAND|GETKEYSANDFLAGS COMMAND|INFO COMMAND|LIST COMMAND|HELP CONFIG|GET
		CONFIG|HELP FUNCTION|DUMP FUNCTION|LIST FUNCTION|STATS FUNCTION|HELP LATENCY|DOCTOR LATENCY|GRAPH
		LATENCY|HISTOGRAM LATENCY|HISTORY LATENCY|LATEST LATENCY|HELP MEMORY|DOCTOR MEMORY|MALLOC-STATS
		MEMORY|STATS MEMORY|HELP MODULE|LIST MODULE|HELP OBJECT|HELP PUBSUB|CHANNELS PUBSUB|NUMPAT PUBSUB|NUMSUB
		PUBSUB|SHARDCHANNELS PUBSUB|SHARDNUMSUB PUBSUB|HELP SCRIPT|EXISTS SCRIPT|HELP SLOWLOG|GET SLOWLOG|LEN
		SLOWLOG|HELP XGROUP|HELP XINFO|HELP SENTINEL|CKQUORUM SENTINEL|GET-MASTER-ADDR-BY-NAME SENTINEL|HELP
		SENTINEL|INFO-CACHE SENTINEL|MASTER SENTINEL|MASTERS SENTINEL|MYID SENTINEL|REPLICAS SENTINEL|SENTINELS
		SENTINEL|SLAVES`},

	{spec{class: repeat, risk: changes, keys: one}, `SET SETEX PSETEX SETRANGE SETBIT EXPIRE PEXPIRE EXPIREAT PEXPIREAT
		PERSIST GETEX HSET HMSET HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HPERSIST HSETEX HGETEX LSET SADD ZADD GEOADD
		PFADD XACK XCLAIM VADD VSETATTR SORT`},
	{spec{class: repeat, risk: changes, keys: pairs}, `MSET`},
	{spec{class: repeat, risk: changes, keys: every}, `TOUCH PFMERGE SDIFFSTORE SINTERSTORE SUNIONSTORE`},
	{spec{class: repeat, risk: changes, keys: keySpec{first: 2, last: -1, step: 1}}, `BITOP`},
	{spec{class: repeat, risk: changes, keys: two}, `GEOSEARCHSTORE ZRANGESTORE SMOVE`},
	{spec{class: repeat, risk: changes, keys: keySpec{first: 1, last: 1, step: 1, num: 2}},
		`ZDIFFSTORE ZINTERSTORE ZUNIONSTORE`},
	{spec{class: repeat, risk: destroys, keys: every}, `DEL UNLINK`},
	{spec{class: repeat, risk: destroys, keys: one}, `HDEL SREM ZREM ZREMRANGEBYLEX ZREMRANGEBYSCORE XDEL XDELEX XTRIM
		XACKDEL VREM`},
	{spec{class: repeat, risk: changes, keys: keySpec{first: 2, last: 2, step: 1}}, `XGROUP|SETID`},
	{spec{class: repeat, risk: destroys, keys: keySpec{first: 2, last: 2, step: 1}}, `XGROUP|DESTROY XGROUP|DELCONSUMER`},
	{spec{class: repeat, risk: changes, admin: true}, `CONFIG|SET CONFIG|REWRITE CONFIG|RESETSTAT ACL|SETUSER ACL|SAVE ACL|LOAD
		SCRIPT|LOAD BGSAVE BGREWRITEAOF SAVE MEMORY|PURGE LATENCY|RESET SLOWLOG|RESET CLIENT|PAUSE CLIENT|UNPAUSE
		REPLICAOF SLAVEOF CLUSTER|MEET CLUSTER|FORGET CLUSTER|REPLICATE CLUSTER|SETSLOT CLUSTER|SAVECONFIG
		SENTINEL|CONFIG SENTINEL|FLUSHCONFIG SENTINEL|SET`},
	{spec{class: repeat, risk: destroys, admin: true}, `ACL|DELUSER SCRIPT|FLUSH SENTINEL|REMOVE SENTINEL|RESET`},

	{spec{class: once, risk: changes, keys: one}, `APPEND DECR DECRBY INCR INCRBY INCRBYFLOAT GETSET SETNX BITFIELD
		HINCRBY HINCRBYFLOAT HSETNX LINSERT LPUSH LPUSHX RPUSH RPUSHX ZINCRBY XADD XAUTOCLAIM XSETID RESTORE
		GEORADIUS GEORADIUSBYMEMBER SPUBLISH`},
	{spec{class: once, risk: destroys, keys: one}, `GETDEL LPOP RPOP LREM LTRIM SPOP ZPOPMAX ZPOPMIN ZREMRANGEBYRANK MOVE
		HGETDEL DELEX`},
	{spec{class: once, risk: changes, keys: pairs}, `MSETNX`},
	{spec{class: once, risk: changes, keys: two}, `COPY RENAME RENAMENX LMOVE RPOPLPUSH`},
	{spec{class: once, risk: destroys, keys: keySpec{num: 1}}, `LMPOP ZMPOP`},
	{spec{class: once, risk: changes, keys: keySpec{num: 1}}, `MSETEX`},
	{spec{class: once, risk: changes, keys: keySpec{first: 2, last: 2, step: 1}}, `XGROUP|CREATE XGROUP|CREATECONSUMER`},
	{spec{class: once, risk: changes}, `PUBLISH XREADGROUP`},
	{spec{class: once, risk: destroys, keys: keySpec{num: 2}}, `EVAL EVALSHA FCALL`},
	{spec{class: once, risk: destroys, keys: keySpec{first: 3, last: 3, step: 1}}, `MIGRATE`},
	{spec{class: once, risk: irreversible}, `FLUSHALL FLUSHDB`},
	{spec{class: once, risk: changes}, `SWAPDB`},
	{spec{class: once, risk: changes, admin: true}, `CLIENT|KILL CLIENT|UNBLOCK CLUSTER|ADDSLOTS
		CLUSTER|ADDSLOTSRANGE CLUSTER|BUMPEPOCH CLUSTER|DELSLOTS CLUSTER|DELSLOTSRANGE CLUSTER|FAILOVER
		CLUSTER|FLUSHSLOTS CLUSTER|SET-CONFIG-EPOCH FAILOVER FUNCTION|LOAD FUNCTION|KILL MODULE|LOAD MODULE|LOADEX
		MODULE|UNLOAD SCRIPT|KILL SENTINEL|FAILOVER SENTINEL|MONITOR`},
	{spec{class: once, risk: destroys, admin: true}, `DEBUG FUNCTION|DELETE FUNCTION|RESTORE SHUTDOWN`},
	{spec{class: once, risk: irreversible, admin: true}, `CLUSTER|RESET FUNCTION|FLUSH`},

	{spec{refused: "it only changes the connection that it is sent on, and every step may have another"},
		`AUTH HELLO SELECT RESET QUIT ASKING READONLY READWRITE CLIENT|CACHING CLIENT|NO-EVICT CLIENT|NO-TOUCH CLIENT|REPLY
		CLIENT|SETINFO CLIENT|SETNAME CLIENT|TRACKING SCRIPT|DEBUG`},
	{spec{refused: "several commands as one are written as `transaction:`"}, `MULTI EXEC DISCARD WATCH UNWATCH`},
	{spec{refused: "it never ends"}, `MONITOR SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE SYNC PSYNC`},
	{spec{refused: "it is for servers among themselves and for the server's own tests"}, `REPLCONF RESTORE-ASKING PFDEBUG PFSELFTEST`},
	{spec{refused: "it waits inside the server; ask with `wait: {until: …}` and send the form that does not wait"},
		`BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMAX BZPOPMIN BZMPOP`},
	{spec{refused: "it answers for what its own connection wrote, and here that is nothing: it would prove nothing; " +
		"ask `info: replication` for the offsets instead"}, `WAIT WAITAOF`},
}

// commands is the table by name; containers stand in it under each of their subcommands.
var commands = sync.OnceValue(func() map[string]spec {
	out := map[string]spec{}
	for _, g := range groups {
		for _, name := range strings.Fields(g.names) {
			out[name] = g.spec
		}
	}
	return out
})

// containers are the commands whose second word is part of their name.
var containers = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for name := range commands() {
		if head, _, sub := strings.Cut(name, "|"); sub {
			out[head] = true
		}
	}
	return out
})

// readNames are the commands that may be part of a script and only read, for the script's own account of
// what it has applied.
var readNames = sync.OnceValue(func() []string {
	var out []string
	for name, s := range commands() {
		if s.class == read && !s.admin && !strings.Contains(name, "|") {
			out = append(out, name)
		}
	}
	return out
})
