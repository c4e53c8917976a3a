// Package view writes what a person or a program reads: plans, runs and their progress, as text and as
// JSON.
//
// It writes only what it is given, to the writer it is given. It never decides anything, never asks a
// target, and never exits.
package view
