# While a group that unsettles is under way, what was proved before it is not asked again; what was proved in it is. When it has
# ended, all of it is.
read v grades
block g unsettles
  read inside grades
  idem down
  idem up
tx b
----
start
  run_started
  -> execute v (sync before)
grade v ok
  v is ok (graded ok)
  -> execute inside
grade inside ok
  inside is ok (graded ok)
  intended down attempt 1 token r1/down class idempotent
  -> execute down (sync before)
done down
  down is ok
  intended up attempt 1 token r1/up class idempotent
  -> execute up (sync before)
crash
resume
  run_resumed
  intended up attempt 2 token r1/up class idempotent
  -> ask again inside (sync before)
  -> execute up again (sync before)
grade inside ok
  inside asked again is ok
done up
  up is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
crash
resume
  run_resumed
  -> settle b epoch 2 (sync before)
  -> ask again v (sync before)
  -> ask again inside (sync before)
