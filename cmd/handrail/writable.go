package main

import "golang.org/x/sys/unix"

// writable tells whether this user may make something in a folder.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }
