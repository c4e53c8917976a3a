// Package bench measures what docs/performance.md says.
//
// It holds no code but a benchmark, which prints one table. Beside each piece of work stands a
// reference program that does the least that the work needs; the two run in turn, several times, and the
// figure is the median of the ratios, so that it means the same on another machine. It measures and
// never judges: whether a bar is met is written into the table, and nothing fails.
package bench
