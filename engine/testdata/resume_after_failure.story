# Resume goes on at the failed step and keeps what the steps before it brought back.
tx a
tx b with=steps.a.n
always
  idem z
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a n=7
  a is ok {n: 7}
  intended b attempt 1 token r1/b class transactional
  -> execute b with=7 (sync before)
fail b
  b is failed, effect none: it broke
  phase always, then failed
  intended z attempt 1 token r1/z class idempotent
  -> execute z (sync before)
done z
  z is ok
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  intended b attempt 2 token r1/b class transactional
  -> execute b with=7 (sync before)
done b
  b is ok
  phase always, then ok
  intended z attempt 1 token r1/z#1 class idempotent
  -> execute z (sync before)
done z
  z is ok
  run ends ok
  finished ok
