#!/bin/sh
# verify-journal.sh JOURNAL: checks the hash chain of a run with standard tools alone.
# Each line ends in ,"h":"<sha256>"} over the h of the line before and the line's own bytes in front.
[ -r "$1" ] || { echo "usage: verify-journal.sh JOURNAL" >&2; exit 2; }
head= n=0 line=
while IFS= read -r line; do
	n=$((n + 1))
	body=${line%,\"h\":\"*}
	said=${line##*,\"h\":\"}
	head=$(printf '%s%s' "$head" "$body" | sha256sum | cut -d' ' -f1)
	[ "$said" = "$head\"}" ] || { echo "line $n does not match its hash" >&2; exit 1; }
	line=
done <"$1"
[ -z "$line" ] || { echo "line $((n + 1)) is torn: it was never acknowledged" >&2; exit 1; }
echo "$n lines, the chain holds, head $head"
