# A failure that the author allows for degrades the run.
tx a on_error=continue
block g on_error=continue
  tx b
tx c
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
fail a
  a is failed, effect none: it broke
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
fail b
  b is failed, effect none: it broke
  intended c attempt 1 token r1/c class transactional
  -> execute c (sync before)
done c
  c is ok
  run ends degraded
  finished degraded
state
  a failed, effect none: it broke
  g failed, effect none
  . b failed, effect none: it broke
  c ok
