# A proof is proved again on resume, and a proof that fails stops the run, however often that is resumed.
read v grades
tx a
tx b
----
start
  run_started
  -> execute v (sync before)
grade v ok
  v is ok (graded ok)
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
fail b
  b is failed, effect none: it broke
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  -> ask again v
grade v failed
  v asked again is failed
  run ends failed
  finished failed
state
  v failed, effect none: graded failed
  a ok
  b pending: it broke
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  -> ask again v
grade v failed
  v asked again is failed
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  -> ask again v
grade v ok
  v asked again is ok
  intended b attempt 2 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  run ends ok
  finished ok
