# tidy takes away the traces of attempts, whose folders it is given.
for folder; do
  rm -rf "$folder"
  rmdir "${folder%/*}" 2>/dev/null
done
exit 0
