# prepare makes the folder of an attempt and takes in what the command reads. Nothing is started. What it
# is given: base, key, token, dir, path, program.
main() {
  umask 077
  mkdir -p "$base/$key" || exit 10
  cd "$base" || exit 10
  base=$(pwd -P)
  # What ended long ago, and was left behind by an engine that never came back.
  find "$base" -name code -type f -mtime +30 -exec sh -c 'rm -rf "${1%/code}"' tidy {} \; 2>/dev/null
  for other in "$base/$key"/*; do
    [ -d "$other" ] || continue
    if alive "$other"; then
      names "$other" >&2
      exit 11
    fi
  done
  number=1
  while [ -e "$base/$key/$number" ]; do number=$((number + 1)); done
  folder=$base/$key/$number
  mkdir "$folder" || exit 10
  boot >"$folder/boot" || exit 10
  cd 2>/dev/null || cd /
  if [ "$dir" ]; then
    cd "$dir" 2>/dev/null || { rm -rf "$folder"; exit 13; }
  fi
  if ! (
    [ -z "$path" ] || PATH=$path
    command -v "$program" >/dev/null 2>&1
  ); then
    rm -rf "$folder"
    exit 14
  fi
  cat >"$folder/in" || { rm -rf "$folder"; exit 10; }
  echo "$folder"
  cat "$folder/boot"
  wc -c <"$folder/in"
}
