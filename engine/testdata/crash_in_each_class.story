# After a crash in flight: a read runs again, what is idempotent runs again with what was seen, a
# transaction is settled by its marker, the rest is asked about; a notification is let go.
parallel all
  read r
  idem i prepares
  tx t
  once o
  tell n
----
start
  run_started
  -> execute r (sync before)
  -> prepare i (sync before)
  intended o attempt 1 token r1/o class unrepeatable
  intended n attempt 1 token r1/n class advisory
  intended t attempt 1 token r1/t class transactional
  -> execute o (sync before)
  -> execute n (sync before)
  -> execute t (sync before)
seen i monday
  prepared i
  intended i attempt 1 token r1/i class idempotent
  -> execute i seen=monday (sync before)
crash
resume
  run_resumed
  -> execute r (sync before)
  -> settle t epoch 1
  -> settle o epoch 1
  intended i attempt 2 token r1/i class idempotent
  n is degraded (it is not known whether it was sent; it is not sent again)
  -> execute i again seen=monday (sync before)
settle t done
  settled t: done
  t is ok
settle o
  settled o: unknown
  o is in doubt: it is not known whether the effect happened
state
  all pending
  . r pending
  . i intended
  . t ok
  . o in doubt: it is not known whether the effect happened
  . n degraded
done i
  i is ok
resolve o done
  resolved o
done r
  r is ok
  run ends degraded
  finished degraded
