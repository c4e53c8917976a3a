# Cancel lets the effect under way end, then cleans up.
tx a
  undo
    tx ua
tx b
always
  idem z
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
cancel undo
  cancel_asked
done b
  b is ok
  phase undo, then undone: a
  intended ua attempt 1 token r1/ua class transactional
  -> execute ua (sync before)
done ua
  ua is ok
  phase always, then undone
  intended z attempt 1 token r1/z class idempotent
  -> execute z (sync before)
done z
  z is ok
  run ends undone
  finished undone
state
  a ok
  b ok
  . ua ok
  z ok
