# A step that was to wipe its target and was cut off, or has failed, may have wiped it: what was done there before is not asked for. It is when the
# step has surely changed nothing.
tx a on=db
idem b on=db wipes
tx c on=db
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class idempotent
  -> execute b wiped (sync before)
fail b none
  b is failed, effect none: it broke
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  intended b attempt 2 token r1/b class idempotent
  -> execute b wiped (sync before)
crash
resume
  run_resumed
  intended b attempt 3 token r1/b class idempotent
  -> execute b again wiped (sync before)
fail b unknown
  b is failed, effect unknown: it broke
  run ends failed
  finished failed
resume
  run_resumed
  intended b attempt 4 token r1/b class idempotent
  -> execute b wiped (sync before)
done b
  b is ok
  intended c attempt 1 token r1/c class transactional
  -> execute c wiped (sync before)
crash
resume
  run_resumed
  -> settle c epoch 4 (sync before)
settle c not-done
  settled c: not done
  intended c attempt 2 token r1/c class transactional
  -> execute c wiped (sync before)
done c
  c is ok
  run ends ok
  finished ok
