# Undo goes in reverse order of completion, takes in effects that stand, leaves out what was there
# already.
idem a done_if
  undo
    idem ua
idem b
  undo
    idem ub with=steps.b.n
block g
  tx c
    undo
      tx uc
  once d expect=good on_error=undo
    undo
      idem ud
always
  idem z
----
start
  run_started
  -> done_if a (sync before)
yes a
  done_if_asked a
  intended b attempt 1 token r1/b class idempotent
  -> execute b (sync before)
done b n=5
  b is ok {n: 5}
  intended c attempt 1 token r1/c class transactional
  -> execute c (sync before)
done c
  c is ok
  intended d attempt 1 token r1/d class unrepeatable
  -> execute d (sync before)
done d good=false
  d is failed, effect stands: expect good does not hold {good: false}
  phase undo, then undone: d c b
  intended ud attempt 1 token r1/ud class idempotent
  -> execute ud (sync before)
done ud
  ud is ok
  intended uc attempt 1 token r1/uc class transactional
  -> execute uc (sync before)
done uc
  uc is ok
  intended ub attempt 1 token r1/ub class idempotent
  -> execute ub with=5 (sync before)
done ub
  ub is ok
  phase always, then undone
  intended z attempt 1 token r1/z class idempotent
  -> execute z (sync before)
done z
  z is ok
  run ends undone
  finished undone
state
  a already
  b ok
  g failed, effect none
  . c ok
  . d failed, effect stands: expect good does not hold
  . ua pending
  . ub ok
  . uc ok
  . ud ok
  z ok
