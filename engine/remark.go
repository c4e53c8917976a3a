package engine

// Rule names a trap that procedures fall into. Kinds report those that they see in the parameters of one
// operation; package lint knows what each means and finds the others.
type Rule string

// The rules of which a kind reports.
const (
	RuleNoWhere         Rule = "no-where"          // UPDATE or DELETE of all rows
	RuleClock           Rule = "clock-twice"       // the server's clock chooses rows
	RuleImplicitCommit  Rule = "implicit-commit"   // a statement ends the transaction around it
	RuleBlocks          Rule = "blocks-server"     // nobody else is served meanwhile
	RuleFlush           Rule = "wipes-all"         // everything is gone, of all users
	RuleEvicts          Rule = "evicts-live-keys"  // the server may drop any key
	RuleRenamed         Rule = "may-be-renamed"    // hardened servers have the command under another name
	RuleUntagged        Rule = "untagged-image"    // tomorrow it is another image
	RuleSpliced         Rule = "spliced-shell"     // a value becomes part of a program's text
	RuleClear           Rule = "secret-in-clear"   // it can be read by whoever reads the file
	RuleSwallowed       Rule = "failure-swallowed" // it ends well whatever happened
	RuleSleeps          Rule = "fixed-wait"        // time passes, and nothing is asked
	RuleServerFile      Rule = "file-on-server"    // it is written where the server runs
	RuleForgetsBackups  Rule = "prune-unproven"    // old copies go before the new one is known to be good
	RuleFails           Rule = "known-to-fail"     // as it is written it does not do what it is meant to
	RuleSplits          Rule = "splits-group"      // two halves of a group may live on as two
	RuleDoubles         Rule = "doubles"           // a second run does it a second time
	RuleEndless         Rule = "endless"           // nothing makes it come to an end
	RuleClockAsPosition Rule = "clock-as-position" // the time of day stands in for a position in a log
)

// Remark is something in the parameters of an operation that is allowed, and a known trap.
type Remark struct {
	Rule    Rule
	Path    string // as in [Problem]
	Offset  int
	Message string
}

// Finding is a remark with its place.
type Finding struct {
	Rule    Rule
	Step    *Step // nil: the playbook as a whole
	Pos     Pos
	Message string
}

// Role is the part that an operation plays in keeping data safe.
type Role int

// The roles.
const (
	RoleNone    Role = iota
	RoleBackup       // makes a copy of data that can be restored
	RoleRestore      // puts a copy in the place of data
	RolePrune        // removes old copies
)
