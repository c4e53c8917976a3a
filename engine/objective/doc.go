// Package objective holds a run against the clock: how long each step took in the runs before, when this one will be done
// by those times, and whether what the playbook has promised (RTO, RPO) was kept.
//
// It only counts. Events and the time reach it from outside, it reads no journal and keeps nothing on a disk, and
// no run depends on what it says: a forecast that is wrong stops nothing.
package objective
