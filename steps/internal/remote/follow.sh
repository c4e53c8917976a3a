# follow looks, at most $looks times, for something new, and hands it over: what was written from $seen_out and
# $seen_err on. Its code says how the attempt stands. With claim=yes an attempt that was never started never
# will be.
main() {
  cd "$folder" 2>/dev/null || exit 40
  [ "$claim" = yes ] && mkdir started 2>/dev/null && : >claimed
  [ -e claimed ] && exit 43
  i=1
  while :; do
    state . # BEFORE the looks at what was written: nothing comes after the end
    if [ -e out ]; then out=$(wc -c <out); else out=0; fi
    if [ -e err ]; then err=$(wc -c <err); else err=0; fi
    if [ "$state" != alive ] || [ "$out" -gt "$seen_out" ] || [ "$err" -gt "$seen_err" ] || [ "$i" -ge "$looks" ]; then
      break
    fi
    i=$((i + 1))
    if [ "$i" -lt 6 ]; then nap 0.03; else nap 0.15; fi
  done
  [ "$out" -gt "$seen_out" ] && tail -c "+$((seen_out + 1))" out
  [ "$err" -gt "$seen_err" ] && tail -c "+$((seen_err + 1))" err >&2
  case $state in
  alive) exit 0 ;;
  ended) exit 41 ;;
  fresh) exit 43 ;;
  esac
  [ "$(boot)" = "$(cat boot)" ] || exit 44
  exit 42
}
