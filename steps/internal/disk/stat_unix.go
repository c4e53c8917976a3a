package disk

import "syscall"

// unixStat is what stands behind a FileInfo here.
type unixStat = syscall.Stat_t
